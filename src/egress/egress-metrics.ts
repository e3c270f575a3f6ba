import { Exposition, type MetricFamily } from '../telemetry/exposition.ts';
import type { Registry } from '../telemetry/registry.ts';
import type { RefusedClients } from './clients/refusals.ts';

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
} as const satisfies Record<string, MetricFamily>;

/** Publishes an egress' own metrics; computed at each scrape. */
export function publishEgress(
  registry: Registry,
  { refused, pods }: { readonly refused: RefusedClients; readonly pods: () => number },
): void {
  registry.addText(() => {
    const out = new Exposition();
    out.write(
      egressFamilies.refused,
      [...refused.entries()].map(({ mirror, reason, count }) => [{ mirror, reason }, count] as const),
    );
    out.write(egressFamilies.pods, [[{}, pods()]]);
    return out.text;
  });
}
