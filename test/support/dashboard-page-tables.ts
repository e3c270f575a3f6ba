import type {
  CardRow,
  ContextRow,
  LinkShown,
  MapEdgeRow,
  NodeRow,
  ProcessRow,
  ReportRow,
  SignalsRow,
  SparkRow,
  Tables,
} from '../../src/dashboard/snapshot.ts';
import { emptyTables } from '../../src/dashboard/snapshot.ts';

/** Pictures of clusters that pages are tested with: two that are asked, and two that are only linked. */

type Service = Tables['services'][string];
type Mirror = Tables['mirrors'][string];
type Edge = Tables['edges'][string];
type Client = Tables['clients'][string];

/** Of 63 characters, as long as a name can be. */
export const LONGEST = `a-service-with-the-longest-name-that-kubernetes-takes-${'0'.repeat(9)}`;
/** Nobody says in which direction others write. */
export const RIGHT_TO_LEFT = 'שער הכניסה אינו עונה (10.0.2.15:4143)';

const MINUTE = 60_000;

interface Numbers {
  readonly rps: number | null;
  readonly success: number | null;
  readonly p99: number | null;
}

const signals = ({ rps, success, p99 }: Numbers) => ({
  success,
  rps,
  latency_ms_p50: p99 === null ? null : Math.round(p99 * 22) / 100,
  latency_ms_p95: p99 === null ? null : Math.round(p99 * 64) / 100,
  latency_ms_p99: p99,
  tcp_open_connections: rps === null ? null : 12,
  tcp_read_bytes_rate: rps === null ? null : rps * 412,
  tcp_write_bytes_rate: rps === null ? null : rps * 1890,
  in_flight: rps === null ? 0 : Math.ceil(rps / 40),
  errors:
    success === null || success === 1 ? {} : { failfast: Math.round((rps ?? 0) * (1 - success) * 10) / 10 },
});

const FINE = { failing: false, reason: '', message: '', advice: '' };
const fails = (reason: string, message: string, advice = '') => ({ failing: true, reason, message, advice });

export function contextRow(context: string, more: Partial<ContextRow> = {}): ContextRow {
  return {
    context,
    cluster: context,
    namespace: 'linkerd-multicluster',
    state: 'ok',
    at: Date.now(),
    error: null,
    role: null,
    controller: 'ok',
    asked: 4,
    answered: 4,
    unread: [],
    links: 3,
    traffic: true,
    ...more,
  };
}

export function serviceRow(name: string, numbers: Numbers, more: Partial<Service> = {}): Service {
  return {
    context: 'east',
    namespace: 'shop',
    kind: 'svc',
    name,
    cluster: 'east',
    side: 'egress',
    ...signals(numbers),
    endpoints: { ready: 3, known: 3 },
    ...FINE,
    retries: 0,
    timeouts: 0,
    limited: 0,
    unauthorized: 0,
    exported: true,
    ...more,
  };
}

export function mirrorRow(
  name: string,
  cluster: string,
  numbers: Numbers,
  more: Partial<Mirror> = {},
): Mirror {
  const { exported: _, ...row } = serviceRow(name, numbers);
  return { ...row, kind: 'mirror', cluster, source: 'east', rtt_ms: 8.4, ...more };
}

function edgeRow(src: string, dst: string, numbers: Numbers, more: Partial<Edge> = {}): Edge {
  const { success, rps, in_flight, errors } = signals(numbers);
  return {
    context: 'east',
    src,
    src_namespace: 'shop',
    dst,
    dst_namespace: 'shop',
    client_id: '',
    server_id: 'linkspan-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.west.example',
    no_tls_reason: 'the client speaks plainly to the egress',
    protocols: ['http1'],
    src_cluster: 'east',
    dst_cluster: 'west',
    secured: 'plain→mTLS→?',
    via: 'egress',
    success,
    rps,
    in_flight,
    errors,
    ...FINE,
    last_s: 0.4,
    bytes_in_rate: (rps ?? 0) * 210,
    bytes_out_rate: (rps ?? 0) * 1400,
    ...more,
  };
}

