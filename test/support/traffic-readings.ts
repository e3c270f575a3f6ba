import type { ServiceReport } from '../../src/api/answers/admin-answers.ts';
import type {
  FlowStats,
  GatewayStats,
  RouteStats,
  StatsReport,
  TargetStats,
} from '../../src/api/answers/stats-report.ts';
import type { MirrorReason } from '../../src/api/reasons/mirror-reasons.ts';
import { DEFAULT_OBJECTIVE } from '../../src/api/objective.ts';
import { LatencyHistogram } from '../../src/proxy/metrics/latency-histogram.ts';
import type { ClusterReading, ProcessReading, ServiceFacts } from '../../src/traffic/cluster-reading.ts';

/** Answers of these times, milliseconds, as processes say them. */
export function latencyOf(...times: readonly number[]): TargetStats['latency'] {
  const histogram = new LatencyHistogram();
  for (const ms of times) histogram.observe(ms);
  const { counts, ...span } = histogram.span;
  return { ...span, counts: [...counts] };
}

/** So many answers of one time. */
export function times(count: number, ms: number): number[] {
  return Array.from({ length: count }, () => ms);
}

/** A target with 100 answers of 10 ms. */
export function targetOf(change: Partial<TargetStats> = {}): TargetStats {
  return {
    label: 'web.shop.svc.cluster.local:80',
    service: 'web',
    namespace: 'shop',
    port: '80',
    requests: 100,
    inFlight: 0,
    responses: 100,
    failures: 0,
    errors: {},
    latency: latencyOf(...times(100, 10)),
    ...change,
  };
}

/** The same as an egress has it, of a mirror of `west`. */
export function mirrorOf(change: Partial<TargetStats> = {}): TargetStats {
  const there = { cluster: 'west', name: 'web.shop.svc.cluster.local' };
  return targetOf({ label: 'shop/web-west:80', service: 'web-west', there, ...change });
}

export function flowOf(change: Partial<FlowStats> = {}): FlowStats {
  return {
    peer: 'web.east.serviceaccount.identity.linkerd.cluster.local',
    target: 'web.shop.svc.cluster.local:80',
    requests: 100,
    inFlight: 0,
    failures: 0,
    errors: {},
    bytesIn: 0,
    bytesOut: 10_000,
    idleMs: 500,
    protocols: ['http2'],
    ...change,
  };
}

export function gatewayOf(change: Partial<GatewayStats> = {}): GatewayStats {
  return {
    cluster: 'west',
    address: '10.0.0.1:4143',
    state: 'alive',
    streams: 2,
    requests: 100,
    failures: 0,
    rttMs: {
      mean: 20,
      least: 18,
    },
    ...change,
  };
}

/** A report of the last ten seconds. */
export function reportOf(change: Partial<StatsReport> = {}): StatsReport {
  return {
    v: 1,
    process: 'gateway',
    version: '0.2.0',
    startedAt: 0,
    at: 1e5,
    workers: 1,
    windowMs: 1e4,
    targets: [],
    flows: [],
    gateways: [],
    ...change,
  };
}

/** A pod that has answered. */
export function processOf(
  report: Partial<StatsReport> & { readonly process: 'egress' | 'gateway' },
  change: Partial<ProcessReading> = {},
): ProcessReading {
  const whole = reportOf(report);
  return {
    name: `${report.process}-0`,
    kind: report.process,
    ready: true,
    restarts: 0,
    version: '0.2.0',
    window: { report: whole, ms: whole.windowMs ?? 10_000 },
    ...change,
  };
}

export function serviceOf(change: Partial<ServiceFacts> = {}): ServiceFacts {
  return {
    namespace: 'shop',
    name: 'web',
    uid: 'web',
    objective: DEFAULT_OBJECTIVE,
    exported: true,
    ...change,
  };
}

export function readingOf(change: Partial<ClusterReading> = {}): ClusterReading {
  return {
    cluster: 'east',
    processes: [],
    services: [],
    links: [],
    reports: [],
    pods: new Map(),
    ...change,
  };
}

/**
 * Two clusters with all that can be said of them: `east` asks for what `west` exports. `web` fails in west by
 * its endpoints, `api` has none, `slow` is far away; one egress pod is silent.
 */
