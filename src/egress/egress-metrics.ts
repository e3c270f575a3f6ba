import { Exposition, type MetricFamily } from '../telemetry/exposition.ts';
import type { Registry } from '../telemetry/registry.ts';
import { BASIS_POINTS } from '../policy/failover/apportion.ts';
import type { RefusedClients } from './clients/refusals.ts';
import type { Division } from './shares/division.ts';

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
  factsAge: {
    name: 'linkspan_failover_facts_age_seconds',
    type: 'gauge',
    labels: [],
    help: 'Seconds since the API server was last heard about the facts that requests are divided by.',
  },
} as const satisfies Record<string, MetricFamily>;

/** Publishes an egress' own metrics; computed at each scrape. */
export function publishEgress(
  registry: Registry,
  {
    refused,
    pods,
    divisions,
    factsAgeMs = () => undefined,
  }: {
    readonly refused: RefusedClients;
    readonly pods: () => number;
    /** How the requests of groups, and of rules, are divided. */
    readonly divisions: () => Iterable<readonly [service: string, division: Division]>;
    /** Milliseconds; undefined: it was never heard, or nobody knows. */
    readonly factsAgeMs?: () => number | undefined;
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
    const age = factsAgeMs();
    if (age !== undefined) out.write(egressFamilies.factsAge, [[{}, age / 1000]]);
    return out.pieces();
  });
}