function processRow(name: string, kind: ProcessRow['kind'], more: Partial<ProcessRow> = {}): ProcessRow {
  const carries = kind === 'egress' || kind === 'gateway';
  return {
    context: 'east',
    name,
    kind,
    cluster: 'east',
    version: '0.1.0',
    ready: true,
    workers: carries ? 2 : null,
    synced: carries ? { ok: 5, known: 5 } : null,
    oldest_s: carries ? 12 : null,
    certificate_left_s: carries ? 71_000 : null,
    identity: carries
      ? `linkspan-${kind}.linkerd-multicluster.serviceaccount.identity.linkerd.east.example`
      : null,
    connections: carries ? 24 : null,
    streams: carries ? 18 : null,
    restarts: 0,
    rps: null,
    success: carries ? 0.9994 : null,
    latency_ms_p99: carries ? 41 : null,
    in_flight: carries ? 9 : 0,
    requests_rps: carries ? 410 : null,
    cpu: '180m',
    memory: '96Mi',
    anchors_left_s: carries ? 31_000_000 : null,
    ...FINE,
    ...more,
  };
}

function linkRow(name: string, numbers: Numbers, more: Partial<LinkShown> = {}): LinkShown {
  const since = new Date(Date.now() - 3 * 3600 * 1000).toISOString();
  const condition = (type: LinkShown['conditions'][number]['type'], reason: string, message = '') => ({
    type,
    status: 'True' as const,
    reason,
    message,
    advice: '',
    since,
  });
  const trunk = (pod: string, address: string) => ({
    pod,
    address,
    state: 'alive' as const,
    mode: 'streams' as const,
    connections: 2,
    streams: 14,
    identity: `linkspan-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.${name}.example`,
    rps: (numbers.rps ?? 0) / 2,
    success: numbers.success,
    rtt_ms: 8.4,
    least_rtt_ms: 7.9,
  });
  return {
    context: 'east',
    namespace: '',
    kind: 'link',
    name,
    cluster: name,
    side: 'egress',
    ...signals(numbers),
    endpoints: null,
    ...FINE,
    source: 'east',
    gateways: { alive: 2, known: 2 },
    rtt_ms: 8.4,
    streams: 28,
    mirrors: 14,
    address: `gateway.${name}.example`,
    conditions: [
      condition('CredentialsValid', 'Accepted'),
      condition('APIReachable', 'Connected'),
      condition('GatewayAlive', 'ProbesAnswered'),
      condition('Synced', 'AllMirrored'),
    ],
    probes: ['10.0.1.10:4143', '10.0.1.11:4143'].map((address) => ({
      address,
      state: 'alive' as const,
      message: '',
      latencyMs: 9.1,
      since: Date.now() - 3 * 3600 * 1000,
    })),
    trunks: [
      trunk('linkspan-egress-7d9c5-x2k4p', '10.0.1.10:4143'),
      trunk('linkspan-egress-7d9c5-q8m2z', '10.0.1.11:4143'),
    ],
    credentialsExpireAt: new Date(Date.now() + 40 * 24 * 3600 * 1000).toISOString(),
    lastWordAt: Date.now() - 4000,
    keptBy: 'linkspan-controller-5f7d8-4xq2w',
    importPolicy: {},
    unwritten: [],
    reasons: { Mirrored: 14 },
    ...more,
  };
}

function card(more: Partial<CardRow> & Pick<CardRow, 'kind' | 'name' | 'reason'>): CardRow {
  return {
    context: 'east',
    cluster: 'east',
    namespace: '',
    to: null,
    message: '',
    advice: '',
    command: '',
    since: Date.now() - 4 * MINUTE,
    sinceBy: 'told',
    mirrors: 0,
    firstMirrors: [],
    rps: null,
    ...more,
  };
}

