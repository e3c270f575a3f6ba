import { expect } from 'chai';
import { MAX_LAG_MS } from './loop-lag.ts';

/**
 * Sizes of the texts, each eight times the one before: what takes minutes for the largest fails at a small
 * one instead of hanging.
 */
const SIZES = [500, 4000, 32_000];
/** What one call may take, whatever the size, milliseconds of CPU: nobody notices it. */
const UNNOTICED_MS = 10;
/** How much longer eight times the text may take: what is quadratic takes 64 times as long. */
const MAX_RATIO = 24;

/**
 * Asserts that a function takes time in proportion to the length of the text that it makes and reads, or so
 * little that it does not matter. Best of several, by this thread's CPU time, so that other work of the
 * machine does not count.
 * @param run works on a text of about `length` characters
 */
export function expectLinear(run: (length: number) => unknown, what: string): void {
  let before = 0;
  for (const size of SIZES) {
    const most = MAX_RATIO * Math.max(before, UNNOTICED_MS / MAX_RATIO);
    let ms = bestOf(3, () => run(size));
    // What is in the way of the machine comes and goes: what is slow stays slow.
    if (ms > UNNOTICED_MS && ms >= most)
      ms = Math.min(
        ms,
        bestOf(10, () => run(size)),
      );
    const times = `${what}: ${before.toFixed(3)} ms, and ${ms.toFixed(3)} ms for ${size} characters`;
    if (ms > UNNOTICED_MS) expect(ms, times).to.be.below(most);
    before = ms;
  }
}

/** Asserts that something takes so little time that it does not matter. */
export function expectUnnoticed(run: () => unknown, what: string): void {
  const ms = bestOf(3, run);
  expect(ms, `${what}: ms`).to.be.below(MAX_LAG_MS - UNNOTICED_MS);
}

/** CPU time is told in ticks of some milliseconds: what is measured lasts for several. */
const LONG_ENOUGH_MS = 40;

/**
 * Milliseconds of CPU that one call takes, the least of some measurements; of one that is hardly noticed, its
 * time by the clock or the whole process' CPU, whichever is less.
 */
export function bestOf(measurements: number, run: () => unknown): number {
  const [start, before] = [performance.now(), process.cpuUsage()];
  run();
  const { user, system } = process.cpuUsage(before);
  // Neither is less than what this thread took; on a busy machine the clock says much more.
  const elapsed = Math.min(performance.now() - start, (user + system) / 1000);
  if (elapsed < UNNOTICED_MS / 2) return elapsed;
  let best = Number.POSITIVE_INFINITY;
  for (let nth = 0; nth < measurements; nth++) {
    best = Math.min(best, cpuOf(run));
    if (best < UNNOTICED_MS) break;
  }
  return best;
}

function cpuOf(run: () => unknown): number {
  const before = process.threadCpuUsage();
  for (let calls = 1; ; calls++) {
    run();
    const { user, system } = process.threadCpuUsage(before);
    const ms = (user + system) / 1000;
    if (ms >= LONG_ENOUGH_MS) return ms / calls;
  }
}
