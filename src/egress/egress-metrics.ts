import { Exposition, type LabelValues, type MetricFamily } from '../telemetry/exposition.ts';
import { droppedLinesFamily } from '../telemetry/line-writer.ts';
import type { Registry } from '../telemetry/registry.ts';
import { BASIS_POINTS } from '../policy/failover/apportion.ts';
import type { RefusedClients } from './clients/refusals.ts';
import type { GatewayNumbers } from './gateways/gateway-pools.ts';
import type { Division } from './shares/division.ts';

const GATEWAY = ['target_cluster_name', 'gateway'];

/** Metrics of an egress beside those of the data path. `docs/reference/metrics.md` lists the same. */
export const egressFamilies = {
  refused: {
    name: 'linkspan_relay_refused_clients_total',
    type: 'counter',
    labels: ['mirror', 'reason'],
    help: 'Requests and raw connections of clients that may not use a mirror, by why not.',
  },
  pods: {
    name: 'linkspan_relay_known_pods',
    type: 'gauge',
    labels: [],
    help: 'Pods of this cluster by whose addresses clients are told apart.',
  },
  share: {
    name: 'linkspan_failover_share',
    type: 'gauge',
    labels: ['service', 'backend', 'tier'],
    help: 'The part of the requests of a federated Service, or of a rule, that a backend gets, 0 to 1.',
  },
  state: {
    name: 'linkspan_failover_state',
    type: 'gauge',
    labels: ['service', 'backend', 'state'],
    help: '1 for the state that a backend of a federated Service, or of a rule, is in.',
  },
  gatewayRtt: {
    name: 'linkspan_gateway_rtt_seconds',
    type: 'gauge',
    labels: GATEWAY,
    help: 'Mean time of a round trip to a gateway, on connections in stream mode; the latest count most.',
  },
  gatewayRttLeast: {
    name: 'linkspan_gateway_rtt_least_seconds',
    type: 'gauge',
    labels: GATEWAY,
    help: 'The least time that a round trip to a gateway has taken.',
  },
  trunkStreams: {
    name: 'linkspan_trunk_streams',
    type: 'gauge',
    labels: GATEWAY,
    help: 'Streams that are open on connections to a gateway.',
  },
  gatewayRequests: {
    name: 'linkspan_gateway_requests_total',
    type: 'counter',
    labels: GATEWAY,
    help: 'Requests and raw flows sent to a gateway, tries included.',
  },
  gatewayFailures: {
    name: 'linkspan_gateway_failures_total',
    type: 'counter',
    labels: GATEWAY,
    help: 'Those that a gateway has answered with 5xx, or not at all.',
  },
  gatewayState: {
    name: 'linkspan_gateway_state',
    type: 'gauge',
    labels: [...GATEWAY, 'state'],
    help: '1 for what connections to a gateway say of it.',
  },
  factsAge: {
    name: 'linkspan_failover_facts_age_seconds',
    type: 'gauge',
    labels: [],
    help: 'Seconds since the API server was last heard about the facts that requests are divided by.',
  },
  accessLogDropped: droppedLinesFamily,
} as const satisfies Record<string, MetricFamily>;

/** Publishes an egress' own metrics; computed at each scrape. */
export function publishEgress(
  registry: Registry,
  {
    refused,
    pods,
    divisions,
    gateways,
    factsAgeMs = () => undefined,
    accessLogDropped = () => 0,
  }: {
    readonly refused: RefusedClients;
    readonly pods: () => number;
    readonly gateways: () => readonly GatewayNumbers[];
    /** How the requests of groups, and of rules, are divided. */
    readonly divisions: () => Iterable<readonly [service: string, division: Division]>;
    /** Milliseconds; undefined: it was never heard, or nobody knows. */
    readonly factsAgeMs?: () => number | undefined;
    /** Lines of the access log that nobody took in time. */
    readonly accessLogDropped?: () => number;
  },
): void {
  registry.addText(() => {
    const out = new Exposition();
    out.write(
      egressFamilies.refused,
      [...refused.entries()].map(({ mirror, reason, count }) => [{ mirror, reason }, count] as const),
    );
    out.write(egressFamilies.pods, [[{}, pods()]]);
    const backends = [...divisions()].flatMap(([service, division]) =>
      division.backends.map((one) => ({ service, backend: one.name, one })),
    );
    out.write(
      egressFamilies.share,
      backends.map(
        ({ service, backend, one }) =>
          [{ service, backend, tier: String(one.tier) }, one.share / BASIS_POINTS] as const,
      ),
    );
    out.write(
      egressFamilies.state,
      backends.map(({ service, backend, one }) => [{ service, backend, state: one.state }, 1] as const),
    );
    writeGateways(out, gateways());
    const age = factsAgeMs();
    if (age !== undefined) out.write(egressFamilies.factsAge, [[{}, age / 1000]]);
    out.write(egressFamilies.accessLogDropped, [[{}, accessLogDropped()]]);
    return out.pieces();
  });
}

function writeGateways(out: Exposition, gateways: readonly GatewayNumbers[]): void {
  const write = (family: MetricFamily, read: (numbers: GatewayNumbers) => number | undefined) =>
    out.write(
      family,
      gateways.flatMap((numbers) => {
        const value = read(numbers);
        return value === undefined ? [] : [[labelsOf(numbers), value] as const];
      }),
    );
  const seconds = (ms: number | undefined) => (ms === undefined ? undefined : ms / 1000);
  write(egressFamilies.gatewayRtt, ({ roundTrip }) => seconds(roundTrip?.meanMs));
  write(egressFamilies.gatewayRttLeast, ({ roundTrip }) => seconds(roundTrip?.leastMs));
  write(egressFamilies.trunkStreams, ({ streams }) => streams);
  write(egressFamilies.gatewayRequests, ({ requests }) => requests);
  write(egressFamilies.gatewayFailures, ({ failures }) => failures);
  out.write(
    egressFamilies.gatewayState,
    gateways.map((numbers) => [{ ...labelsOf(numbers), state: numbers.state }, 1] as const),
  );
}

function labelsOf({ cluster, gateway }: GatewayNumbers): LabelValues {
  return { target_cluster_name: cluster, gateway };
}