function node(cluster: string, context: string | null, more: Partial<NodeRow> = {}): NodeRow {
  const asked = context !== null;
  return {
    cluster,
    context,
    failing: false,
    reason: '',
    message: '',
    clients: asked ? 6 : null,
    egresses: asked ? 2 : null,
    gateways: asked ? 2 : null,
    services: asked ? 18 : null,
    out_rps: asked ? 812 : null,
    in_rps: asked ? 64 : null,
    ...more,
  };
}

function mapEdge(link: string, source: string, numbers: Numbers, more: Partial<MapEdgeRow> = {}): MapEdgeRow {
  return {
    context: source,
    link,
    source,
    target: link,
    rps: numbers.rps,
    success: numbers.success,
    latency_ms_p99: numbers.p99,
    rtt_ms: 8.4,
    streams: 28,
    mirrors: 14,
    ...FINE,
    ...more,
  };
}

/** Thirty minutes that go up and down as sines do, so that two pictures are alike. */
function spark(
  kind: SparkRow['kind'],
  side: SparkRow['side'],
  name: string,
  rps: number,
  more: Partial<SparkRow> = {},
): SparkRow {
  const at = Array.from({ length: 40 }, (_, index) => Math.round(Date.now() / 1000) - (39 - index) * 45);
  const wave = (index: number, of: number) =>
    of * (1 + 0.18 * Math.sin(index / 3) + 0.09 * Math.sin(index * 1.7));
  return {
    context: 'east',
    kind,
    side,
    namespace: kind === 'service' || kind === 'mirror' ? 'shop' : '',
    name,
    at,
    rps: at.map((_, index) => wave(index, rps)),
    success: at.map((_, index) => (index > 33 ? 0.962 : 0.9996)),
    p99: at.map((_, index) => wave(index, 44)),
    ...more,
  };
}

const PODS_ADVICE = 'See `linkspan gateways -o wide` for what each address answers.';
const DEAD = fails(
  'ProbesFailed',
  'no address of the gateway answers: 10.0.2.15:4143 (timeout), 10.0.2.16:4143 (timeout)',
  PODS_ADVICE,
);

