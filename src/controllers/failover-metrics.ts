import type { Clock } from '../base/clock.ts';
import { isCapacityShort } from '../policy/failover/demand.ts';
import { reasonOfActivity } from '../policy/failover/failover-conditions.ts';
import { strictestDrain } from '../policy/failover/readiness.ts';
import { collectedGauges, Counter, type MakeGauge, type Registry } from '../telemetry/registry.ts';
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
  ofBackends(gauge, book);
  ofServices(gauge, book);
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

/** What is known of each backend of a group, and of each tier. */
function ofBackends(gauge: MakeGauge, book: FailoverBook): void {
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
    'linkspan_failover_health',
    'The part of all requests of a federated Service that a tier has capacity for, 0 to 1.',
    ['service', 'tier'],
    (metric) => {
      for (const { service, decision } of book.entries)
        for (const { tier, health } of decision.tiers) metric.set({ service, tier: String(tier) }, health);
    },
  );
  gauge(
    'linkspan_failover_flaps',
    'How many times a backend was withdrawn; forgotten after ten minutes of full use.',
    ['service', 'backend'],
    (metric) => {
      for (const { service, decision } of book.entries)
        for (const { backend } of decision.backends)
          metric.set({ service, backend: backend.name }, backend.facts?.flaps ?? 0);
    },
  );
}

/** What is known of a group as a whole. */
function ofServices(gauge: MakeGauge, book: FailoverBook): void {
  gauge(
    'linkspan_failover_capacity_ratio',
    'What all backends of a federated Service can bear, as part of what is asked of them; below 1 it is too little.',
    ['service'],
    (metric) => {
      for (const { service, decision } of book.entries) metric.set({ service }, decision.total);
    },
  );
  gauge(
    'linkspan_failover_capacity_short',
    '1 while all backends of a federated Service together have too few endpoints, and requests fail or wait, or nobody knows; 0 otherwise.',
    ['service'],
    (metric) => {
      for (const { service, decision, demand } of book.entries)
        metric.set({ service }, Number(isCapacityShort(decision, demand)));
    },
  );
  gauge(
    'linkspan_failover_demand',
    '1 for how requests of a federated Service fare at the egress.',
    ['service', 'demand'],
    (metric) => {
      for (const { service } of book.entries)
        metric.set({ service, demand: book.demandOf(service) ?? 'unheard' }, 1);
    },
  );
  gauge(
    'linkspan_failover_active',
    '1 while requests of a federated Service go elsewhere than they would if all were well, with the reason.',
    ['service', 'reason'],
    (metric) => {
      for (const { service, decision } of book.entries) {
        const reason = reasonOfActivity(decision);
        metric.set({ service, reason: reason ?? 'PrimaryServing' }, Number(reason !== undefined));
      }
    },
  );
}
