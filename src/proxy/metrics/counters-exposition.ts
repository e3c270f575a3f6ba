import { Exposition, type LabelValues, type MetricFamily } from '../../telemetry/exposition.ts';
import type { Registry } from '../../telemetry/registry.ts';
import { type ProxyCounters, readKey } from './counters.ts';
import { type ConnectionCounts, OTHER } from './connection-counters.ts';
import type { CountersView, Table } from './counters-view.ts';
import {
  type ExpositionSource,
  policyLabels,
  serverLabels,
  type Side,
  TARGET_LABELS,
  targetLabels,
} from './exposition-labels.ts';
import { groupFamilies, writeGroups } from './group-exposition.ts';
import { readResponseKey } from './histogram.ts';
import { latencyFamilies, writeLatency } from './latency-exposition.ts';
import { routeFamilies, writeRoutes } from './route-exposition.ts';
import type { FailureKind } from '../http/failures.ts';
import { isFailedAnswer } from '../http/classify.ts';

const SERVER = ['target_addr', 'target_ip', 'target_port', 'srv_group', 'srv_kind', 'srv_name', 'srv_port'];
const TCP = ['direction', 'peer', 'authority', 'dst_service', 'dst_namespace', ...SERVER, 'tls'];
const AUTHZ = ['authz_group', 'authz_kind', 'authz_name', 'tls', 'client_id'];
const RATE_LIMIT = ['ratelimit_group', 'ratelimit_kind', 'ratelimit_name', 'ratelimit_scope'];
const ROUTE = ['route_group', 'route_kind', 'route_name'];

const counter = (name: string, labels: readonly string[], help: string): MetricFamily => ({
  name,
  type: 'counter',
  labels,
  help,
});

/**
 * The metrics of the data path: linkerd2-proxy's names and labels where they mean anything here, and our own.
 * `docs/reference/metrics.md` lists the same.
 */
export const families = {
  request: counter('request_total', TARGET_LABELS, 'Requests, and opaque connections.'),
  response: counter(
    'response_total',
    [...TARGET_LABELS, 'status_code', 'classification', 'grpc_status'],
    'Responses; failures are 5xx and the gRPC statuses 2, 4, 7, 13, 14, 15.',
  ),
  inFlight: {
    name: 'linkspan_requests_in_flight',
    type: 'gauge',
    labels: TARGET_LABELS,
    help: 'Requests, and opaque connections, that are under way.',
  },
  failures: counter(
    'linkspan_failures_total',
    [...TARGET_LABELS, 'error'],
    'Requests, and opaque connections, that the proxy itself has answered or ended, by why.',
  ),
  tcpOpen: counter('tcp_open_total', TCP, 'Connections opened.'),
  tcpOpenNow: {
    name: 'tcp_open_connections',
    type: 'gauge',
    labels: TCP,
    help: 'Connections that are open.',
  },
  tcpClose: counter('tcp_close_total', [...TCP, 'errno'], 'Connections closed.'),
  tcpRead: counter('tcp_read_bytes_total', TCP, 'Bytes read.'),
  tcpWrite: counter('tcp_write_bytes_total', TCP, 'Bytes written.'),
  httpAllow: counter(
    'inbound_http_authz_allow_total',
    [...SERVER, ...ROUTE, ...AUTHZ],
    'Requests that were authorized.',
  ),
  httpDeny: counter(
    'inbound_http_authz_deny_total',
    [...SERVER, ...ROUTE, ...AUTHZ],
    'Requests that were not authorized.',
  ),
  tcpAllow: counter(
    'inbound_tcp_authz_allow_total',
    [...SERVER, ...AUTHZ],
    'Opaque connections that were authorized.',
  ),
  tcpDeny: counter(
    'inbound_tcp_authz_deny_total',
    [...SERVER, ...AUTHZ],
    'Opaque connections that were not authorized.',
  ),
  rateLimited: counter(
    'inbound_http_local_ratelimit_total',
    ['authority', 'dst_service', 'dst_namespace', ...SERVER, ...RATE_LIMIT],
    'Requests that were over a rate limit.',
  ),
  faults: counter(
    'linkspan_injected_faults_total',
    ['authority', 'dst_service', 'dst_namespace', 'fault'],
    'Requests and opaque connections that a drill delayed, aborted or reset.',
  ),
  inboundHttpErrors: counter(
    'inbound_http_errors_total',
    ['error'],
    "Requests that were refused by the client's doing or by policy.",
  ),
  inboundTcpErrors: counter(
    'inbound_tcp_errors_total',
    ['error'],
    'Connections that were refused: before a service was known, or as opaque connections.',
  ),
  outboundHttpErrors: counter(
    'outbound_http_errors_total',
    ['error'],
    'Requests that failed on the way to an endpoint.',
  ),
  outboundTcpErrors: counter(
    'outbound_tcp_errors_total',
    ['error'],
    'Connections that failed on the way to an endpoint.',
  ),
  headers: counter(
    'inbound_tcp_transport_header_connections_total',
    ['session_protocol', 'target_port', 'target_name', 'client_id'],
    'Connections by what their transport header said.',
  ),
  streamConnections: {
    name: 'linkspan_stream_connections',
    type: 'gauge',
    labels: ['direction'],
    help: 'Connections between egress and gateway whose streams carry flows.',
  },
  streams: counter(
    'linkspan_streams_total',
    ['direction', 'kind'],
    'Flows that travelled as streams: requests, and tunnels for raw bytes and upgrades.',
  ),
  internalErrors: counter(
    'linkspan_internal_errors_total',
    ['direction'],
    'Exceptions that nobody foresaw; each ended one flow and is in the log with its stack.',
  ),
  ...latencyFamilies,
  ...routeFamilies,
  ...groupFamilies,
} as const satisfies Record<string, MetricFamily>;

