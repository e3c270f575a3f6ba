/**
 * Buckets in each octave: Prometheus' native histograms of schema 3. A bucket ends 2^(1/8) after the last.
 */
const PER_OCTAVE = 8;
/** Prometheus' name of that resolution. */
export const LATENCY_SCHEMA = 3;
/**
 * Index of the first bucket, as Prometheus counts them (bucket 0 ends at 1 ms), and how many there are: from
 * 0.125 ms to 131 s. What is outside counts in the first or last one.
 */
export const FIRST_BUCKET = -23;
export const ALL_BUCKETS = 160;

/** What was observed, as plain JSON: the sum of two is the sum of the numbers at each place. */
export interface LatencyNumbers {
  /** Sum of what was observed, milliseconds. */
  readonly sum: number;
  /**
   * How many lie in each bucket that is not empty, by the bucket's index in Prometheus' native histograms.
   */
  readonly buckets: Readonly<Record<string, number>>;
}

/** Nothing observed. */
export const NO_LATENCY: LatencyNumbers = { sum: 0, buckets: {} };

/** The same without gaps: `counts[n]` lie in the bucket with the index `offset + n`. */
export interface LatencySpan {
  readonly schema: typeof LATENCY_SCHEMA;
  readonly sumMs: number;
  readonly offset: number;
  readonly counts: readonly number[];
}

/** What was observed, in either form. */
export interface ObservedLatency {
  readonly numbers: LatencyNumbers;
  readonly span: LatencySpan;
}

/**
 * Times in buckets that grow with what they hold, so that every quantile is known within 4.5 % (0.125 ms to
 * 131 s). What is kept is 640 bytes, once anything is observed.
 */
export class LatencyHistogram implements ObservedLatency {
  #counts: Int32Array | undefined;
  #sum = 0;
  /** The first bucket that is not empty, and the one behind the last. */
  #first = ALL_BUCKETS;
  #end = 0;

  /** @param ms milliseconds */
  observe(ms: number): void {
    const counts = (this.#counts ??= new Int32Array(ALL_BUCKETS));
    // Less than nothing (a clock that was wrong) and NaN count as the least.
    const at = ms > 0 ? Math.ceil(Math.log2(ms) * PER_OCTAVE) - FIRST_BUCKET : 0;
    const bounded = at <= 0 ? 0 : Math.min(at, ALL_BUCKETS - 1);
    counts[bounded] = (counts[bounded] ?? 0) + 1;
    if (bounded < this.#first) this.#first = bounded;
    if (bounded >= this.#end) this.#end = bounded + 1;
    if (ms > 0) this.#sum += ms;
  }

  /** What has been observed so far. */
  get numbers(): LatencyNumbers {
    if (this.#counts === undefined) return NO_LATENCY;
    const buckets: Record<string, number> = {};
    for (const [at, count] of this.#counts.entries()) if (count !== 0) buckets[at + FIRST_BUCKET] = count;
    return { sum: this.#sum, buckets };
  }

  /** The same, made without a copy by bucket: there is one for each of thousands of targets. */
  get span(): LatencySpan {
    const all = this.#counts;
    if (all === undefined) return NO_SPAN;
    // A loop: to make an array from a typed one takes ten times as long.
    const counts: number[] = [];
    for (let at = this.#first; at < this.#end; at++) counts.push(all[at] ?? 0);
    return { schema: LATENCY_SCHEMA, sumMs: this.#sum, offset: this.#first + FIRST_BUCKET, counts };
  }
}

/** Nothing observed. */
export const NO_SPAN: LatencySpan = { schema: LATENCY_SCHEMA, sumMs: 0, offset: 0, counts: [] };

/** What another process has observed. */
export function observedLatency(numbers: LatencyNumbers): ObservedLatency {
  return {
    numbers,
    get span() {
      return latencySpan(numbers);
    },
  };
}

/** What two processes have observed together. */
export function addLatency(a: LatencyNumbers, b: LatencyNumbers): LatencyNumbers {
  const buckets: Record<string, number> = { ...a.buckets };
  for (const [index, count] of Object.entries(b.buckets)) buckets[index] = (buckets[index] ?? 0) + count;
  return { sum: a.sum + b.sum, buckets };
}

/** How many were observed. */
export function latencyCount({ buckets }: LatencyNumbers): number {
  return Object.values(buckets).reduce((sum, count) => sum + count, 0);
}

/**
 * The time that a part of what was observed did not exceed, milliseconds, within 4.5 %; undefined: nothing
 * was observed.
 * @param q 0 to 1; 0.99 for p99
 */
export function latencyQuantile(numbers: LatencyNumbers, q: number): number | undefined {
  const ordered = sorted(numbers);
  const rank = Math.max(1, Math.ceil(q * latencyCount(numbers)));
  let before = 0;
  for (const [index, count] of ordered) {
    before += count;
    if (before >= rank) return middleOf(index);
  }
  return undefined;
}

/**
 * The same of all buckets, from the first one on.
 * @returns undefined: nothing was observed
 */
export function quantileOf(all: Float64Array, q: number): number | undefined {
  let total = 0;
  for (const count of all) total += count;
  const rank = Math.max(1, Math.ceil(q * total));
  let before = 0;
  for (let at = 0; at < all.length; at++) {
    before += all[at] ?? 0;
    if (before >= rank) return middleOf(at + FIRST_BUCKET);
  }
  return undefined;
}

/** The middle of a bucket, by ratio, milliseconds. */
function middleOf(index: number): number {
  return 2 ** ((index - 0.5) / PER_OCTAVE);
}

/** The same numbers without gaps, as other programs read them. */
export function latencySpan(numbers: LatencyNumbers): LatencySpan {
  const ordered = sorted(numbers);
  const offset = ordered[0]?.[0] ?? 0;
  const counts = Array.from({ length: (ordered.at(-1)?.[0] ?? offset - 1) - offset + 1 }, () => 0);
  for (const [index, count] of ordered) counts[index - offset] = count;
  return { schema: LATENCY_SCHEMA, sumMs: numbers.sum, offset, counts };
}

/** The numbers of a span. */
export function ofLatencySpan({ sumMs, offset, counts }: LatencySpan): LatencyNumbers {
  const buckets: Record<string, number> = {};
  for (const [at, count] of counts.entries()) if (count !== 0) buckets[at + offset] = count;
  return { sum: sumMs, buckets };
}

function sorted({ buckets }: LatencyNumbers): [index: number, count: number][] {
  return Object.entries(buckets)
    .map(([index, count]): [number, number] => [Number(index), count])
    .sort(([a], [b]) => a - b);
}
