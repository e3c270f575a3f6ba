/** What an alert or a recording rule of the chart is made of. */
import type { AnyReason } from '../../../src/cli/output/reason-advice.ts';

const REASONS_PAGE = 'https://github.com/linkspan/linkspan/blob/main/docs/reference/reasons.md';
/** The reason is the series' own label, whose values are constants. */
export const OF_SERIES = '{{ $labels.reason }}';

/** A rule that keeps the result of an expression as a series. */
export interface Recording {
  readonly record: string;
  readonly expr: string;
}

/** An alert, and what is said of it. */
export interface Alert {
  readonly name: string;
  readonly severity: 'critical' | 'warning';
  readonly expr: string;
  /** How long it must hold; default: it fires at once. */
  readonly for?: string;
  /** Labels beside `severity`. */
  readonly labels?: Readonly<Record<string, string>>;
  /** One line; `{{ $labels.… }}` is filled in by Prometheus. */
  readonly summary: string;
  readonly reason: AnyReason | typeof OF_SERIES;
  /**
   * What to call first. Somebody copies it into a shell: of labels it may have only those whose values are
   * DNS labels or constants.
   */
  readonly action: string;
  /** For docs/reference/metrics.md. */
  readonly meaning: string;
}

export interface RuleGroup {
  readonly name: string;
  readonly rules: readonly (Alert | Recording)[];
}

/** The rule as Prometheus reads it. */
export function written(rule: Alert | Recording): object {
  if ('record' in rule) return { record: rule.record, expr: rule.expr };
  const { name, severity, expr, labels = {}, summary, reason, action } = rule;
  return {
    alert: name,
    expr,
    ...(rule.for === undefined ? {} : { for: rule.for }),
    labels: { severity, ...labels },
    annotations: { summary, reason, action, runbook_url: `${REASONS_PAGE}#${reason}` },
  };
}
