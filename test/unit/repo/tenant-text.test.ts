import { effectivePolicy } from '../../../src/policy/effective-policy.ts';
import type { V1Pod, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import fc from 'fast-check';
import { readBackendFacts } from '../../../src/api/failover/backend-facts.ts';
import { readKeptWeights } from '../../../src/api/failover/backend-weights.ts';
import { drillProblem, readDrill } from '../../../src/api/failover/connection-drill.ts';
import { drainProblem, readDrain } from '../../../src/api/failover/failover-drain.ts';
import { parseObjective, readObjective } from '../../../src/api/objective.ts';
import { readFacts } from '../../../src/api/failover/failover-facts.ts';
import { readAbortRule } from '../../../src/drains/abort-rule.ts';
import { readFailoverPolicy } from '../../../src/policy/failover/failover-policy-text.ts';
import { readLinkDefaults } from '../../../src/policy/failover/placement.ts';
import { readTiers } from '../../../src/policy/failover/tiers.ts';
import { readDrainField } from '../../../src/api/failover/drain-header.ts';
import { readTraffic } from '../../../src/drains/egress-traffic.ts';
import {
  ANNOTATION_GROUP_LIMITS,
  ANNOTATION_LIMITS,
  overlongAnnotations,
} from '../../../src/api/annotations.ts';
import {
  CREATED_BY,
  DATA_PATH,
  HELM_RELEASE_NAME,
  IMPORT_GATEWAYS,
  REMOTE_UID,
} from '../../../src/api/names.ts';
import { federatedEntries } from '../../../src/api/mirror/federated-members.ts';
import { parseAddress } from '../../../src/base/address.ts';
import { nearest } from '../../../src/base/config.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { parseDuration } from '../../../src/base/duration.ts';
import { DEFAULT_EGRESS_RANGE, readEgressPorts } from '../../../src/api/egress/egress-ports.ts';
import { LinkspanError } from '../../../src/api/errors/linkspan-error.ts';
import { linearRegex } from '../../../src/base/linear-regex.ts';
import { RegexError } from '../../../src/base/regex-syntax.ts';
import { FaultAnnotations, readFaults } from '../../../src/policy/faults/fault-annotations.ts';
import { parseTargets } from '../../../src/discovery/file-targets.ts';
import { meshEndpoint, storedMeshPod } from '../../../src/discovery/mesh-pod.ts';
import { isListed } from '../../../src/api/ports/port-list.ts';
import { parseRate } from '../../../src/policy/rate-limits/rate-limit-annotations.ts';
import { readDstOverrides } from '../../../src/api/routing/dst-overrides.ts';
import { NotValid } from '../../../src/api/routing/read-value.ts';
import { readReferenceGrant } from '../../../src/api/routing/reference-grant.ts';
import { readTrafficSplit } from '../../../src/api/routing/traffic-split.ts';
import { readRoute } from '../../../src/policy/routing/read-route.ts';
import { serviceRouting } from '../../../src/policy/routing/service-routing.ts';
import { changedPath, locationOf } from '../../../src/proxy/routing/request-changes.ts';
import { RoutingTable } from '../../../src/proxy/routing/routing-table.ts';
import { readServiceProfile } from '../../../src/policy/requests/service-profile.ts';
import { serviceTargets } from '../../../src/discovery/service-targets.ts';
import { readAllowedNamespaces } from '../../../src/api/mirror/allowed-namespaces.ts';
import { routesOf } from '../../../src/egress/routes/routes.ts';
import { passedBefore } from '../../../src/gateway/authorization/forwarded.ts';
import { tapRuleOf } from '../../../src/tap/tap-rules.ts';
import { inNetworks } from '../../../src/gateway/authorization/networks.ts';
import { storedPolicyPod as policyPod, workloadOfPod } from '../../../src/gateway/authorization/workload.ts';
import { isOfTrustDomain } from '../../../src/identity/names/trust-domain.ts';
import { parseCertificates } from '../../../src/identity/x509/certificate.ts';
import { identityKind } from '../../../src/identity/names/identity-name.ts';
import { parsePrivateKey } from '../../../src/identity/x509/keys.ts';
import { matchesIdentity, peerIdentities } from '../../../src/identity/x509/peer-certificate.ts';
import { mayRelay } from '../../../src/identity/names/relayed-name.ts';
import { statusError, warningsOf } from '../../../src/kube/client/api-error.ts';
import { isWithInstallers } from '../../../src/manifests/managed-fields.ts';
import { ListSplitter } from '../../../src/kube/client/list-splitter.ts';
import { isHost, parseImportPolicy } from '../../../src/api/link/import-policy.ts';
import { unreachableFromPods } from '../../../src/linking/api-address.ts';
import { accessFromSecret } from '../../../src/linking/credentials.ts';
import { gatewayFacts, linkerdFacts, tokenOf } from '../../../src/linking/link-gen.ts';
import { parseLink } from '../../../src/api/link/link-schema.ts';
import { parseSelectorText } from '../../../src/api/kubernetes/label-selector.ts';
import { tokenFacts } from '../../../src/linking/token.ts';
import { remainders } from '../../../src/linking/unlink.ts';
import { annotatedGateway } from '../../../src/api/exports/export-marks.ts';
import { renewalWish } from '../../../src/controllers/link/token-renewal.ts';
import { seedClaims } from '../../../src/controllers/egress-ports/egress-seed.ts';
import { copiedMetadata, recordedKeys } from '../../../src/api/mirror/mirror-metadata.ts';
import { hostOriginOf, originOf } from '../../../src/api/mirror/ownership.ts';
import { metadataPatch } from '../../../src/controllers/reconcile/object-plan.ts';
import { FirstLine, isHttpServer } from '../../../src/proxy/io/protocol-detection.ts';
import { ProxyFailure } from '../../../src/proxy/http/failures.ts';
import { makeField } from '../../../src/proxy/http/fields.ts';
import { renderRequest, splitTarget } from '../../../src/proxy/http1/render.ts';
import { parseRequestHead } from '../../../src/proxy/http1/head.ts';
import { readPurpose, readTunnelRefusal as readRefusal } from '../../../src/proxy/streams/stream-head.ts';
import { HeaderError, plainHost, TransportHeaderDecoder } from '../../../src/proxy/io/transport-header.ts';
import { anyText } from '../../support/any-text.ts';
import { readFailover, readWeighted, weightedSpec } from '../../support/read-failover.ts';
import { routeOf, routingFacts } from '../../support/routing-facts.ts';
import { expectLinear, expectUnnoticed } from '../../support/linear-time.ts';
import { WORST_TEXTS, worstTexts } from '../../support/worst-text.ts';

/** As many as a run in CI bears; `LINKSPAN_FUZZ=20` runs twenty times as many. */
const RUNS = 150 * Number(process.env['LINKSPAN_FUZZ'] ?? '1');

const OWNER = { cluster: 'west', link: 'demo/west' };
const COPY = { excludedLabel: () => false, excludedAnnotation: () => false };
const LINKS = [
  {
    metadata: { name: 'west', namespace: 'demo', uid: 'link' },
    spec: {
      targetClusterName: 'west',
      clusterCredentialsSecret: 'x',
      gatewayAddress: '10.0.0.1',
      gatewayPort: '4143',
      gatewayIdentity: 'g',
    },
  },
];
const CLAIM = {
  mirror: 'demo/web',
  port: 80,
  export: 'demo/web',
  link: 'demo/west',
  cluster: 'west',
  target: 'web.demo.svc.cluster.local',
};
const GATEWAY = { name: 'gw', namespace: 'mc', addresses: ['10.0.0.1'], port: undefined };

/**
 * Everything that is done with the annotations of a Service, wherever it stands, and of a pod, a Link, a
 * Secret.
 */
function readAll(annotations: Record<string, string>): void {
  const metadata = { name: 'web', namespace: 'demo', uid: 'u', resourceVersion: '1', annotations };
  tapRuleOf(annotations);
  const ports = [80, 443, 8080].map((port) => ({ name: `p${port}`, port, targetPort: port }));
  const service: V1Service = { metadata, spec: { ports, selector: { app: 'web' } } };
  const labels = { 'mirror.linkerd.io/mirrored-service': 'true' };
  const ours = { 'mirror.linkerd.io/cluster-name': 'west', ...labels };
  const federated: V1Service = { ...service, metadata: { ...metadata, labels } };
  const mirror: V1Service = { ...service, metadata: { ...metadata, labels: ours } };
  const relayed: V1Service = {
    ...mirror,
    metadata: {
      ...mirror.metadata,
      annotations: {
        'linkspan.dev/data-path': 'relay',
        'mirror.linkerd.io/remote-svc-fq-name': 'web.demo.svc.cluster.local',
        'linkspan.dev/egress-ports': '{"80":20000,"443":20001}',
        ...annotations,
      },
    },
  };
  serviceTargets(service, [], 'cluster.local');
  effectivePolicy({ key: 'demo/web', annotations });
  overlongAnnotations(annotations);
  readFailover(annotations);
  readObjective(annotations);
  const record = seedClaims([federated, mirror, relayed], LINKS, DEFAULT_EGRESS_RANGE);
  record.set(20_000, CLAIM);
  routesOf({ record, mirror: () => relayed, link: () => LINKS[0] });
  for (const one of [federated, mirror]) {
    originOf(one, OWNER);
    hostOriginOf(one, OWNER);
    federatedEntries(one);
    recordedKeys(one.metadata?.annotations);
    metadataPatch(one.metadata, copiedMetadata(service, COPY));
    remainders([one], 'west', 'demo/west');
  }
  annotatedGateway(service);
  readAllowedNamespaces(annotations['linkspan.dev/allowed-namespaces']);
  quietly(() => gatewayFacts(service, GATEWAY));
  quietly(() => tokenOf([{ metadata }], 'web', 'demo'));
  quietly(() => renewalWish({ metadata }));
  parseLink({ metadata, spec: LINKS[0]?.spec } as never);
  new FaultAnnotations(systemClock, true).of('demo/web', annotations);
  const pod: V1Pod = {
    metadata: { ...metadata, labels: { 'linkerd.io/control-plane-ns': 'linkerd' } },
    spec: {
      containers: [{ name: 'linkerd-proxy' }, { name: 'a', ports: [{ name: 'x', containerPort: 1 }] }],
    },
    status: { podIP: '10.0.0.1' },
  };
  const stored = storedMeshPod(pod);
  if (stored !== undefined) meshEndpoint(stored, 80, 'cluster.local');
  workloadOfPod(policyPod(pod) ?? {});
}

/** What only says that a text is not right, in the way that is meant for it. */
function quietly(read: () => unknown, own: abstract new (...args: never[]) => Error = LinkspanError): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof own)) throw error;
  }
}

