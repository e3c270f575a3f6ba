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
/** How often what was slow is measured again: what is slow by itself stays slow. */
const RETRIES = 5;

/**
 * Asserts that a function takes time in proportion to the length of the text that it makes and reads, or so
 * little that it does not matter. Best of several, by this thread's CPU time, so that other work of the
 * machine does not count.
 * @param run works on a text of about `length` characters
 */
export function expectLinear(run: (length: number) => unknown, what: string): void {
  let before = 0;
  for (const [nth, size] of SIZES.entries()) {
    const shorter = SIZES[nth - 1];
    const most = MAX_RATIO * Math.max(before, UNNOTICED_MS / MAX_RATIO);
    // The last one is compared with nothing that comes: that it is fast enough is enough.
    let ms = bestOf(3, () => run(size), size === SIZES.at(-1) ? most : undefined);
    let times = [before, ms];
    // What is in the way of the machine comes and goes, and may come between two measurements: both are made
    // again, together.
    for (let again = 0; again < RETRIES && isSlow(times); again++) {
      ms = bestOf(3, () => run(size));
      times = [shorter === undefined ? 0 : bestOf(3, () => run(shorter), 0), ms];
    }
    const [least = 0, longest = 0] = times;
    const told = `${what}: ${least.toFixed(3)} ms, and ${longest.toFixed(3)} ms for ${size} characters`;
    expect(isSlow(times), told).to.equal(false);
    before = ms;
  }
}

/** Whether the longer text is noticed, and takes more than in proportion. */
function isSlow([before = 0, ms = 0]: readonly number[]): boolean {
  return ms > UNNOTICED_MS && ms >= MAX_RATIO * Math.max(before, UNNOTICED_MS / MAX_RATIO);
}

/** Asserts that something takes so little time that it does not matter. */
export function expectUnnoticed(run: () => unknown, what: string): void {
  const most = MAX_LAG_MS - UNNOTICED_MS;
  // How little does not matter here: what is below it need not be measured.
  let ms = bestOf(3, run, most);
  for (let again = 0; again < RETRIES && ms >= most; again++) ms = bestOf(3, run, most);
  expect(ms, `${what}: ms`).to.be.below(most);
}

/** CPU time is told in ticks of some milliseconds: what is measured lasts for several. */
const LONG_ENOUGH_MS = 40;

/**
 * Milliseconds of CPU that one call takes, the least of some measurements; of one that takes less than
 * `enough`, its time by the clock or the whole process' CPU, whichever is less.
 * @param enough default: what is hardly noticed
 */
export function bestOf(measurements: number, run: () => unknown, enough = UNNOTICED_MS / 2): number {
  const [start, before] = [performance.now(), process.cpuUsage()];
  run();
  const elapsed = performance.now() - start;
  if (elapsed < enough) return elapsed;
  // Neither is less than what this thread took; on a busy machine the clock says much more.
  const { user, system } = process.cpuUsage(before);
  const taken = (user + system) / 1000;
  if (taken < enough) return taken;
  let best = Number.POSITIVE_INFINITY;
  for (let nth = 0; nth < measurements; nth++) {
    best = Math.min(best, cpuOf(run));
    if (best < Math.max(enough, UNNOTICED_MS)) break;
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
