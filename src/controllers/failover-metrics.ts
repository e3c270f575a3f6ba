import type { Clock } from '../base/clock.ts';
import { strictestDrain } from '../policy/failover/readiness.ts';
import { collectedGauges, Counter, type Registry } from '../telemetry/registry.ts';
import type { FailoverBook } from './failover/failover-book.ts';

/**
 * Publishes what is decided about the groups of federated Services that this replica leads, read when
 * Prometheus asks. With several replicas each Service is told of by one.
 */
export function publishFailoverMetrics(
  registry: Registry,
  book: FailoverBook,
  clock: Pick<Clock, 'now'>,
): void {
  const gauge = collectedGauges(registry);
  gauge(
    'linkspan_failover_share',
    'The part of the requests of a federated Service, or of a TrafficSplit or route whose weights are written, that a backend gets, 0 to 1, as it was last decided.',
    ['service', 'backend', 'tier'],
    (metric) => {
      for (const { service, decision } of book.entries)
        for (const { backend, share } of decision.backends)
          metric.set({ service, backend: backend.name, tier: String(backend.tier) }, share / 10_000);
    },
  );
  gauge(
    'linkspan_failover_state',
    '1 for the state that a backend of a federated Service is in.',
    ['service', 'backend', 'state'],
    (metric) => {
      for (const { service, decision } of book.entries)
        for (const { backend, state } of decision.backends)
          metric.set({ service, backend: backend.name, state }, 1);
    },
  );
  gauge(
    'linkspan_failover_capacity_ratio',
    'What all backends of a federated Service can bear, as part of what is asked of them; below 1 it is too little.',
    ['service'],
    (metric) => {
      for (const { service, decision } of book.entries) metric.set({ service }, decision.total);
    },
  );
  gauge(
    'linkspan_failover_status_write_failures',
    'Writes of the status of federated Services that were refused, since this replica runs.',
    [],
    (metric) => metric.set(book.statusFailures),
  );
  gauge(
    'linkspan_drain_progress',
    'How far the drain of a cluster has come, 0 to 1; on its way back it falls again.',
    ['target_cluster_name'],
    (metric) => {
      const now = clock.now();
      for (const [cluster, { drains }] of book.links) {
        const { drain, level } = strictestDrain(drains, now);
        if (drain !== undefined) metric.set({ target_cluster_name: cluster }, (1 - level) / (1 - drain.to));
      }
    },
  );
  const transitions: Counter = new Counter({
    name: 'linkspan_failover_transitions_total',
    help: "Changes of a backend's state since this replica runs, by the reason of the new one.",
    labelNames: ['reason'],
    registers: [registry],
    collect() {
      transitions.reset();
      for (const [reason, count] of book.transitions) transitions.inc({ reason }, count);
    },
  });
}