const accessOf = (kubeconfig: string) =>
  accessFromSecret({
    metadata: { name: 'creds', namespace: 'mc' },
    type: 'mirror.linkerd.io/remote-kubeconfig',
    data: { kubeconfig: Buffer.from(kubeconfig, 'latin1').toString('base64') },
  });
const kubeconfigWith = (part: string, text: string) =>
  JSON.stringify({
    'current-context': 'a',
    contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
    clusters: [{ name: 'a', cluster: { server: 'https://x', ...(part in CLUSTER ? { [part]: text } : {}) } }],
    users: [{ name: 'a', user: part in CLUSTER ? {} : { [part]: text } }],
  });
const CLUSTER = { server: '', 'certificate-authority-data': '', 'tls-server-name': '' };

/** What the head of a stream says that it is for. */
const purposeOf = (target: string, session: string, client: string) =>
  quietly(
    () =>
      readPurpose(
        [
          makeField(':method', session === '' ? 'GET' : 'CONNECT'),
          makeField(':target', target),
          ...(session === '' ? [] : [makeField(':session', session)]),
          makeField(':client', client),
          makeField(target, 'x'),
        ],
        true,
      ),
    ProxyFailure,
  );
/** The answer to a list, in two pieces: what it holds is cut in the middle. */
const listOf = (text: string) =>
  quietly(() => {
    const bytes = Buffer.from(text, 'latin1');
    const splitter = new ListSplitter('a list', () => undefined);
    splitter.write(bytes.subarray(0, bytes.length >> 1));
    splitter.write(bytes.subarray(bytes.length >> 1));
    splitter.end();
  });
