import { expect } from 'chai';

/** Sizes of the texts, each four times the one before: what takes minutes for the largest fails at a small one instead of hanging. */
const SIZES = [250, 1000, 4000, 16_000, 64_000];
/** What one call may take, whatever the size, milliseconds of CPU: nobody notices it. */
const UNNOTICED_MS = 10;
/** How much longer four times the text may take: what is quadratic takes 16 times as long. */
const MAX_RATIO = 10;

/**
 * Asserts that a function takes time in proportion to the length of the text that it makes and reads, or so little that it does not matter. Best of several, by this thread's CPU time, so that other work of
 * the machine does not count.
 * @param run works on a text of about `length` characters
 */
export function expectLinear(run: (length: number) => unknown, what: string): void {
  let before = Number.POSITIVE_INFINITY;
  for (const size of SIZES) {
    const ms = bestOf(3, () => run(size));
    const times = `${what}: ${before.toFixed(3)} ms, and ${ms.toFixed(3)} ms for ${size} characters`;
    if (ms > UNNOTICED_MS)
      expect(ms / Math.max(before, UNNOTICED_MS / MAX_RATIO), times).to.be.below(MAX_RATIO);
    before = ms;
  }
}

/** Milliseconds of CPU that the quickest of some calls took. */
function bestOf(calls: number, run: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let call = 0; call < calls; call++) {
    const before = process.threadCpuUsage();
    run();
    const { user, system } = process.threadCpuUsage(before);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}
