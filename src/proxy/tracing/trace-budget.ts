import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { BucketPace, TokenBucket } from '../filters/token-bucket.ts';
import type { TraceContext } from './trace-context.ts';

/**
 * Most spans of a process in a second: whoever asks for more, even from another cluster, must not fill our
 * collector.
 */
export const MAX_SPANS_PER_SECOND = 100;

/** Whether a request is to be recorded, by its context and a share. Pure. @param draw from [0, 1) */
export function isSampled(context: TraceContext | undefined, share: number, draw: Random): boolean {
  return context?.sampled ?? (share > 0 && draw() < share);
}

/** The spans that may still be made. */
export class TraceBudget {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #bucket: TokenBucket;

  constructor(clock: Pick<Clock, 'monotonic'>, perSecond = MAX_SPANS_PER_SECOND) {
    this.#clock = clock;
    this.#bucket = new TokenBucket(new BucketPace({ perSecond, burst: perSecond }));
  }

  /** Takes one; false: there is none left. */
  take(): boolean {
    const now = this.#clock.monotonic();
    if (this.#bucket.wait(now) > 0) return false;
    this.#bucket.take(now);
    return true;
  }
}