/**
 * Annotations that nobody takes apart, only compares; and one that is read with the others of its group,
 * which have readers below.
 */
const COMPARED: ReadonlySet<string> = new Set([CREATED_BY, HELM_RELEASE_NAME, IMPORT_GATEWAYS, REMOTE_UID]);
const POLICY = ['namespaces', 'names', 'labels', 'annotations', 'pod-cidrs', 'gateway-cidrs', 'quotas'];

/**
 * Every reader of text that a tenant, a pod, a certificate or another cluster has written, by what it reads.
 */
const readers: Readonly<Record<string, (text: string) => unknown>> = {
  'a rate': parseRate,
  'an objective': parseObjective,
  'a part of an objective': (text) => parseObjective(`99%,p9${text},p99<${text}`),
  'a list of ports': (text) => isListed(text, 80, ['http']),
  'a duration': parseDuration,
  'egress ports': readEgressPorts,
  faults: (text) => readFaults(text, 0),
  'a key of faults': (text) => readFaults(JSON.stringify([{ [text]: 1 }]), 0),
  'a value of faults': (text) =>
    readFaults(JSON.stringify([{ until: text, delay: text, headers: { [text]: text } }]), 0),
  'a Forwarded field': (text) => passedBefore('gateway.west', [makeField('forwarded', text)]),
  'a host': plainHost,
  'an absolute target': (text) => splitTarget(`http://${text}`, 'GET'),
  'a head': (text) =>
    quietly(
      () =>
        renderRequest(parseRequestHead(Buffer.from(`GET /${text} HTTP/1.1\r\n${text}\r\n\r\n`, 'latin1')), {
          host: 'x',
          added: [],
        }),
      Error,
    ),
  'an identity': (text) => isOfTrustDomain(text, 'cluster.local'),
  'an identity of the mesh': (text) => isOfTrustDomain(`a.serviceaccount.identity.${text}`, 'cluster.local'),
  'markers in an identity': (text) =>
    isOfTrustDomain('.serviceaccount.identity.'.repeat(text.length / 25), 'cluster.local'),
  'a name in a request for a certificate': (text) => quietly(() => identityKind(text)),
  'an allowed client': (text) => matchesIdentity(`*.${text}`, `a.${text}`),
  'a network': (text) => inNetworks([{ cidr: text, except: [text] }], '10.0.0.1'),
  'an address': (text) => inNetworks([{ cidr: '10.0.0.0/8' }], text),
  'a certificate': (text) => quietly(() => parseCertificates(text, 'ca.crt')),
  'certificates without an end': (text) =>
    quietly(() => parseCertificates('-----BEGIN CERTIFICATE-----\n'.repeat(text.length / 28), 'ca.crt')),
  'a key': (text) => quietly(() => parsePrivateKey(text, 'tls.key')),
  'DER of a certificate': (text) => peerIdentities(Buffer.from(text, 'latin1')),
  'a kubeconfig': (text) => quietly(() => accessOf(text)),
  'a server in a kubeconfig': (text) => quietly(() => accessOf(kubeconfigWith('server', `https://${text}`))),
  'CA data in a kubeconfig': (text) =>
    quietly(() => accessOf(kubeconfigWith('certificate-authority-data', text))),
  'a token in a kubeconfig': (text) => quietly(() => accessOf(kubeconfigWith('token', text))),
  'an address of an API server': (text) => unreachableFromPods(`https://${text}`),
  'a token': tokenFacts,
  'claims of a token': (text) => tokenFacts(`a.${Buffer.from(text, 'latin1').toString('base64url')}.c`),
  "Linkerd's values": (text) => quietly(() => linkerdFacts(text, 'linkerd-config')),
  tiers: (text) => readTiers(text, readTiers('local; west').tiers),
  'a policy of failover': (text) => readFailoverPolicy(text),
  'a value of a policy of failover': (text) =>
    readFailoverPolicy(`delay=${text} max-share=west:${text} expected=${text}`),
  'what Links say of their clusters': (text) => readLinkDefaults({ tier: text, weight: text, factor: text }),
  'facts of a member': readFacts,
  'facts of backends': readBackendFacts,
  'facts of one backend': (text) => readBackendFacts(JSON.stringify({ [text]: text, west: text })),
  'weights that are kept': readKeptWeights,
  'a drain': (text) => [readDrain(text), drainProblem(text)],
  'a value of a drain': (text) => drainProblem(JSON.stringify({ to: text, until: text, [text]: text })),
  'a drill': (text) => [readDrill(text), drillProblem(text)],
  'an object whose weights are written': (text) =>
    readWeighted({ metadata: { name: text, namespace: 'demo' }, spec: weightedSpec(text) }),
  'when a drill is given up': readAbortRule,
  'a drain that a gateway asks for': (text) => readDrainField(text, 0),
  'metrics of an egress': (text) =>
    readTraffic(`response_total{${text}} 1\nresponse_total{a="${text}"} ${text}`),
  'a selector': (text) => quietly(() => parseSelectorText(text), Error),
  'a field of a Link': (text) =>
    parseLink({
      metadata: { name: 'a', namespace: 'b' },
      spec: {
        targetClusterName: text,
        targetClusterDomain: text,
        clusterCredentialsSecret: text,
        gatewayAddress: text,
        gatewayPort: text,
        gatewayIdentity: text,
        probeSpec: { path: text, port: text, period: text },
        selector: { matchLabels: { [text]: text } },
        excludedLabels: [text],
      },
    } as never),
  'a warning of an API server': (text) => warningsOf(`299 - "${text}`),
  'warnings of an API server': (text) => warningsOf('299 - "\\"'.repeat(text.length / 9)),
  'a conflict of an API server': (text) =>
    isWithInstallers([text, `conflict with "${text}" with subresource`]),
  'a status of an API server': (text) => statusError(500, text, 'x', text),
  'a path of a ServiceProfile': (text) =>
    readServiceProfile({ routes: [{ name: text, timeout: text, condition: { pathRegex: text } }] }),
  'a TrafficSplit': (text) =>
    quietly(
      () => readTrafficSplit({ service: text, backends: [{ service: text, weight: text }, text] }),
      NotValid,
    ),
  'a weight of a TrafficSplit': (text) =>
    quietly(
      () => readTrafficSplit({ service: 'web', backends: [{ service: 'web', weight: text }] }),
      NotValid,
    ),
  'overrides of a ServiceProfile': (text) =>
    quietly(() => readDstOverrides([{ authority: text, weight: '1' }], 'cluster.local'), NotValid),
  'a weight of overrides': (text) =>
    quietly(() => readDstOverrides([{ authority: AUTHORITY, weight: text }], 'cluster.local'), NotValid),
  'a ReferenceGrant': (text) =>
    quietly(
      () =>
        readReferenceGrant({
          from: [{ group: text, kind: text, namespace: text }],
          to: [{ group: text, kind: text, name: text }],
        }),
      NotValid,
    ),
  'a reference of a route': (text) =>
    routed(text, [{ backendRefs: [{ group: text, kind: text, name: text, namespace: text, port: 1 }] }]),
  'a match of an HTTPRoute': (text) =>
    ['Exact', 'PathPrefix', 'RegularExpression', text].map((type) =>
      routed(text, [
        { matches: [{ path: { type, value: text } }] },
        { matches: [{ path: { type, value: `/${text}` }, method: text }] },
        { matches: [{ headers: [{ type, name: text, value: text }] }] },
        { matches: [{ headers: [{ type, name: 'x', value: text }] }] },
        { matches: [{ queryParams: [{ type, name: text, value: text }] }] },
      ]),
    ),
  'a match of a GRPCRoute': (text) =>
    ['Exact', 'RegularExpression', text].map((type) =>
      readRoute('GRPCRoute', '', {
        spec: { rules: [{ matches: [{ method: { type, service: text, method: text } }] }] },
      }),
    ),
  'a filter of a route': (text) =>
    [
      { name: text, value: text },
      { name: 'x', value: text },
    ].map((change) => {
      const path = { type: 'ReplaceFullPath', replaceFullPath: `/${text}` };
      const filters = [
        { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [change], remove: [text] } },
        { type: 'RequestRedirect', requestRedirect: { hostname: text, scheme: text, path } },
        { type: 'URLRewrite', urlRewrite: { hostname: text, path } },
        { type: text },
      ];
      for (const one of filters) routed(text, [{ filters: [one] }]);
    }),
  'a time limit of a route': (text) =>
    routed(text, [{ timeouts: { request: text, backendRequest: text }, retry: { backoff: text } }]),
  'a route without form': (text) => routed(text, [{ matches: text, filters: text, backendRefs: text }, text]),
  'a request that is routed': (text) => {
    TABLE.find({ method: text, path: text, fields: [makeField('x', text), makeField(text, 'x')] });
    TABLE.find({ method: 'GET', path: `/?${text}&a=${text}`, fields: [] });
  },
  'a request that is changed': (text) => {
    for (const kind of ['full', 'prefix'] as const) changedPath(text, { kind, value: '/x' }, '/a');
    locationOf({ port: 1, status: 302 }, { path: text, authority: text }, '');
  },
  'a regular expression': (text) => quietly(() => linearRegex(text), RegexError),
  'a path for a regular expression': (text) => HARD.test(text.slice(0, 2048)),
  'a file of targets': (text) => quietly(() => parseTargets(text, 'targets.yaml')),
  'what a stream is for': (text) => purposeOf(text, '', text),
  'a service that a stream is for': (text) => purposeOf(`${text}:80`, 'opaque', text),
  'a port that a stream is for': (text) => purposeOf(`web:${text}`, text, text),
  'a refusal of a stream': (text) =>
    readRefusal([makeField(':status', text), makeField('l5d-proxy-error', text)]),
  'a name that a relay says': (text) =>
    mayRelay(
      'egress.ns.serviceaccount.identity.linkerd.east',
      `${text}.serviceaccount.identity.linkerd.east`,
    ),
  'a transport header': (text) =>
    quietly(() => new TransportHeaderDecoder().push(Buffer.from(text, 'latin1')), HeaderError),
  'the first line of a client': (text) => new FirstLine().take(Buffer.from(text, 'latin1')),
  'the first bytes of a server': (text) => isHttpServer(Buffer.from(text, 'latin1')),
  'a list of an API server': listOf,
  'objects of a list of an API server': (text) =>
    listOf(`{"items":[{"a":"${text}"},${text}],"metadata":${text}}`),
  'namespaces that a mirror lets in': readAllowedNamespaces,
  'an import policy': (text) =>
    parseImportPolicy(Object.fromEntries(POLICY.map((name) => [`linkspan.dev/import-${name}`, text]))),
  'gateways that a Link allows': (text) => parseImportPolicy({ 'linkspan.dev/import-gateways': text }),
  'a gateway that a Link allows': (text) =>
    parseImportPolicy({
      'linkspan.dev/import-gateways': JSON.stringify([{ addresses: [text], port: 1, identity: text }]),
    }),
  'a host of a gateway': isHost,
  'an address of a setting': (text) => quietly(() => parseAddress(text, '--listen')),
  'a word that is none': (text) => nearest(text, ['until', 'percent', 'headers']),
};
const AUTHORITY = 'web.demo.svc.cluster.local';
/** A route that says this in every place where text may stand, as far as it can be followed. */
const routed = (text: string, rules: readonly unknown[]) => {
  const parentRefs = [
    { group: '', kind: 'Service', name: 'web' },
    { group: text, kind: text, name: text, namespace: text, sectionName: text },
  ];
  const routes = rules.map((rule) => routeOf({ name: text, parentRefs, rules: [rule] }));
  const { routing } = serviceRouting(routingFacts({ routes }));
  if (routing !== undefined) new RoutingTable(routing).find({ method: 'GET', path: '/a', fields: [] });
};
const TABLE = new RoutingTable({
  entries: ['(a|b)*a(a|b){30}c', '/x'].map((regex, rule) => ({
    rule,
    match: {
      path: { kind: 'regex', regex },
      headers: [{ name: 'x', value: { kind: 'regex', regex } }],
      query: [{ name: 'a', value: { kind: 'regex', regex } }],
    },
  })),
});
const HARD = linearRegex('(a|b)*a(a|b){100}$');

