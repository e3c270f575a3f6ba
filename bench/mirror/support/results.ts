/** What a benchmark found, and how it is shown. */

export type Unit = 's' | 'ms' | 'MB' | 'writes';

/**
 * What must be reached: an absolute limit, a multiple of the raw time of the same run, or so many seconds
 * beyond it.
 */
export type Target =
  | { readonly kind: 'max'; readonly max: number }
  | { readonly kind: 'ratio'; readonly max: number }
  | { readonly kind: 'beyond raw'; readonly max: number };

/** One line of the table. */
export interface Measurement {
  readonly what: string;
  readonly unit: Unit;
  /** Undefined: it never happened; `note` says what was waited for. */
  readonly value: number | undefined;
  /** The limit of the same run, in the same unit: plain parallel requests, no product. */
  readonly raw?: number;
  /** Undefined for what is only told. */
  readonly target?: Target;
  readonly note?: string;
}

export interface Result extends Measurement {
  readonly benchmark: string;
  readonly ratio: number | undefined;
  readonly met: boolean | undefined;
}

/** Judges a measurement by its target. */
export function judge(benchmark: string, measurement: Measurement): Result {
  const { value, raw } = measurement;
  const ratio = value === undefined || raw === undefined || raw === 0 ? undefined : value / raw;
  return { ...measurement, benchmark, ratio, met: isMet(measurement, ratio) };
}

function isMet({ value, raw, target }: Measurement, ratio: number | undefined): boolean | undefined {
  if (target === undefined) return undefined;
  if (value === undefined) return false;
  if (target.kind === 'max') return value <= target.max;
  if (target.kind === 'ratio') return ratio !== undefined && ratio <= target.max;
  return raw !== undefined && value <= raw + target.max;
}

/** The table, one line for each result, columns aligned. */
export function tableOf(results: readonly Result[]): string {
  const head = ['benchmark', 'what', 'measured', 'raw', 'ratio', 'target', 'met', 'note'];
  const lines = [head, ...results.map(cellsOf)];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const right = new Set([2, 3, 4]);
  return lines
    .map((line) =>
      line
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return right.has(column) ? cell.padStart(width) : cell.padEnd(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function cellsOf(result: Result): string[] {
  const { benchmark, what, unit, value, raw, ratio, target, met, note } = result;
  return [
    benchmark,
    what,
    value === undefined ? 'never' : quantity(value, unit),
    raw === undefined ? '' : quantity(raw, unit),
    ratio === undefined ? '' : ratio.toFixed(2),
    target === undefined ? '' : describeTarget(target, unit),
    met === undefined ? '' : met ? 'yes' : 'NO',
    note ?? '',
  ];
}

function describeTarget(target: Target, unit: Unit): string {
  if (target.kind === 'max') return `<= ${quantity(target.max, unit)}`;
  if (target.kind === 'ratio') return `<= ${target.max} x raw`;
  return `<= raw + ${quantity(target.max, unit)}`;
}

/** A value with its unit, as many digits as mean something. */
export function quantity(value: number, unit: Unit): string {
  const digits = { s: 2, ms: 1, MB: 0, writes: Number.isInteger(value) ? 0 : 2 }[unit];
  return unit === 'writes' ? value.toFixed(digits) : `${value.toFixed(digits)} ${unit}`;
}

/** Nearest rank: the smallest value that at least `share` of all are not above. */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
