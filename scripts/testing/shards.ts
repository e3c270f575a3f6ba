/** Which file of tests runs in which process: pure. */
import type { Suite } from './arguments.ts';

/** What a file takes that nobody has measured, or that takes so little that it is not kept, seconds. */
const UNKNOWN_SECONDS = { unit: 0.2, wire: 1, integration: 10 } as const satisfies Record<Suite, number>;
/** What takes less is not kept. */
const KEPT_SECONDS = 1;

/**
 * Files that measure how fast something is, or how much memory it takes, so that no other test may run beside them. They come last, one
 * process after the other. Each costs its whole length: what counts CPU of its own thread, or a ratio, need not be here.
 */
export const ALONE: readonly string[] = [];

/** Seconds by file; files below one second need not be there. */
export type Durations = Readonly<Record<string, number>>;

/** The files of one process. */
export interface Shard {
  /** `integration 2 of 3` */
  readonly title: string;
  readonly suite: Suite;
  readonly files: readonly string[];
}

export interface Schedule {
  /** These run at the same time. */
  readonly together: readonly Shard[];
  /** Then these, one after another. */
  readonly alone: readonly Shard[];
}

/**
 * Deals the files out: each suite to at most `shards` processes, the longest file first and always to the process that has the least
 * to do. Within a process files keep the order in which they were given.
 */
export function schedule(
  files: ReadonlyMap<Suite, readonly string[]>,
  { durations, shards, alone = ALONE }: { durations: Durations; shards: number; alone?: readonly string[] },
): Schedule {
  const solitary = [...files].flatMap(([suite, its]) =>
    its.filter((file) => alone.includes(file)).map((file) => ({ title: file, suite, files: [file] })),
  );
  const together = [...files].flatMap(([suite, its]) => {
    const dealt = deal(
      its.filter((file) => !alone.includes(file)),
      (file) => durations[file] ?? UNKNOWN_SECONDS[suite],
      shards,
    );
    return dealt.map((its, index) => ({
      title: dealt.length === 1 ? suite : `${suite} ${index + 1} of ${dealt.length}`,
      suite,
      files: its,
    }));
  });
  return { together, alone: solitary };
}

function deal(
  files: readonly string[],
  secondsOf: (file: string) => number,
  shards: number,
): (readonly string[])[] {
  const hands = Array.from({ length: Math.min(shards, files.length) }, () => ({
    seconds: 0,
    files: new Set<string>(),
  }));
  for (const file of [...files].sort((a, b) => secondsOf(b) - secondsOf(a))) {
    const hand = hands.reduce((least, one) => (one.seconds < least.seconds ? one : least));
    hand.files.add(file);
    hand.seconds += secondsOf(file);
  }
  return hands.map((hand) => files.filter((file) => hand.files.has(file)));
}

/** Without the files that take a second or more. */
export function fastOnly(files: readonly string[], durations: Durations): string[] {
  return files.filter((file) => durations[file] === undefined);
}

/** How many processes a suite gets: two at least, because most tests wait; an integration shard takes up to 3 GB (two clusters). */
export function defaultShards(machine: { readonly cores: number; readonly bytes: number }): number {
  return Math.max(1, Math.min(8, Math.max(2, machine.cores), Math.floor(machine.bytes / 3 / 2 ** 30)));
}

/** The durations to keep after a run, in the order of their names: those of files that did not run stay, those of files that are gone go. */
export function recorded(
  before: Durations,
  milliseconds: Readonly<Record<string, number>>,
  exists: (file: string) => boolean,
): Durations {
  const ran = Object.entries(milliseconds).map(([file, ms]) => [file, Math.round(ms / 100) / 10] as const);
  const all = Object.entries({ ...before, ...Object.fromEntries(ran) });
  return Object.fromEntries(
    all
      .filter(([file, seconds]) => seconds >= KEPT_SECONDS && exists(file))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}
