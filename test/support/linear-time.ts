import { expect } from 'chai';

/** Sizes of the texts that are compared: a cost that is quadratic in 16 times the text is 256 times as high. */
const SMALL = 4_000;
const LARGE = 64_000;
/** What one call on the larger text may take, milliseconds: nobody notices it. */
const UNNOTICED_MS = 5;
const RATIO = LARGE / SMALL;

/**
 * Asserts that a function takes time in proportion to the length of the text that it makes and reads: 16 times the text, less than 64 times the time; or so little time that it does not matter.
 * Best of several, by the process's own CPU time, so that other work of the machine does not count.
 * @param run works on a text of about `length` characters
 */
export function expectLinear(run: (length: number) => unknown, what: string): void {
  // What takes minutes shall fail, and not hang: the small one tells.
  const small = bestOf(5, () => run(SMALL));
  expect(small, `${what}: ms for ${SMALL} characters`).to.be.below(UNNOTICED_MS * 4);
  const large = bestOf(5, () => run(LARGE));
  if (large < UNNOTICED_MS) return;
  expect(large / small, `${what}: ${small.toFixed(3)} and ${large.toFixed(3)} ms`).to.be.below(RATIO * 4);
}

/** Milliseconds of CPU that the quickest of some calls took. */
function bestOf(calls: number, run: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let call = 0; call < calls; call++) {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}
