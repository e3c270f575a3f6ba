/** What the requests of one run say about the fault in it. Pure. */
import { DIRECT, type Sample, STREAMS } from '../../test/e2e/programs/open-loop.mts';

/** Failed requests of a protocol. */
export interface Failed {
  readonly protocol: string;
  readonly isIdempotent: boolean;
  readonly count: number;
}

/** One request that failed or was slow. */
export interface BadRequest {
  readonly protocol: string;
  readonly isIdempotent: boolean;
  /** When it was due, after the fault. */
  readonly dueMs: number;
  readonly tookMs: number;
  /** Empty: it was answered. */
  readonly failure: string;
}

/** What one run has shown. Times are in milliseconds. */
export interface RunFigures {
  /**
   * From the first request that was due after the fault to the first one that was answered: of the protocol
   * and method with which that took longest. Undefined: one of them was never answered.
   */
  readonly firstMs: number | undefined;
  /**
   * From the fault to the end of the last request that failed, or that was slow, with none in the second
   * after it.
   */
  readonly steadyMs: number;
  readonly failed: readonly Failed[];
  /** What the failed ones were told, with how many were told it. */
  readonly reasons: ReadonlyMap<string, number>;
  /** Requests that may not be sent twice, and that were in hand when the fault came. */
  readonly inHand: number;
  /** The slowest request before the fault. */
  readonly calmMs: number;
  /** The slowest request after the fault that went to a member itself: what the machine does to requests. */
  readonly floorMs: number;
  /** The slowest request that was answered after the fault. */
  readonly slowestMs: number;
  /** All requests that ended after the fault. */
  readonly requests: number;
  /** Those that failed or were slow, one by one. */
  readonly bad: readonly BadRequest[];
}

/**
 * A request that takes so many times longer than the slowest before the fault, or past all of it, is slow.
 */
const SLOW_FACTOR = 2;
/** Below this no request is slow, milliseconds. */
const LEAST_SLOW_MS = 20;
/** So long after the last slow request nothing is to be slow, milliseconds. */
const CALM_MS = 1000;

/** When a fault came, by the clock of the samples, milliseconds. */
export interface FaultTime {
  /** When it was ordered: what ended before does not count. */
  readonly ordered: number;
  /** When it was there, such as when a killed process was gone: times are counted from it. */
  readonly at: number;
}

/** @param samples all requests of the run */
export function figuresOf(samples: readonly Sample[], { ordered, at: faultMs }: FaultTime): RunFigures {
  const [direct, served] = [samples.filter(isDirect), samples.filter((one) => !isDirect(one))];
  // Where one fault follows another, what failed in the first is no calm.
  const before = served.filter((one) => endOf(one) < ordered && one[4] === '');
  const after = served.filter((one) => endOf(one) >= ordered);
  const calmMs = greatest(before.map(([, , took]) => took));
  const floorMs = greatest(direct.filter((one) => endOf(one) >= ordered).map(([, , took]) => took));
  const slowMs = Math.max(LEAST_SLOW_MS, SLOW_FACTOR * Math.max(calmMs, floorMs));
  const failures = after.filter(([, , , , failure]) => failure !== '');
  return {
    firstMs: firstSuccess(after.filter(([, due]) => due >= faultMs)),
    steadyMs: Math.max(
      0,
      greatest(failures.map(endOf)) - faultMs,
      lastSlow(after, faultMs, slowMs) - faultMs,
    ),
    failed: failedOf(failures),
    reasons: countsOf(failures.map(([, , , , failure]) => failure)),
    inHand: after.filter(([stream, due]) => due < faultMs && STREAMS[stream]?.isIdempotent !== true).length,
    calmMs,
    floorMs,
    slowestMs: greatest(after.filter(([, , , , failure]) => failure === '').map(([, , took]) => took)),
    requests: after.length,
    bad: after
      .filter(([, , took, , failure]) => failure !== '' || took > slowMs)
      .map(([stream, due, tookMs, , failure]) => ({
        protocol: STREAMS[stream]?.protocol ?? '',
        isIdempotent: STREAMS[stream]?.isIdempotent ?? false,
        dueMs: due - faultMs,
        tookMs,
        failure,
      })),
  };
}

/** The part of the answers within a time that came from a backend, by backend; of streams that are drawn. */
export function observedShares(
  samples: readonly Sample[],
  fromMs: number,
  toMs: number,
): Map<string, number> {
  const drawn = samples.filter(
    ([stream, due, , by]) => due >= fromMs && due < toMs && by !== '' && isDrawn(stream),
  );
  const counts = countsOf(drawn.map(([, , , by]) => by));
  return new Map([...counts].map(([by, count]) => [by, count / drawn.length]));
}

/**
 * Whether a backend is drawn for each request of a stream: one on a kept raw connection stays where it is,
 * and one that goes to a member itself is not drawn at all.
 */
export function isDrawn(stream: number): boolean {
  const protocol = STREAMS[stream]?.protocol;
  return protocol !== undefined && protocol !== 'raw kept';
}

function isDirect([stream]: Sample): boolean {
  return stream === DIRECT;
}

export function endOf([, due, took]: Sample): number {
  return due + took;
}

function firstSuccess(due: readonly Sample[]): number | undefined {
  const waits = STREAMS.map((_, index) => {
    const own = due.filter(([stream]) => stream === index);
    const asked = Math.min(...own.map(([, at]) => at));
    const answered = Math.min(...own.filter(([, , , , failure]) => failure === '').map(endOf));
    return answered - asked;
  });
  const longest = Math.max(...waits);
  return Number.isFinite(longest) ? longest : undefined;
}

/** When the last slow request of the disturbance ended: none is slow in the second after it. */
function lastSlow(after: readonly Sample[], faultMs: number, slowMs: number): number {
  let end = faultMs;
  const slow = after.filter(([, , took]) => took > slowMs).toSorted(([, a], [, b]) => a - b);
  for (const sample of slow) {
    if (sample[1] > end + CALM_MS) break;
    end = Math.max(end, endOf(sample));
  }
  return end;
}

function failedOf(failures: readonly Sample[]): Failed[] {
  const byStream = Map.groupBy(failures, ([stream]) => {
    const { protocol = '', isIdempotent = false } = STREAMS[stream] ?? {};
    return `${protocol}\n${isIdempotent ? 'idempotent' : ''}`;
  });
  return [...byStream].map(([key, own]) => {
    const [protocol = '', idempotent] = key.split('\n');
    return { protocol, isIdempotent: idempotent !== '', count: own.length };
  });
}

function countsOf(texts: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return counts;
}

function greatest(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b), 0);
}