export function twoClusters(): ClusterReading[] {
  const failing = { failures: 20, latency: latencyOf(...times(100, 40)) };
  const slow = (change: Partial<TargetStats>, ms: number) => ({
    requests: 50,
    responses: 50,
    latency: latencyOf(...times(50, ms)),
    ...change,
  });
  const tcp = { opened: 4, open: 3, readBytes: 20_480_000, writtenBytes: 1000, closes: {} };
  const east = readingOf({
    cluster: 'ctx-east',
    processes: [
      processOf(
        {
          process: 'egress',
          certificate: { identity: 'egress.east', notAfter: 86_500_000 },
          sync: [
            { kind: 'links', ageS: 3, ok: true },
            { kind: 'slices', ageS: 12, ok: true },
          ],
          targets: [
            mirrorOf({ ...failing, latency: latencyOf(...times(100, 62)) }),
            mirrorOf(slow({ label: 'shop/slow-west:80', service: 'slow-west' }, 200)),
            mirrorOf({
              label: 'shop/api-west:80',
              service: 'api-west',
              requests: 5,
              responses: 5,
              failures: 5,
              errors: { failfast: 5 },
              latency: latencyOf(...times(5, 3e3)),
            }),
            targetOf({
              label: 'shop/cart-federated:80',
              service: 'cart-federated',
              requests: 3,
              responses: 3,
            }),
            mirrorOf({
              label: 'shop/cart-federated@west:80',
              service: 'cart-federated',
              requests: 2,
              responses: 2,
            }),
          ],
          flows: [
            flowOf({ peer: '10.1.0.5', target: 'shop/web-west:80', failures: 20 }),
            flowOf({ peer: '10.1.0.9', target: 'shop/slow-west:80', requests: 50, idleMs: 61_000 }),
            flowOf({
              peer: '10.1.0.9',
              target: 'shop/web-west:80',
              requests: 0,
              errors: { unauthorized: 4 },
            }),
            flowOf({ peer: '10.1.0.9', target: 'shop/api-west:80', requests: 0 }),
          ],
          gateways: [
            gatewayOf({ identity: 'gateway.west', mode: 'streams', connections: 2 }),
            gatewayOf({ address: '10.0.0.2:4143', state: 'dead', streams: 0, connections: 0, requests: 0 }),
          ],
        },
        { usage: { cpu: '120m', memory: '61Mi' } },
      ),
      {
        name: 'egress-1',
        kind: 'egress',
        ready: true,
        restarts: 2,
        version: '0.1.0',
        silence: 'no answer in time',
      },
      { name: 'controller-0', kind: 'controller', ready: false, restarts: 0, version: '0.2.0' },
    ],
    services: [
      serviceOf({
        name: 'web-west',
        uid: 'm1',
        exported: false,
        mirror: { cluster: 'west', remoteUid: 'u-web' },
      }),
      serviceOf({
        name: 'slow-west',
        uid: 'm2',
        exported: false,
        mirror: { cluster: 'west', remoteUid: 'u-slow' },
      }),
      serviceOf({
        name: 'api-west',
        uid: 'm3',
        exported: false,
        mirror: { cluster: 'west', remoteUid: 'u-api' },
      }),
      serviceOf({
        name: 'idle-west',
        uid: 'm4',
        exported: false,
        mirror: { cluster: 'west', remoteUid: 'u-idle' },
      }),
    ],
    links: [
      { name: 'west', cluster: 'west', mirrors: 4 },
      {
        name: 'north',
        cluster: 'north',
        mirrors: 0,
        trouble: {
          reason: 'CredentialsExpired',
          message: 'the token of Secret cluster-credentials-north has ended',
        },
      },
    ],
    reports: [
      {
        link: 'linkerd-multicluster/west',
        cluster: 'west',
        held: true,
        mirrors: [
          mirrorReport('web', 'Mirrored', ''),
          mirrorReport('api', 'NoReadyEndpoints', 'shop/api has no ready endpoints in west'),
          mirrorReport('idle', 'Mirrored', ''),
          mirrorReport('long', 'NameTooLong', 'the name of the mirror has 70 characters'),
          mirrorReport('refused', 'ImportNameRefused', 'not in the list'),
        ],
      },
    ],
    pods: new Map([['10.1.0.5', { namespace: 'shop', name: 'web-7d9f' }]]),
  });
  const west = readingOf({
    cluster: 'ctx-west',
    processes: [
      processOf({
        process: 'gateway',
        workers: 2,
        targets: [
          targetOf({ ...failing, tcp, endpoints: { ready: 2, known: 3 } }),
          targetOf(
            slow(
              { label: 'slow.shop.svc.cluster.local:80', service: 'slow', endpoints: { ready: 1, known: 1 } },
              20,
            ),
          ),
        ],
        flows: [
          flowOf({ peer: 'egress.east', failures: 20, from: { cluster: 'east', proven: false } }),
          flowOf({ requests: 10, idleMs: 2500 }),
        ],
        certificate: { identity: 'gateway.west', notAfter: 1_000_000, anchorsNotAfter: 9_000_000_000 },
        routes: [
          routeOf({
            route: 'GET /cart',
            retries: { sent: 5, succeeded: 5 },
            attempts: 105,
            failedAttempts: 5,
          }),
          routeOf({
            route: '',
            requests: 20,
            responses: 20,
            attempts: 20,
            failedAttempts: 10,
            failures: 10,
            timeouts: { request: 2 },
          }),
        ],
      }),
    ],
    services: [
      serviceOf({ uid: 'u-web' }),
      serviceOf({ name: 'slow', uid: 'u-slow' }),
      serviceOf({ name: 'api', uid: 'u-api', endpoints: { ready: 0, known: 2 } }),
    ],
  });
  return [east, west];
}

function mirrorReport(name: string, reason: MirrorReason, message: string): ServiceReport {
  return {
    service: `shop/${name}`,
    local: `${name}-west`,
    mode: 'relay',
    reason,
    message,
    since: '2026-11-30T00:00:00Z',
    endpoints: 1,
  };
}

export function routeOf(change: Partial<RouteStats> = {}): RouteStats {
  return {
    target: 'web.shop.svc.cluster.local:80',
    route: 'GET /',
    requests: 100,
    responses: 100,
    failures: 0,
    attempts: 100,
    failedAttempts: 0,
    retries: {},
    timeouts: {},
    latency: latencyOf(...times(100, 10)),
    ...change,
  };
}
