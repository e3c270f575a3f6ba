/**
 * Prometheus' protobuf exposition format (client_model's `metrics.proto`), in which histograms can be native:
 * of buckets that grow by a ratio, in one series.
 */
import { delimiter, ProtobufWriter } from '../base/protobuf.ts';
import type { Exemplar, HistogramCounts, LabelValues, MetricFamily } from './metric-family.ts';

/** As it is asked for, and answered with. */
export const PROTOBUF_TYPE =
  'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited';

/** Counts of a native histogram: `counts[n]` lie in the bucket with the index `offset + n`. */
export interface NativeCounts {
  /** Resolution: 2^schema buckets in each octave. */
  readonly schema: number;
  readonly offset: number;
  readonly counts: readonly number[];
  readonly sum: number;
  readonly exemplars?: HistogramCounts['exemplars'];
}

/** Writes one metric of a family: its labels and its value. */
export type WriteMetric = (out: ProtobufWriter) => void;

const TYPES = { counter: 0, gauge: 1, histogram: 4 } as const;
/** Observations nearer to 0 count as 0: client_golang's, and below all of our buckets. */
const ZERO_THRESHOLD = 2 ** -128;
/** Bytes that are made at a time, before the event loop may have its turn. */
const PIECE = 64 * 1024;
const EMPTY = Buffer.alloc(0);

/**
 * A family as one message with its length before it, in pieces; nothing where it has no metrics. A message
 * says its length first, so that a family is held until it is complete; empty pieces come meanwhile, after
 * which there may be turns.
 */
export function* protobufFamily(
  { name, help, type }: Pick<MetricFamily, 'name' | 'help' | 'type'>,
  metrics: Iterable<WriteMetric>,
): Generator<Buffer> {
  const out = new ProtobufWriter();
  const held: Buffer[] = [];
  out.string(1, name);
  out.string(2, help);
  out.uint(3, TYPES[type]);
  let some = false;
  for (const write of metrics) {
    some = true;
    out.message(4, () => write(out));
    if (out.length < PIECE) continue;
    held.push(out.take());
    yield EMPTY;
  }
  if (!some) return;
  held.push(out.take());
  yield delimiter(held.reduce((sum, { length }) => sum + length, 0));
  yield* held;
}

/** A counter or gauge. */
export function scalarMetric(family: MetricFamily, labels: LabelValues, value: number): WriteMetric {
  return (out) => {
    writeLabels(out, family.labels, labels);
    out.message(family.type === 'counter' ? 3 : 2, () => out.double(1, value));
  };
}

/** A histogram with bounds. */
export function classicMetric(
  { labels: names }: MetricFamily,
  bounds: readonly number[],
  labels: LabelValues,
  { buckets, sum, exemplars }: HistogramCounts,
): WriteMetric {
  return (out) => {
    writeLabels(out, names, labels);
    out.message(7, () => {
      out.uint(
        1,
        buckets.reduce<number>((all, count = 0) => all + count, 0),
      );
      out.double(2, sum);
      let below = 0;
      let from = Number.NEGATIVE_INFINITY;
      for (let at = 0; at <= bounds.length; at++) {
        below += buckets[at] ?? 0;
        const to = bounds[at] ?? Number.POSITIVE_INFINITY;
        writeBucket(out, below, to, exemplars && newest(exemplars, from, to));
        from = to;
      }
    });
  };
}

/** A native histogram. */
export function nativeMetric(
  { labels: names }: MetricFamily,
  labels: LabelValues,
  { schema, offset, counts, sum, exemplars }: NativeCounts,
): WriteMetric {
  return (out) => {
    writeLabels(out, names, labels);
    out.message(7, () => {
      out.uint(
        1,
        counts.reduce((all, count) => all + count, 0),
      );
      out.double(2, sum);
      out.sint(5, schema);
      out.double(6, ZERO_THRESHOLD);
      out.uint(7, 0);
      out.message(12, () => {
        out.sint(1, offset);
        out.uint(2, counts.length);
      });
      let before = 0;
      for (const count of counts) {
        out.sint(13, count - before);
        before = count;
      }
      for (const exemplar of exemplars ?? []) writeExemplar(out, 16, exemplar);
    });
  };
}

function writeBucket(
  out: ProtobufWriter,
  count: number,
  bound: number,
  exemplar: Exemplar | undefined,
): void {
  out.message(3, () => {
    out.uint(1, count);
    out.double(2, bound);
    if (exemplar !== undefined) writeExemplar(out, 3, exemplar);
  });
}

/** The newest one in a bucket, which has room for one. */
function newest(exemplars: readonly Exemplar[], from: number, to: number): Exemplar | undefined {
  let found: Exemplar | undefined;
  for (const one of exemplars)
    if (one.value > from && one.value <= to && one.at >= (found?.at ?? -Infinity)) found = one;
  return found;
}

function writeExemplar(out: ProtobufWriter, number: number, { labels, value, at }: Exemplar): void {
  out.message(number, () => {
    writeLabels(out, Object.keys(labels), labels);
    out.double(2, value);
    const seconds = Math.floor(at / 1000);
    out.message(3, () => {
      out.uint(1, seconds);
      out.uint(2, Math.floor((at - seconds * 1000) * 1_000_000));
    });
  });
}

/** Labels that have a value, in the family's order; `le` is none of a metric. */
function writeLabels(out: ProtobufWriter, names: readonly string[], values: LabelValues): void {
  for (const name of names) {
    const value = values[name];
    if (value === undefined || name === 'le') continue;
    out.message(1, () => {
      out.string(1, name);
      out.string(2, String(value));
    });
  }
}
