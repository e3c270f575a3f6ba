import { type AnnotationName, type Annotations, readAnnotation } from './annotations.ts';

/** Reads annotations one by one, and gathers which of them hold, and what is wrong with the others. */
export class AnnotationReader {
  /** What is wrong, one line each. */
  readonly problems: string[] = [];
  readonly #annotations: Annotations;
  readonly #used = new Set<AnnotationName>();

  constructor(annotations: Annotations | undefined) {
    this.#annotations = annotations ?? {};
  }

  /** Names of the annotations whose values hold, in the order in which they were read. */
  get used(): readonly AnnotationName[] {
    return [...this.#used];
  }

  /** All names, read or not. */
  get names(): readonly string[] {
    return Object.keys(this.#annotations);
  }

  /**
   * The value under the first of these names that is there.
   * @param parse returns undefined for a value that is not valid
   * @param refusal the message that follows the text of such a value
   */
  read<T>(
    names: readonly AnnotationName[],
    parse: (text: string) => T | undefined,
    refusal = 'is not valid, it is left out',
  ): T | undefined {
    const name = names.find((one) => one in this.#annotations);
    const text = name === undefined ? undefined : readAnnotation(this.#annotations, name);
    if (name === undefined || text === undefined) return undefined;
    const value = parse(text.trim());
    if (value === undefined) this.problems.push(`${name}: "${text}" ${refusal}`);
    else this.#used.add(name);
    return value;
  }

  /** Values that were read and do not hold after all. */
  drop(...names: readonly AnnotationName[]): void {
    for (const name of names) this.#used.delete(name);
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
