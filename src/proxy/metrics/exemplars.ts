import type { Exemplar } from '../../telemetry/metric-family.ts';

/** A request that is recorded, as an example of a target's latency. */
export interface LatencyExample {
  /** The target that it is counted of. */
  readonly target: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Time to the first byte of its response, milliseconds. */
  readonly ms: number;
  /** When it ended, milliseconds since the epoch. */
  readonly at: number;
  /** HTTP status. */
  readonly status: number;
  /** Whether that, or its gRPC status, is a failure. */
  readonly failed: boolean;
}

/**
 * Most examples that a process keeps, of all targets together: as few as they are, they go in each report of
 * a worker.
 */
export const MAX_EXAMPLES = 500;

/**
 * The newest example of each range of latencies that differ by less than four times, failures apart, of the
 * targets that had one last. With nothing recorded this costs nothing.
 */
export class LatencyExamples implements Iterable<LatencyExample> {
  /** Those that were set last are at the end. */
  readonly #newest = new Map<string, LatencyExample>();

  add(example: LatencyExample): void {
    const { target, ms, failed } = example;
    const range = ms > 0 ? Math.floor(Math.log2(ms) / 2) : -Infinity;
    const key = `${failed ? '!' : ''}${range}\t${target}`;
    this.#newest.delete(key);
    this.#newest.set(key, example);
    if (this.#newest.size <= MAX_EXAMPLES) return;
    for (const oldest of this.#newest.keys()) {
      this.#newest.delete(oldest);
      return;
    }
  }

  [Symbol.iterator](): Iterator<LatencyExample> {
    return this.#newest.values();
  }
}

/** Those of two processes, the newest of them. */
export function addExamples(
  a: readonly LatencyExample[],
  b: readonly LatencyExample[],
): readonly LatencyExample[] {
  if (a.length === 0 || b.length === 0) return a.length === 0 ? b : a;
  const all = [...a, ...b];
  return all.length <= MAX_EXAMPLES
    ? all
    : all.sort((left, right) => right.at - left.at).slice(0, MAX_EXAMPLES);
}

/**
 * What gives a target's examples as exemplars, with the labels that OpenTelemetry names; undefined: it has
 * none. Looks at all of them once, when it is first asked.
 */
export function exemplarsOf(
  examples: Iterable<LatencyExample>,
): (target: string, status?: number) => readonly Exemplar[] | undefined {
  let found: ReadonlyMap<string, readonly LatencyExample[]> | undefined;
  return (target, status) => {
    found ??= Map.groupBy(examples, (one) => one.target);
    return found
      .get(target)
      ?.filter((one) => status === undefined || one.status === status)
      .map(exemplarOf);
  };
}

function exemplarOf({ traceId, spanId, ms, at }: LatencyExample): Exemplar {
  return { labels: { trace_id: traceId, span_id: spanId }, value: ms, at };
}
