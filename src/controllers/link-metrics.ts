import { Exposition, type LabelValues, type MetricFamily } from '../telemetry/exposition.ts';
import type { Registry } from '../telemetry/registry.ts';
import type { MirrorController } from './mirror-controller.ts';

const CLUSTER = 'target_cluster_name';

/** What is counted of Links, as counters. `docs/reference/metrics.md` lists the same. */
export const linkFamilies = {
  writes: {
    name: 'linkspan_mirror_writes_total',
    type: 'counter',
    labels: [CLUSTER],
    help: 'Writes to mirrors.',
  },
  renewals: {
    name: 'linkspan_credentials_renewals_total',
    type: 'counter',
    labels: [CLUSTER, 'result'],
    help: "Renewals of a Link's token, by result: renewed or failed.",
  },
  issued: {
    name: 'linkspan_credentials_issued_timestamp_seconds',
    type: 'gauge',
    labels: [CLUSTER],
    help: "When a Link's token or client certificate was issued.",
  },
  transitions: {
    name: 'linkspan_link_transitions_total',
    type: 'counter',
    labels: [CLUSTER, 'condition', 'status', 'reason'],
    help: 'Changes of a condition of a Link, by what it became.',
  },
} as const satisfies Record<string, MetricFamily>;

/** Publishes what is counted of Links. They count from when this replica took the Link. */
export function publishLinkMetrics(registry: Registry, { runs, links }: MirrorController): void {
  registry.addText(() => {
    const out = new Exposition();
    const each = [...runs].map(([key, run]) => {
      const labels: LabelValues = { [CLUSTER]: links.get(key)?.spec?.targetClusterName ?? '' };
      return { run, labels };
    });
    out.write(
      linkFamilies.writes,
      each.flatMap(({ labels, run: { peer } }) =>
        peer === undefined ? [] : [[labels, peer.written] as const],
      ),
    );
    out.write(
      linkFamilies.renewals,
      each.flatMap(({ labels, run }) =>
        Object.entries(run.renewals ?? {}).map(([result, count]) => [{ ...labels, result }, count] as const),
      ),
    );
    out.write(
      linkFamilies.issued,
      each.flatMap(({ labels, run: { expiry } }) =>
        expiry?.issuedAt === undefined ? [] : [[labels, expiry.issuedAt / 1000] as const],
      ),
    );
    out.write(
      linkFamilies.transitions,
      each.flatMap(({ labels, run }) =>
        [...run.transitions].map(({ count, ...verdict }) => [{ ...labels, ...verdict }, count] as const),
      ),
    );
    return out.pieces();
  });
}
