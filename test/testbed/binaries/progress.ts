/** A place for progress lines. */
export interface Progress {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

/** How far something is; `left` in seconds where it can be told. */
export interface HowFar {
  readonly text?: string;
  readonly leftSeconds?: number;
}

export interface RunningProgress {
  /** Ends the line: `done`, `failed`, or why it ended. */
  stop(how: string): void;
}

const EVERY_MS = 15_000;

/**
 * One line that counts the seconds on a terminal; a line every 15 s elsewhere. `howFar` is asked for each of
 * them.
 */
export function startProgress(
  out: Progress,
  what: string,
  howFar: () => HowFar = () => ({}),
): RunningProgress {
  const start = performance.now();
  const tty = out.isTTY === true;
  let width = 0;
  const put = (text: string) => {
    out.write(tty ? `\r${text.padEnd(width)}` : `${text}\n`);
    width = text.length;
  };
  put(tty ? `${what}: 0 s` : what);
  const timer = setInterval(
    () => put(`${what}: ${describe(howFar(), secondsSince(start))}`),
    tty ? 1000 : EVERY_MS,
  );
  return {
    stop(how) {
      clearInterval(timer);
      put(`${what}: ${how} in ${secondsSince(start)} s`);
      if (tty) out.write('\n');
    },
  };
}

function secondsSince(start: number): number {
  return Math.round((performance.now() - start) / 1000);
}

function describe({ text, leftSeconds }: HowFar, seconds: number): string {
  const left = leftSeconds === undefined ? undefined : `about ${duration(leftSeconds)} left`;
  return [`${seconds} s`, text, left].filter((part) => part !== undefined).join(', ');
}

/** Seconds below two minutes, minutes above, as a person would say it. */
export function duration(seconds: number): string {
  return seconds < 120 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;
}

/**
 * What is left, in seconds, of something that has come `done` of `total` far in `elapsedMs`; undefined while
 * that says nothing.
 */
export function timeLeft(done: number, total: number, elapsedMs: number): number | undefined {
  if (total <= 0 || done <= 0 || done / total < 0.02) return undefined;
  return (Math.max(0, total - done) / done) * (elapsedMs / 1000);
}
