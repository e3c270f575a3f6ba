/**
 * How many responses of a Service are failures, at both ends of a Link, and alerts on how fast that uses up
 * the error budget, by several windows at once: a short one so that an alert ends soon after its cause, a
 * long one so that a moment does not raise it.
 */
import { BY_SERVICE, by, series } from './promql.ts';
import type { Alert, Recording } from './rule.ts';

/**
 * Part of the responses that may fail, by the objective in percent (chart value `monitoring.slo`, which takes
 * the place of the number).
 */
const BUDGET = `(1 - 99.9 / 100)`;
/** Of which the windows longer than five minutes are made: a Service's series add up once, not in each. */
const RESPONSES = 'linkspan_service:responses:rate5m';
const FAILURES = 'linkspan_service:failures:rate5m';
const ratio = (window: string) => `linkspan_service:failures:ratio_rate${window}`;
const LONGER = ['30m', '1h', '2h', '6h', '1d', '3d'] as const;

/** Responses per second. A Service that never failed has no series of failures, and still a ratio. */
const responses = (...matchers: readonly string[]) =>
  by(
    'sum',
    BY_SERVICE,
    `rate(${series('response_total', 'component=~"gateway|egress"', 'dst_service!=""', ...matchers)}[5m])`,
  );

export const serviceRecordings: readonly Recording[] = [
  { record: 'linkspan:error_budget:ratio', expr: `vector${BUDGET}` },
  { record: RESPONSES, expr: responses() },
  { record: FAILURES, expr: `${responses('classification="failure"')} or 0 * ${responses()}` },
  { record: ratio('5m'), expr: `${FAILURES} / (${RESPONSES} > 0)` },
  ...LONGER.map((window) => ({
    record: ratio(window),
    expr: `avg_over_time(${FAILURES}[${window}]) / (avg_over_time(${RESPONSES}[${window}]) > 0)`,
  })),
];

/** How many times too fast, over which windows, for how long, and how bad that is. */
const BURNS = [
  [14.4, '1h', '5m', '2m', 'critical'],
  [6, '6h', '30m', '15m', 'critical'],
  [3, '1d', '2h', '1h', 'warning'],
  [1, '3d', '6h', '3h', 'warning'],
] as const;

export const serviceAlerts: readonly Alert[] = BURNS.map(([times, long, short, wait, severity]) => ({
  name: 'LinkspanErrorBudgetBurn',
  severity,
  expr: `${ratio(long)} > ${times} * ${BUDGET} and ${ratio(short)} > ${times} * ${BUDGET}`,
  for: wait,
  labels: { long, short },
  summary: `{{ $labels.dst_namespace }}/{{ $labels.dst_service }} ({{ $labels.component }}) uses up its error budget more than ${times} times as fast as it may`,
  reason: 'ErrorBudgetBurning',
  action:
    'linkspan stat svc/{{ $labels.dst_service }} -n {{ $labels.dst_namespace }}; linkspan tap --failures svc/{{ $labels.dst_service }} -n {{ $labels.dst_namespace }}',
  meaning: `failures of a Service, at the gateway or the egress, use up its error budget (\`monitoring.slo\`) more than ${times} times as fast as they may, over ${long} and ${short}`,
}));
