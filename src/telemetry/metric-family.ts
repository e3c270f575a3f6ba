/** Name, help text and labels of one metric: for the series, and for docs/reference/metrics.md. */
export interface MetricFamily {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Names of its labels, in the order in which they are written. */
  readonly labels: readonly string[];
  readonly help: string;
}

export type LabelValues = Readonly<Record<string, string | number>>;

/** Counts per bucket (not cumulative), one more than there are bounds; and the sum of what was observed. */
export interface HistogramCounts {
  readonly buckets: readonly (number | undefined)[];
  readonly sum: number;
  /** Of single observations; only the protobuf format has them. */
  readonly exemplars?: readonly Exemplar[] | undefined;
}

/** One observation of a histogram, and what tells more of it. */
export interface Exemplar {
  /** Such as the trace's id; 128 characters together, at most (OpenMetrics). */
  readonly labels: LabelValues;
  readonly value: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
}