/** Everything is as it should be, and busy. */
export function wellTables(): Tables {
  const busy = { rps: 340, success: 0.9998, p99: 38 };
  const calm = { rps: 12.4, success: 1, p99: 12 };
  const allSignals = (context: string, side: SignalsRow['side']): SignalsRow => ({
    context,
    side,
    ...signals({ rps: 812, success: 0.9996, p99: 44 }),
  });
  const services = ['checkout', 'catalogue', 'search', 'payments', 'users', 'images'];
  return {
    ...emptyTables(),
    contexts: { east: contextRow('east'), west: contextRow('west', { links: 1 }) },
    signals: {
      '/egress': allSignals('', 'egress'),
      'east/egress': allSignals('east', 'egress'),
      'west/gateway': allSignals('west', 'gateway'),
    },
    nodes: {
      east: node('east', 'east'),
      west: node('west', 'west', { in_rps: 640, out_rps: 22 }),
      north: node('north', null),
    },
    mapEdges: {
      'east/west': mapEdge('west', 'east', { rps: 620, success: 0.9998, p99: 38 }),
      'east/north': mapEdge('north', 'east', { rps: 96, success: 1, p99: 61 }, { rtt_ms: 31 }),
      'west/east': mapEdge('east', 'west', { rps: 22, success: 1, p99: 17 }),
    },
    links: {
      'east/west': linkRow('west', busy),
      'east/north': linkRow('north', calm, { rtt_ms: 31 }),
      'west/east': linkRow('east', calm, { context: 'west', source: 'west' }),
    },
    services: Object.fromEntries([
      ...services.map((name, at) => [`east/${name}`, serviceRow(name, { ...busy, rps: 340 / (at + 1) })]),
      ...services
        .slice(0, 4)
        .map((name, at) => [
          `west/${name}`,
          serviceRow(
            name,
            { ...busy, rps: 330 / (at + 1), p99: 26 },
            { context: 'west', cluster: 'west', side: 'gateway' },
          ),
        ]),
      ['east/quiet', serviceRow('quiet', { rps: null, success: null, p99: null })],
    ]),
    mirrors: Object.fromEntries(
      services.map((name, at) => [
        `east/${name}-west`,
        mirrorRow(
          `${name}-west`,
          'west',
          { ...busy, rps: 300 / (at + 1) },
          {
            ends: {
              egress_ms_p99: 38,
              gateway_ms_p99: 26 - at,
              rtt_ms: 8.4,
              where: at % 2 === 0 ? 'endpoint' : 'network',
            },
          },
        ),
      ]),
    ),
    reports: Object.fromEntries(
      services.slice(0, 4).map((name): [string, ReportRow] => [
        `east/${name}`,
        {
          context: 'east',
          link: 'west',
          cluster: 'west',
          service: `shop/${name}`,
          local: `${name}-west`,
          mode: 'gateway',
          federated: false,
          reason: 'Mirrored',
          message: '',
          advice: '',
          failing: false,
          since: new Date(Date.now() - 9 * 3600 * 1000).toISOString(),
          endpoints: 3,
          leftOut: [],
        },
      ]),
    ),
    edges: {
      'east/frontend/checkout': edgeRow('frontend-6c8d9-x7k2m', 'checkout-west', busy),
      'east/frontend/search': edgeRow('frontend-6c8d9-x7k2m', 'search-west', calm),
      'east/batch/payments': edgeRow('batch-8f5c4-m3n1q', 'payments-west', calm, { dst_cluster: 'north' }),
    },
    clients: Object.fromEntries(
      ['frontend-6c8d9-x7k2m', 'batch-8f5c4-m3n1q', 'reports-5d6f7-k9l2p'].map(
        (name, at): [string, Client] => {
          const { exported: _, ...row } = serviceRow(
            name,
            { ...busy, rps: 240 / (at + 1) },
            { kind: 'client' },
          );
          return [`east/${name}`, { ...row, endpoints: null, targets: 4 - at, last_s: 0.2 }];
        },
      ),
    ),
    processes: {
      c: processRow('linkspan-controller-5f7d8-4xq2w', 'controller'),
      e1: processRow('linkspan-egress-7d9c5-x2k4p', 'egress'),
      e2: processRow('linkspan-egress-7d9c5-q8m2z', 'egress'),
      g1: processRow('linkspan-gateway-6b8f4-t5r9v', 'gateway'),
      wg: processRow('linkspan-gateway-9c3d2-h8j4k', 'gateway', { context: 'west', cluster: 'west' }),
    },
    sparks: {
      all: spark('all', 'egress', '', 812, { context: '' }),
      west: spark('link', 'egress', 'west', 340),
      checkout: spark('service', 'egress', 'checkout', 340),
      'checkout-west': spark('mirror', 'egress', 'checkout-west', 300),
    },
  };
}

/**
 * The same with a dead gateway, a mirror without endpoints, a certificate that ends, and a cluster that is
 * away.
 */
