import { type AnnotationName, type Annotations, readAnnotation } from './annotations.ts';

/** Reads annotations one by one, and gathers what is wrong with them, one line each. */
export class AnnotationReader {
  readonly problems: string[] = [];
  readonly #annotations: Annotations;

  constructor(annotations: Annotations) {
    this.#annotations = annotations;
  }

  /** The value under the first of these names that is there. */
  read<T>(names: readonly AnnotationName[], parse: (text: string) => T | undefined): T | undefined {
    const name = names.find((one) => one in this.#annotations);
    const text = name === undefined ? undefined : readAnnotation(this.#annotations, name);
    if (name === undefined || text === undefined) return undefined;
    const value = parse(text.trim());
    if (value === undefined) this.problems.push(`${name}: "${text}" is not valid, it is left out`);
    return value;
  }
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Timers of JavaScript are 31 bits of milliseconds. */
const MAX_TIME = 0x7fffffff;

/**
 * Milliseconds of a time as Linkerd's policy controller reads it: whole numbers with one unit of
 * `ms s m h d`, or `0`; zero is no limit.
 */
export function parseTime(text: string): number | undefined {
  if (text === '0') return 0;
  const [, amount = '', unit = ''] = /^(\d{1,15})(ms|s|m|h|d)$/.exec(text) ?? [];
  const ms = Number(amount) * (UNITS[unit] ?? Number.NaN);
  return amount !== '' && Number.isFinite(ms) ? Math.min(ms, MAX_TIME) : undefined;
}