/** Kinds of failures that are due to the client or to policy; the others are due to endpoints. */
const OF_CLIENT: ReadonlySet<string> = new Set<FailureKind>([
  'bad request',
  'unauthorized',
  'rate limited',
  'injected fault',
  'unknown service',
  'protocol not served',
  'load shed',
  'gateway loop',
  'no route',
  'invalid route',
]);

/** linkerd2-proxy's names of session protocols. */
const PROTOCOLS: Readonly<Record<string, string>> = { http1: 'http/1', http2: 'http/2', opaque: '' };

/**
 * Publishes what the data path has counted; costs nothing until the registry is read.
 */
export function publishCounters(
  registry: Registry,
  counters: ProxyCounters,
  side: Side,
  source?: ExpositionSource,
): void {
  registry.addText(() => countersExposition(counters.view(), side, source).pieces());
}

/** What was counted as metrics; numbers and labels are read when their piece of the text is taken. */
export function countersExposition(
  view: CountersView,
  side: Side,
  { listen, placeOf, latency = 'both' }: ExpositionSource = {},
): Exposition {
  const out = new Exposition();
  const server = serverLabels(side, listen);
  const dst = (label: string) => targetLabels(label, placeOf);
  writeRequests(out, view, dst);
  writeLatency(out, view, { dst, format: latency });
  writeRoutes(out, view.routes);
  writeGroups(out, view.groups);
  writeConnections(out, view, side, { server, dst });
  if (side === 'inbound') {
    writeAuthorizations(out, view, server);
    writeFilters(out, view, server);
    out.write(families.headers, entriesOf(view.headers, headerLabels));
  }
  writeErrors(out, view, side);
  writeStreams(out, view, side);
  out.write(families.internalErrors, [[{ direction: side }, view.internalErrors]]);
  return out;
}

function writeRequests(
  out: Exposition,
  { targets }: CountersView,
  dst: (label: string) => LabelValues,
): void {
  const labelled = () =>
    Iterator.from(targets).map(
      ([label, counters]) => [{ direction: 'outbound', ...dst(label) }, counters] as const,
    );
  const used = () => labelled().filter(([, { requests }]) => requests > 0);
  out.write(
    families.request,
    used().map(([labels, { requests }]) => [labels, requests]),
  );
  out.write(
    families.inFlight,
    used().map(([labels, { inFlight }]) => [labels, inFlight]),
  );
  out.write(
    families.failures,
    labelled().flatMap(([labels, { failures }]) =>
      Iterator.from(failures).map(([error, count]) => [{ ...labels, error }, count] as const),
    ),
  );
  out.write(
    families.response,
    labelled().flatMap(([labels, { responses }]) =>
      Iterator.from(responses).map(([key, { count }]) => {
        const { status, grpc } = readResponseKey(Number(key));
        const classification = isFailedAnswer(status, grpc) ? 'failure' : 'success';
        const of = { ...labels, status_code: status === 0 ? OTHER : status, classification };
        return [grpc === undefined ? of : { ...of, grpc_status: grpc }, count] as const;
      }),
    ),
  );
}

