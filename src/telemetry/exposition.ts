/** One metric as the documentation, the HELP line and the series have it. */
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
}

/**
 * Prometheus' text format, written in one go from numbers that were counted elsewhere. For what is counted on the data path: prom-client's objects cost a lookup by label hash on every increment.
 */
export class Exposition {
  readonly #lines: string[] = [];

  get text(): string {
    return this.#lines.length === 0 ? '' : `${this.#lines.join('\n')}\n`;
  }

  /** Writes the samples of a counter or gauge; nothing when there are none. */
  write(family: MetricFamily, samples: Iterable<readonly [LabelValues, number]>): void {
    let begun = false;
    for (const [labels, value] of samples) {
      if (!begun) this.#begin(family);
      begun = true;
      this.#sample(family.name, labelText(family.labels, labels), value);
    }
  }

  /** Writes the samples of a histogram. */
  writeHistogram(
    family: MetricFamily,
    bounds: readonly number[],
    samples: Iterable<readonly [LabelValues, HistogramCounts]>,
  ): void {
    let begun = false;
    for (const [labels, { buckets, sum }] of samples) {
      if (!begun) this.#begin(family);
      begun = true;
      const names = family.labels.filter((name) => name !== 'le');
      const text = labelText(names, labels);
      const comma = text === '' ? '' : ',';
      let count = 0;
      for (const [at, bound] of bounds.entries()) {
        count += buckets[at] ?? 0;
        this.#sample(`${family.name}_bucket`, `${text}${comma}le="${bound}"`, count);
      }
      count += buckets[bounds.length] ?? 0;
      this.#sample(`${family.name}_bucket`, `${text}${comma}le="+Inf"`, count);
      this.#sample(`${family.name}_sum`, text, sum);
      this.#sample(`${family.name}_count`, text, count);
    }
  }

  #begin({ name, help, type }: MetricFamily): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  }

  #sample(name: string, labels: string, value: number): void {
    this.#lines.push(labels === '' ? `${name} ${value}` : `${name}{${labels}} ${value}`);
  }
}

/** Only labels that have a value; the family's order. */
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
