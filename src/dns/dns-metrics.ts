import { Exposition, type MetricFamily } from '../telemetry/exposition.ts';
import type { Registry } from '../telemetry/registry.ts';
import type { HostNames } from './host-names.ts';

/**
 * Metrics of host names. They have no label for the name; the log has it. `docs/reference/metrics.md` lists
 * the same.
 */
export const hostNameFamilies = {
  names: {
    name: 'linkspan_host_names',
    type: 'gauge',
    labels: ['state'],
    help: 'Host names of gateways that are followed, by how they stand.',
  },
  lookUps: {
    name: 'linkspan_host_name_lookups_total',
    type: 'counter',
    labels: ['result'],
    help: 'Look-ups of host names that have ended, by what came of them.',
  },
} as const satisfies Record<string, MetricFamily>;

/** Publishes the state of host names; computed at each scrape. */
export function publishHostNames(registry: Registry, names: HostNames): void {
  registry.addText(() => {
    const out = new Exposition();
    out.write(
      hostNameFamilies.names,
      Object.entries(names.states).map(([state, count]) => [{ state }, count] as const),
    );
    out.write(
      hostNameFamilies.lookUps,
      Object.entries(names.ended).map(([result, count]) => [{ result }, count] as const),
    );
    return out.pieces();
  });
}
