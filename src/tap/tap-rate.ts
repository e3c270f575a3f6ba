/** How many events a tap may bring in each second, and how many more at once. */
import type { TapFilter } from '../api/answers/tap-events.ts';
import { BucketPace, TokenBucket } from '../proxy/filters/token-bucket.ts';

/** A second's worth may come at once. */
export function tapBucket({ maxRps }: TapFilter): TokenBucket {
  return new TokenBucket(new BucketPace({ perSecond: maxRps, burst: Math.max(1, Math.ceil(maxRps)) }));
}

/** Whether one more fits in; it is counted then. @param now monotonic milliseconds */
export function admits(bucket: TokenBucket, now: number): boolean {
  if (bucket.wait(now) > 0) return false;
  bucket.take(now);
  return true;
}
