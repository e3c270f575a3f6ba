import { html } from './markup.ts';

const WIDTH = 120;
const HEIGHT = 28;

/**
 * The line of a series as the `d` of an SVG path; what is null leaves a gap. From zero, so that a small
 * change of a large number looks small.
 * @param least the value at the lower edge; what is below it stays on it
 */
export function sparkPath(values: readonly (number | null)[], least = 0): string {
  const room = Math.max(...values.map((value) => (value ?? 0) - least)) || 1;
  const step = values.length > 1 ? WIDTH / (values.length - 1) : WIDTH;
  let pen = 'M';
  const parts: string[] = [];
  for (const [at, value] of values.entries()) {
    if (value === null) {
      pen = 'M';
      continue;
    }
    const share = Math.max(0, (value - least) / room);
    parts.push(`${pen}${round(at * step)} ${round(HEIGHT - 1.5 - share * (HEIGHT - 3))}`);
    // One point between gaps is a dot: a line of no length with round ends.
    if (pen === 'M') parts.push('h0');
    pen = 'L';
  }
  return parts.join('');
}

const round = (value: number) => Math.round(value * 10) / 10;

interface SparkProps {
  readonly values: readonly (number | null)[];
  /** What it is of, and how its ends are written. */
  readonly label: string;
  readonly write: (value: number | null) => string;
  /** The value at the lower edge. */
  readonly least?: number | undefined;
}

/** A small line of the last half hour, with its ends in words for those who do not see it. */
export function Spark({ values, label, write, least }: SparkProps) {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return html`<span class="spark-none"></span>`;
  const words = `${label}, last 30 minutes: ${write(Math.min(...known))} to ${write(Math.max(...known))}`;
  const line = sparkPath(values, least);
  return html`<svg class="spark" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${words}>
    <path d=${line} />
  </svg>`;
}
