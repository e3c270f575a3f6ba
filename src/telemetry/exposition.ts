import type { HistogramCounts, LabelValues, MetricFamily } from './metric-family.ts';
import {
  classicMetric,
  nativeMetric,
  type NativeCounts,
  protobufFamily,
  scalarMetric,
  type WriteMetric,
} from './protobuf-exposition.ts';

export type { HistogramCounts, LabelValues, MetricFamily } from './metric-family.ts';

/** Lines in one piece, which take about half a millisecond to write. */
const PIECE_LINES = 250;

/**
 * Writes Prometheus' text format from numbers that are counted elsewhere. For counters of the data path,
 * where prom-client's objects would cost a look-up by label hash for every increment.
 *
 * Text is made piece by piece, when a piece is taken: tens of thousands of lines at once would stop the
 * traffic of a process for as long. So samples should be lazy iterables, not lists.
 */
export class Exposition {
  readonly #families: Family[] = [];

  /** The whole text in one string. */
  get text(): string {
    return [...this.pieces()].join('');
  }

  /** Adds all families of another one. */
  append(other: Exposition): void {
    this.#families.push(...other.#families);
  }

  /** All of it, in one of two formats. Can be read once. */
  pieces(): MetricsPieces {
    return { [Symbol.iterator]: () => this.#text(), protobuf: () => this.#protobuf() };
  }

  *#protobuf(): Generator<Buffer> {
    for (const { family, metrics } of this.#families) yield* protobufFamily(family, metrics());
  }

  *#text(): Generator<string> {
    let lines: string[] = [];
    for (const { text } of this.#families) {
      for (const some of text()) {
        lines.push(...some);
        if (lines.length < PIECE_LINES) continue;
        yield `${lines.join('\n')}\n`;
        lines = [];
      }
    }
    if (lines.length > 0) yield `${lines.join('\n')}\n`;
  }

  /** Adds the samples of a counter or gauge; nothing when there are none. */
  write(family: MetricFamily, samples: Iterable<readonly [LabelValues, number]>): void {
    this.#families.push({
      family,
      text: () => scalarLines(family, samples),
      *metrics() {
        for (const [labels, value] of samples) yield scalarMetric(family, labels, value);
      },
    });
  }

  /**
   * Adds the samples of a histogram.
   * @param where default: in both formats
   */
  writeHistogram(
    family: MetricFamily,
    bounds: readonly number[],
    samples: Iterable<readonly [LabelValues, HistogramCounts]>,
    where: 'all' | 'text' = 'all',
  ): void {
    this.#families.push({
      family,
      text: () => histogramLines(family, bounds, samples),
      *metrics() {
        if (where === 'text') return;
        for (const [labels, counts] of samples) yield classicMetric(family, bounds, labels, counts);
      },
    });
  }

  /**
   * Adds the samples of a native histogram, which the text format cannot have. In a family of its own:
   * Prometheus takes all metrics of a family for what the first one is.
   */
  writeNative(family: MetricFamily, samples: Iterable<readonly [LabelValues, NativeCounts]>): void {
    this.#families.push({
      family,
      text: () => [],
      *metrics() {
        for (const [labels, counts] of samples) yield nativeMetric(family, labels, counts);
      },
    });
  }
}

/** Metrics as text in pieces of about `PIECE_LINES` lines, or as messages, some pieces of which are empty. */
export interface MetricsPieces extends Iterable<string> {
  [Symbol.iterator](): Generator<string>;
  protobuf(): Iterable<Buffer>;
}

interface Family {
  readonly family: MetricFamily;
  readonly text: () => Iterable<readonly string[]>;
  readonly metrics: () => Iterable<WriteMetric>;
}

function* scalarLines(
  family: MetricFamily,
  samples: Iterable<readonly [LabelValues, number]>,
): Generator<readonly string[]> {
  let begun = false;
  for (const [labels, value] of samples) {
    if (!begun) yield headLines(family);
    begun = true;
    yield [sampleLine(family.name, labelText(family.labels, labels), value)];
  }
}

function* histogramLines(
  family: MetricFamily,
  bounds: readonly number[],
  samples: Iterable<readonly [LabelValues, HistogramCounts]>,
): Generator<readonly string[]> {
  const names = family.labels.filter((name) => name !== 'le');
  let begun = false;
  for (const [labels, { buckets, sum }] of samples) {
    if (!begun) yield headLines(family);
    begun = true;
    const text = labelText(names, labels);
    const comma = text === '' ? '' : ',';
    const lines: string[] = [];
    let count = 0;
    for (const [at, bound] of bounds.entries()) {
      count += buckets[at] ?? 0;
      lines.push(sampleLine(`${family.name}_bucket`, `${text}${comma}le="${bound}"`, count));
    }
    count += buckets[bounds.length] ?? 0;
    lines.push(
      sampleLine(`${family.name}_bucket`, `${text}${comma}le="+Inf"`, count),
      sampleLine(`${family.name}_sum`, text, sum),
      sampleLine(`${family.name}_count`, text, count),
    );
    yield lines;
  }
}

function headLines({ name, help, type }: MetricFamily): readonly string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function sampleLine(name: string, labels: string, value: number): string {
  return labels === '' ? `${name} ${value}` : `${name}{${labels}} ${value}`;
}

/** Labels that have a value, in the family's order. */
function labelText(names: readonly string[], values: LabelValues): string {
  const parts: string[] = [];
  for (const name of names) {
    const value = values[name];
    if (value !== undefined) parts.push(`${name}="${escaped(String(value))}"`);
  }
  return parts.join(',');
}

function escaped(value: string): string {
  return /[\\"\n]/.test(value)
    ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
    : value;
}
