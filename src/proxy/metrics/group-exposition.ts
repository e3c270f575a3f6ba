import type { Exposition, MetricFamily } from '../../telemetry/exposition.ts';
import type { Table } from './counters-view.ts';
import { FIRST_SUCCESS_BUCKETS, type GroupCounts } from './group-counters.ts';

const GROUP = ['direction', 'dst'];

/** Metrics of groups: Services that several targets serve. */
export const groupFamilies = {
  groupRequests: {
    name: 'outbound_group_requests_total',
    type: 'counter',
    labels: [...GROUP, 'backend', 'outcome'],
    help: 'Requests and raw connections sent to one backend of a group: served, failed, moved.',
  },
  groupMoved: {
    name: 'outbound_group_moved_total',
    type: 'counter',
    labels: [...GROUP, 'why'],
    help: 'Requests and raw connections that were sent to another backend: connect, refused, no_endpoints, retry.',
  },
  firstSuccess: {
    name: 'linkspan_failover_time_to_first_success_seconds',
    type: 'histogram',
    labels: [...GROUP, 'cause', 'le'],
    help: 'Time from the first request that a backend of a group lost to the first answer of another one.',
  },
} as const satisfies Record<string, MetricFamily>;

/** Writes the metrics of groups. @param groups by label of the group */
export function writeGroups(out: Exposition, groups: Table<GroupCounts>): void {
  const labelled = () =>
    Iterator.from(groups).map(([dst, counts]) => [{ direction: 'outbound', dst }, counts] as const);
  out.write(
    groupFamilies.groupRequests,
    labelled().flatMap(([labels, { backends }]) =>
      Object.entries(backends).flatMap(([backend, outcomes]) =>
        Object.entries(outcomes).flatMap(([outcome, count]) =>
          count === 0 ? [] : [[{ ...labels, backend, outcome }, count] as const],
        ),
      ),
    ),
  );
  out.write(
    groupFamilies.groupMoved,
    labelled().flatMap(([labels, { moved }]) =>
      Object.entries(moved).flatMap(([why, count]) =>
        count === 0 ? [] : [[{ ...labels, why }, count] as const],
      ),
    ),
  );
  out.writeHistogram(
    groupFamilies.firstSuccess,
    FIRST_SUCCESS_BUCKETS,
    labelled().flatMap(([labels, { firstSuccess }]) =>
      Object.entries(firstSuccess).map(([cause, times]) => [{ ...labels, cause }, times] as const),
    ),
  );
}