describe('text of tenants, pods and other clusters', () => {
  const { stackTraceLimit } = Error;

  // Mocha has stack traces of any length made, and parsers that go down into each other make an error at each
  // level.
  before(() => {
    Error.stackTraceLimit = 0;
  });
  after(() => {
    Error.stackTraceLimit = stackTraceLimit;
  });

  // An annotation on one Service of one tenant stopped every gateway of the cluster, again after each
  // restart: reading it took the square of its length.
  describe('is read in time that is in proportion to its length', () => {
    for (const [what, read] of Object.entries(readers))
      it(what, () => {
        for (const make of WORST_TEXTS) expectLinear((length) => read(make(length)), `${what}: ${make(20)}`);
      });
  });

  describe('in any annotation that is read, at most at its limit or beyond', () => {
    const names = [
      ...Object.entries(ANNOTATION_LIMITS),
      ...Object.entries(ANNOTATION_GROUP_LIMITS).map(([group, limit]) => [`${group}/west`, limit] as const),
      ...[...POLICY, 'gateways'].map((name) => [`linkspan.dev/import-${name}`, 4096] as const),
    ];
    // Those of failover were tried each beside its reader, which nobody saw to.
    it('are all that there are', () => {
      const read = new Set<string>();
      // Who copies all of them asks for each before he takes it.
      let copied: string | symbol = '';
      const limited = Object.keys(ANNOTATION_LIMITS).filter((name) => !COMPARED.has(name));
      // A Link that is wrong is not read to its end.
      const all = Object.fromEntries(limited.map((name) => [name, name === DATA_PATH ? 'relay' : '1']));
      const noted = new Proxy(all, {
        getOwnPropertyDescriptor: (from, key) => Reflect.getOwnPropertyDescriptor(from, (copied = key)),
        get: (from, key) => {
          if (key !== copied) read.add(String(key));
          copied = '';
          return Reflect.get(from, key) as unknown;
        },
      });
      readAll(noted);
      expect(limited.filter((name) => !read.has(name))).to.deep.equal([]);
    });

    for (const [name, limit] of names)
      it(name, () => {
        for (const make of WORST_TEXTS)
          for (const length of [limit, limit + 1])
            expectUnnoticed(() => readAll({ [name]: make(length) }), `${name}: ${make(20)}`);
      });
  });

  describe('is refused, if it is, with an error that says so', () => {
    const units = [
      ...new Set(worstTexts(3)),
      'until',
      '"delay":"1s"',
      '\n',
      '\0',
      '\u2028',
      '🙂',
      '[{',
      '}]',
      ': ',
    ];
    const anything = fc.oneof(
      anyText(60),
      fc.array(fc.constantFrom(...units), { maxLength: 20 }).map((parts) => parts.join('')),
      fc.json(),
    );
    for (const [what, read] of Object.entries(readers))
      it(what, () =>
        fc.assert(
          fc.property(anything, (text) => void read(text)),
          { numRuns: RUNS },
        ),
      );

    it('every annotation', () => {
      const names = Object.keys(ANNOTATION_LIMITS);
      const annotations = fc.dictionary(fc.constantFrom(...names, 'members.linkspan.dev/west'), anything);
      fc.assert(
        fc.property(annotations, (all) => readAll(all)),
        { numRuns: RUNS },
      );
    });
  });
});
