/**
 * Loaded first in a gateway: at SIGUSR2 it begins to watch the event loop, at the next one it ends that. Each
 * time it writes a line of JSON to standard output, the second time a `LoopLine`. Not watched, nothing runs.
 */

/** How an event loop went while it was watched. */
export interface LoopLine {
  /** The longest time for which it did not come around, milliseconds. */
  readonly stallMs: number;
  /**
   * The longest work without a break, milliseconds of its thread's CPU: without what the machine did besides.
   */
  readonly workMs: number;
}

/** Below this no timer can be set. */
const LOOK_MS = 1;

/** Ends the watch, and says what it saw. */
type Watch = () => LoopLine;

let watch: Watch | undefined;

process.on('SIGUSR2', () => {
  const line = watch === undefined ? { watched: true } : watch();
  watch = watch === undefined ? begin() : undefined;
  process.stdout.write(`${JSON.stringify(line)}\n`);
});

function begin(): Watch {
  let [stallMs, workMs] = [0, 0];
  let [at, worked] = [performance.now(), threadMs()];
  const look = () => {
    const [now, work] = [performance.now(), threadMs()];
    stallMs = Math.max(stallMs, now - at - LOOK_MS);
    workMs = Math.max(workMs, work - worked);
    [at, worked] = [now, work];
  };
  const timer = setInterval(look, LOOK_MS);
  return () => {
    clearInterval(timer);
    look();
    return { stallMs, workMs };
  };
}

function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
