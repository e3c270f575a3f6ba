import type { HistoryKind } from '../answers.ts';

/** Quantiles over longer times would have Prometheus read every bucket of weeks. */
export const MAX_QUANTILE_S = 6 * 3600;

/** Which things are meant; what is absent is not asked about. */
export interface Selected {
  /** Label `cluster`. */
  readonly source?: string | undefined;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly side?: 'egress' | 'gateway' | undefined;
}

/** How one kind of things is told apart. */
interface Shape {
  /** Labels of one of them. */
  readonly by: readonly string[];
  /** What all of its series have. */
  readonly matchers: readonly string[];
  readonly selected: (of: Selected) => readonly string[];
  /** Whether the recording rules have it. */
  readonly recorded: boolean;
}

const SHAPES: Readonly<Record<HistoryKind, Shape>> = {
  service: {
    by: ['cluster', 'component', 'dst_namespace', 'dst_service'],
    matchers: ['component=~"gateway|egress"', 'dst_service!=""'],
    selected: ({ namespace, name, side }) => [
      ...equal('dst_namespace', namespace),
      ...equal('dst_service', name),
      ...equal('component', side),
    ],
    recorded: true,
  },
  cluster: {
    by: ['cluster', 'component'],
    matchers: ['component=~"gateway|egress"', 'dst_service!=""'],
    selected: ({ side }) => equal('component', side),
    recorded: true,
  },
  link: {
    by: ['cluster', 'dst_target_cluster'],
    matchers: ['component="egress"', 'dst_target_cluster!=""'],
    selected: ({ name }) => equal('dst_target_cluster', name),
    recorded: false,
  },
};

/** What is asked about things of a kind, as PromQL. */
export interface Questions {
  readonly responses: string;
  readonly failures: string;
  /** By quantile; absent: that would be too much to ask. */
  readonly quantiles: Readonly<Record<string, string>>;
}

/** Over the whole of a time. @param seconds how long it is */
export function tableQuestions(kind: HistoryKind, seconds: number, most: number): Questions {
  const shape = SHAPES[kind];
  const by = shape.by.join(', ');
  const inner = [...shape.matchers].join(',');
  const window = `[${Math.round(seconds)}s]`;
  const rate = (failed: boolean) =>
    shape.recorded
      ? `sum by (${by}) (avg_over_time(${recorded(failed)}{${inner}}${window}))`
      : `sum by (${by}) (rate(response_total{${inner}${failed ? FAILED : ''}}${window}))`;
  return {
    responses: `topk(${most}, ${rate(false)} > 0)`,
    failures: `${rate(true)} > 0`,
    quantiles: seconds > MAX_QUANTILE_S ? {} : quantilesOf(['0.5', '0.95', '0.99'], by, inner, window),
  };
}

/** Through a time. @param step seconds between two points */
export function seriesQuestions(kind: HistoryKind, selected: Selected, step: number): Questions {
  const shape = SHAPES[kind];
  const inner = [...shape.matchers, ...equal('cluster', selected.source), ...shape.selected(selected)].join(
    ',',
  );
  // No step is left out of what is looked at, and rates are of several scrapes.
  const window = `[${Math.max(LEAST_RATE_S, Math.round(step))}s]`;
  const rate = (failed: boolean) =>
    shape.recorded
      ? `sum(avg_over_time(${recorded(failed)}{${inner}}${window}))`
      : `sum(rate(response_total{${inner}${failed ? FAILED : ''}}${window}))`;
  return {
    responses: rate(false),
    failures: rate(true),
    quantiles: quantilesOf(['0.5', '0.99'], '', inner, window),
  };
}

const LEAST_RATE_S = 300;
const FAILED = ',classification="failure"';

function recorded(failed: boolean): string {
  return `linkspan_service:${failed ? 'failures' : 'responses'}:rate5m`;
}

function quantilesOf(
  quantiles: readonly string[],
  by: string,
  inner: string,
  window: string,
): Readonly<Record<string, string>> {
  const labels = ['le', ...(by === '' ? [] : [by])].join(', ');
  const buckets = `sum by (${labels}) (rate(response_latency_ms_bucket{${inner}}${window}))`;
  return Object.fromEntries(quantiles.map((q) => [q, `histogram_quantile(${q}, ${buckets})`]));
}

/** PromQL's strings are Go's, of which JSON's are a part. */
function equal(label: string, value: string | undefined): string[] {
  return value === undefined ? [] : [`${label}=${JSON.stringify(value)}`];
}
