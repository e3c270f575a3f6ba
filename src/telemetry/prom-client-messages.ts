import type { LabelValues, MetricFamily } from './metric-family.ts';
import { classicMetric, protobufFamily, scalarMetric, type WriteMetric } from './protobuf-exposition.ts';

/** A metric of prom-client, as its registry gives it for JSON. */
export interface PromMetric {
  readonly name: string;
  readonly help: string;
  /** `summary` is left out: there is none. */
  readonly type: string;
  readonly values: readonly {
    readonly value: number;
    readonly labels: LabelValues;
    /** Of a histogram: the name with `_bucket`, `_sum` or `_count`. */
    readonly metricName?: string;
  }[];
}

/** The message of one of prom-client's metrics. */
export function* promMessage({ name, help, type, values }: PromMetric): Generator<Buffer> {
  if (type !== 'counter' && type !== 'gauge' && type !== 'histogram') return;
  const labels = [...new Set(values.flatMap((value) => Object.keys(value.labels)))];
  const family: MetricFamily = { name, help, type, labels };
  yield* protobufFamily(family, type === 'histogram' ? histograms(family, values) : scalars(family, values));
}

function* scalars(family: MetricFamily, values: PromMetric['values']): Generator<WriteMetric> {
  for (const { labels, value } of values) yield scalarMetric(family, labels, value);
}

/** prom-client gives a histogram as cumulative buckets, one value each, then its sum and its count. */
function* histograms(family: MetricFamily, values: PromMetric['values']): Generator<WriteMetric> {
  let [bounds, buckets, below]: [number[], number[], number] = [[], [], 0];
  for (const { labels, value, metricName = '' } of values) {
    if (metricName.endsWith('_bucket')) {
      const bound = Number(labels['le'] === '+Inf' ? Number.POSITIVE_INFINITY : labels['le']);
      if (bound < Number.POSITIVE_INFINITY) bounds.push(bound);
      buckets.push(value - below);
      below = value;
    } else if (metricName.endsWith('_sum')) {
      yield classicMetric(family, bounds, labels, { buckets, sum: value });
      [bounds, buckets, below] = [[], [], 0];
    }
  }
}