export function failingTables(): Tables {
  const well = wellTables();
  const gone = { rps: 14, success: 0.41, p99: 1890 };
  const south = linkRow('south', gone, {
    ...DEAD,
    gateways: { alive: 0, known: 2 },
    rtt_ms: null,
    conditions: [
      ...linkRow('south', gone).conditions.slice(0, 2),
      {
        type: 'GatewayAlive',
        status: 'False',
        reason: 'ProbesFailed',
        message: RIGHT_TO_LEFT,
        advice: PODS_ADVICE,
        since: new Date(Date.now() - 4 * MINUTE).toISOString(),
      },
      {
        type: 'Synced',
        status: 'False',
        reason: 'SomeNotMirrored',
        message: '2 of 9 exported Services: NameConflict 1, MissingNamespace 1',
        advice: '`linkspan mirrors south` says which.',
        since: new Date(Date.now() - 40 * MINUTE).toISOString(),
      },
    ],
    probes: ['10.0.2.15:4143', '10.0.2.16:4143'].map((address) => ({
      address,
      state: 'dead' as const,
      reason: 'Timeout',
      message: 'no answer within 2 s',
      since: Date.now() - 4 * MINUTE,
    })),
    reasons: { Mirrored: 7, NameConflict: 1, MissingNamespace: 1 },
    importPolicy: { 'linkspan.dev/import-namespaces': 'shop,billing' },
  });
  const report = (service: string, reason: string, message: string): ReportRow => ({
    context: 'east',
    link: 'south',
    cluster: 'south',
    service,
    local: `${service.split('/')[1] ?? ''}-south`,
    mode: 'gateway',
    federated: false,
    reason,
    message,
    advice: '',
    failing: true,
    since: new Date(Date.now() - 40 * MINUTE).toISOString(),
    endpoints: 0,
    leftOut: [],
  });
  return {
    ...well,
    contexts: {
      ...well.contexts,
      west: contextRow('west', {
        state: 'partial',
        asked: 4,
        answered: 3,
        links: 1,
        unread: ['no answer from west/linkspan-gateway-9c3d2-z1x2c: timeout after 3 s'],
      }),
      plant: contextRow('plant', {
        state: 'unreachable',
        at: Date.now() - 47_000,
        links: 0,
        traffic: false,
        error: {
          code: 'KUBE_UNREACHABLE',
          message: 'https://10.9.0.1:6443 does not answer: connect ETIMEDOUT',
          advice: 'See whether this machine reaches the API server: `kubectl --context plant version`.',
        },
      }),
    },
    cards: {
      'link/south': card({
        kind: 'link',
        name: 'south',
        to: 'south',
        reason: 'ProbesFailed',
        message: DEAD.message,
        advice: 'See `linkspan gateways -o wide` for what each address answers.',
        command: 'linkspan gateways south -o wide',
        mirrors: 7,
        firstMirrors: ['shop/orders-south', 'shop/stock-south', `shop/${LONGEST}`],
        rps: 14,
      }),
      'certificate/g': card({
        kind: 'certificate',
        name: 'linkspan-gateway-6b8f4-t5r9v',
        reason: 'CertificateExpiring',
        message: 'its certificate ends in 1312 s',
        advice: 'See the log of the pod: renewal fails. `linkspan check` looks at the issuer.',
        command: 'linkspan proxies -o wide',
        since: null,
      }),
      'mirror/orders': card({
        kind: 'mirror',
        namespace: 'shop',
        name: LONGEST,
        to: 'south',
        reason: 'NoReadyEndpoints',
        message: RIGHT_TO_LEFT,
        advice: 'Look at the pods of the Service in the target cluster: none is ready.',
        command: `linkspan explain svc ${LONGEST} -n shop`,
        sinceBy: 'seen',
        rps: 9,
      }),
      'service/orders': card({
        kind: 'service',
        namespace: 'shop',
        name: 'orders-south',
        reason: 'failfast',
        message: '41.2% of 812 requests succeed, 99.9% are expected',
        advice:
          'Look at the pods of the Service in its cluster: none is ready (`linkspan explain svc NAME`).',
        command: 'linkspan explain svc orders-south -n shop',
        rps: 14,
      }),
    },
    nodes: {
      ...well.nodes,
      south: node('south', null, { failing: true, reason: 'ProbesFailed', message: DEAD.message }),
      plant: node('plant', 'plant', { out_rps: null, in_rps: null }),
    },
    mapEdges: {
      ...well.mapEdges,
      'east/south': mapEdge('south', 'east', gone, { ...DEAD, rtt_ms: null }),
    },
    links: { ...well.links, 'east/south': south },
    mirrors: {
      ...well.mirrors,
      'east/orders-south': mirrorRow('orders-south', 'south', gone, {
        ...fails('failfast', '41.2% of 812 requests succeed, 99.9% are expected'),
        endpoints: { ready: 0, known: 0 },
        rtt_ms: null,
      }),
      'east/longest': mirrorRow(
        LONGEST,
        'south',
        { rps: 9, success: 0, p99: null },
        {
          ...fails('NoReadyEndpoints', RIGHT_TO_LEFT),
          endpoints: { ready: 0, known: 4 },
        },
      ),
    },
    services: {
      ...well.services,
      'east/orders-south': serviceRow('orders-south', gone, {
        ...fails('failfast', '41.2% of 812 requests succeed, 99.9% are expected'),
        endpoints: { ready: 0, known: 0 },
      }),
      'east/longest': serviceRow(
        LONGEST,
        { rps: 9, success: 0, p99: null },
        {
          ...fails('NoReadyEndpoints', RIGHT_TO_LEFT),
          endpoints: { ready: 0, known: 4 },
        },
      ),
    },
    reports: {
      ...well.reports,
      a: report(
        'billing/invoices',
        'NameConflict',
        'a Service invoices-south is there and not made by Linkspan',
      ),
      b: report(`ops/${LONGEST}`, 'MissingNamespace', 'there is no namespace ops'),
    },
    edges: {
      ...well.edges,
      'east/frontend/orders': edgeRow('frontend-6c8d9-x7k2m', 'orders-south', gone, {
        ...fails('failfast', '41.2% of 812 requests succeed'),
        dst_cluster: 'south',
      }),
    },
    processes: {
      ...well.processes,
      g1: processRow('linkspan-gateway-6b8f4-t5r9v', 'gateway', {
        ...fails('CertificateExpiring', 'its certificate ends in 1312 s'),
        certificate_left_s: 1312,
      }),
      w2: processRow('linkspan-gateway-9c3d2-z1x2c', 'gateway', {
        ...fails('ProcessSilent', 'timeout after 3 s'),
        context: 'west',
        cluster: 'west',
        ready: false,
        workers: null,
        synced: null,
        oldest_s: null,
        certificate_left_s: null,
        connections: null,
        streams: null,
        success: null,
        latency_ms_p99: null,
        requests_rps: null,
        anchors_left_s: null,
      }),
    },
  };
}