function writeConnections(
  out: Exposition,
  view: CountersView,
  side: Side,
  { server, dst }: { readonly server: LabelValues; readonly dst: (label: string) => LabelValues },
): void {
  const secured = side === 'inbound' ? { tls: 'true' } : {};
  const all = function* (): Iterable<readonly [LabelValues, ConnectionCounts]> {
    yield [{ direction: side, peer: 'src', ...server, ...secured }, view.client];
    for (const [label, numbers] of view.endpoints)
      yield [{ direction: 'outbound', peer: 'dst', ...dst(label) }, numbers];
    if (view.shared.opened > 0) yield [{ direction: 'outbound', peer: 'dst' }, view.shared];
  };
  const write = (family: MetricFamily, read: (numbers: ConnectionCounts) => number) =>
    out.write(
      family,
      Iterator.from(all()).map(([labels, numbers]) => [labels, read(numbers)]),
    );
  write(families.tcpOpen, ({ opened }) => opened);
  write(families.tcpOpenNow, ({ open }) => open);
  write(families.tcpRead, ({ readBytes }) => readBytes);
  write(families.tcpWrite, ({ writtenBytes }) => writtenBytes);
  out.write(
    families.tcpClose,
    Iterator.from(all()).flatMap(([labels, { closes }]) =>
      Object.entries(closes).map(([errno, count]) => [{ ...labels, errno }, count] as const),
    ),
  );
}

function writeAuthorizations(out: Exposition, { authorizations }: CountersView, server: LabelValues): void {
  const route = { route_group: '', route_kind: 'default', route_name: 'default' };
  const samples = (layer: string, verdict: string) =>
    Iterator.from(authorizations).flatMap(([key, count]) => {
      const [keyLayer, keyVerdict, client_id = '', policy = ''] = readKey(key);
      if (keyLayer !== layer || keyVerdict !== verdict) return [];
      const routed = layer === 'http' ? route : {};
      return [[{ ...server, ...routed, ...policyLabels(policy), tls: 'true', client_id }, count] as const];
    });
  out.write(families.httpAllow, samples('http', 'allow'));
  out.write(families.httpDeny, samples('http', 'deny'));
  out.write(families.tcpAllow, samples('tcp', 'allow'));
  out.write(families.tcpDeny, samples('tcp', 'deny'));
}

/** What request filters have done: limits and injected faults. */
function writeFilters(out: Exposition, { rateLimits, faults }: CountersView, server: LabelValues): void {
  const limited = (key: string): LabelValues => {
    const [target = '', policy = '', ratelimit_scope = ''] = readKey(key);
    const [ratelimit_group = '', ratelimit_kind = '', ...name] = policy.split('/');
    const limit = { ratelimit_group, ratelimit_kind, ratelimit_name: name.join('/'), ratelimit_scope };
    return { ...targetLabels(target), ...server, ...limit };
  };
  const injected = (key: string): LabelValues => {
    const [target = '', fault = ''] = readKey(key);
    return { ...targetLabels(target), fault };
  };
  out.write(families.rateLimited, entriesOf(rateLimits, limited));
  out.write(families.faults, entriesOf(faults, injected));
}

function writeErrors(out: Exposition, { failures, refused }: CountersView, side: Side): void {
  const samples = (layer: string, ofClient: boolean) =>
    Iterator.from(failures).flatMap(([key, count]) => {
      const [keyLayer, error = ''] = readKey(key);
      const mine = keyLayer === layer && (side === 'inbound' && OF_CLIENT.has(error)) === ofClient;
      return mine ? [[{ error }, count] as const] : [];
    });
  const refusals = entriesOf(refused, (error) => ({ error }));
  out.write(families.inboundHttpErrors, samples('http', true));
  out.write(families.inboundTcpErrors, [...(side === 'inbound' ? refusals : []), ...samples('tcp', true)]);
  out.write(families.outboundHttpErrors, samples('http', false));
  out.write(families.outboundTcpErrors, [...(side === 'outbound' ? refusals : []), ...samples('tcp', false)]);
}

function writeStreams(out: Exposition, { streams }: CountersView, direction: Side): void {
  const { connections, requests, tunnels } = streams;
  if (requests + tunnels + connections === 0) return;
  out.write(families.streamConnections, [[{ direction }, connections]]);
  out.write(families.streams, [
    [{ direction, kind: 'request' }, requests],
    [{ direction, kind: 'tunnel' }, tunnels],
  ]);
}

function* entriesOf(
  counts: Table<number>,
  labels: (key: string) => LabelValues,
): Iterable<readonly [LabelValues, number]> {
  for (const [key, count] of counts) yield [labels(key), count];
}

function headerLabels(key: string): LabelValues {
  const [protocol = '', target_name = '', target_port = '', client_id = ''] = readKey(key);
  return { session_protocol: PROTOCOLS[protocol] ?? protocol, target_port, target_name, client_id };
}
