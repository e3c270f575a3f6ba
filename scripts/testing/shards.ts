/** Which file of tests runs in which process: pure. */
import type { Suite } from './arguments.ts';

/** What a file takes that nobody has measured, or that takes so little that it is not kept, seconds. */
const UNKNOWN_SECONDS = { unit: 0.2, wire: 1, integration: 10 } as const satisfies Record<Suite, number>;
/** What takes less is not kept. */
const KEPT_SECONDS = 1;

/**
 * Files that measure how fast something is, or how much memory it takes, so that no other test may run beside
 * them. They come last, one process after the other. Each costs its whole length: what counts CPU of its own
 * thread, or a ratio, need not be here.
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

interface Dealing {
  readonly durations: Durations;
  readonly shards: Readonly<Record<Suite, number>>;
  /** Default `ALONE`. */
  readonly alone?: readonly string[];
}

/**
 * Deals the files out: each suite to as many processes as `shards` has for it at most, the longest file first
 * and always to the process that has the least to do. Within a process files keep the order in which they
 * were given.
 */
export function schedule(
  files: ReadonlyMap<Suite, readonly string[]>,
  { durations, shards, alone = ALONE }: Dealing,
): Schedule {
  const solitary = [...files].flatMap(([suite, its]) =>
    its.filter((file) => alone.includes(file)).map((file) => ({ title: file, suite, files: [file] })),
  );
  const together = [...files].flatMap(([suite, its]) => {
    const dealt = deal(
      its.filter((file) => !alone.includes(file)),
      (file) => durations[file] ?? UNKNOWN_SECONDS[suite],
      shards[suite],
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

export interface Machine {
  readonly cores: number;
  /** Memory in all. */
  readonly bytes: number;
}

/** What an integration shard takes: two clusters, and one of a file's own. */
const INTEGRATION_BYTES = 3 * 2 ** 30;

/**
 * How many processes each suite gets when nobody says. Most tests wait, those of integration most of all and
 * longest, so that they have two more than there are cores, where there is memory for it; unit tests, which
 * wait least, get half of the cores while integration tests run, which take longer anyway.
 */
export function defaultShards(
  suites: readonly Suite[],
  { cores, bytes }: Machine,
): Readonly<Record<Suite, number>> {
  const most = Math.min(8, Math.max(2, cores));
  const fit = Math.max(1, Math.floor(bytes / INTEGRATION_BYTES));
  return {
    unit: suites.includes('integration') ? Math.ceil(most / 2) : most,
    wire: most,
    integration: Math.min(most + 2, fit),
  };
}

/**
 * The durations to keep after a run, in the order of their names: those of files that did not run stay, those
 * of files that are gone go.
 */
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
