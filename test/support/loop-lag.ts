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