/** Asked, and nothing is linked. */
export function unlinkedTables(): Tables {
  return {
    ...emptyTables(),
    contexts: { east: contextRow('east', { links: 0, traffic: false, asked: 0, answered: 0 }) },
  };
}

/** Linked, and nobody has asked for anything. */
export function quietTables(): Tables {
  const well = wellTables();
  const none = { rps: null, success: null, p99: null };
  const still = <T extends object>(table: Readonly<Record<string, T>>) =>
    Object.fromEntries(Object.entries(table).map(([key, row]) => [key, { ...row, ...signals(none) }]));
  return {
    ...well,
    contexts: { east: contextRow('east', { traffic: false }) },
    signals: {},
    services: still(well.services),
    mirrors: still(well.mirrors),
    links: still(well.links),
    edges: {},
    clients: {},
    sparks: {},
  };
}

/** So many Services over so many Links. */
export function largeTables(services: number, links: number, round = 0): Tables {
  const well = wellTables();
  const numbers = (at: number) => ({
    // A few are busy, most are not, and all of them change a little.
    rps: (5000 / (((at * 7919) % 1000) + 1)) * (1 + 0.03 * Math.sin(round + at)),
    success: at % 97 === 0 ? 0.9 : 1,
    p99: 10 + (at % 50),
  });
  const names = Array.from({ length: links }, (_, at) => `cluster-${String(at).padStart(2, '0')}`);
  return {
    ...well,
    nodes: Object.fromEntries([
      ['east', node('east', 'east')],
      ...names.map((name) => [name, node(name, null)] as const),
    ]),
    mapEdges: Object.fromEntries(names.map((name, at) => [name, mapEdge(name, 'east', numbers(at))])),
    links: Object.fromEntries(names.map((name, at) => [name, linkRow(name, numbers(at))])),
    services: Object.fromEntries(
      Array.from({ length: services }, (_, at) => {
        const bad =
          at % 97 === 0 ? fails('failfast', '90% of 812 requests succeed, 99.9% are expected') : FINE;
        return [
          `east/${at}`,
          serviceRow(`service-${String(at).padStart(4, '0')}`, numbers(at), bad),
        ] as const;
      }),
    ),
  };
}
