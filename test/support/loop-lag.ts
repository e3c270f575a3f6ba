import { expect } from 'chai';

/** How long text of strangers may keep a process from everything else, milliseconds. */
export const MAX_LAG_MS = 50;
const TURNS = 3;

/**
 * Asserts that the event loop is never held up for longer than `MAX_LAG_MS` while something is done. It is
 * done up to three times: what is slow each time is no accident.
 */
export async function expectNoLag(what: string, act: () => Promise<unknown>): Promise<void> {
  const seen: number[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    const lag = await lagDuring(act);
    if (lag <= MAX_LAG_MS) return;
    seen.push(Math.round(lag));
  }
  expect.fail(`${what}: the event loop was held up for ${seen.join(', ')} ms`);
}

/** How many of the items of `expectNoLagOver` are done again when one of them was slow. */
const RUN = 16;

/**
 * Asserts that for one item after another. On a busy machine much that has waited is done in one turn: what
 * was slow is done again with the few beside it, not with all. Each run begins with the last item of the one
 * before, of which some work may have come after its end.
 */
export async function expectNoLagOver<T>(
  what: string,
  items: readonly T[],
  act: (item: T) => Promise<unknown>,
): Promise<void> {
  for (let from = 0; from < items.length; from += RUN)
    await expectNoLag(`${what}, ${from} to ${from + RUN - 1} of ${items.length}`, async () => {
      for (const item of items.slice(Math.max(0, from - 1), from + RUN)) await act(item);
    });
}

/**
 * The longest work that was done without a break, milliseconds of this thread's CPU: what the machine does
 * besides does not count.
 */
async function lagDuring(act: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = cpuMs();
  const look = () => {
    const now = cpuMs();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const timer = setInterval(look, 1);
  try {
    await act();
    look();
  } finally {
    clearInterval(timer);
  }
  return longest;
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
