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

/**
 * What starts clusters that stay for the files after it in its process (test/testbed/shared.ts), and what it
 * is worth not to start them once more, in seconds of a file as they are recorded, on a machine that has more
 * to do: two with kube's controllers, and one without.
 */
const CLUSTERS = {
  shared: { pattern: /\b(?:shared|own)Clusters\(/, seconds: 100 },
  bare: { pattern: /\bbareCluster\(/, seconds: 50 },
} as const;
export type Clusters = keyof typeof CLUSTERS;

/** Which clusters a file of tests takes: those that its source asks for. */
export function clustersOf(source: string): Clusters[] {
  return (Object.keys(CLUSTERS) as Clusters[]).filter((kind) => CLUSTERS[kind].pattern.test(source));
}

/** Seconds by file; files below one second need not be there. */
export type Durations = Readonly<Record<string, number>>;

/** The files of one process. */
export interface Shard {
  /** `integration 2 of 3` */
  readonly title: string;
  readonly suite: Suite;
  readonly files: readonly string[];
  /** How long it takes by itself, as far as is known. */
  readonly seconds: number;
}

export interface Schedule {
  /** These run beside each other, begun in this order: the longest first, those of integration before all. */
  readonly together: readonly Shard[];
  /** Then these, one after another. */
  readonly alone: readonly Shard[];
}

interface Dealing {
  readonly durations: Durations;
  readonly shards: Readonly<Record<Suite, number>>;
  /** The clusters that a file takes; default: none. */
  readonly clusters?: (file: string) => readonly Clusters[];
  /** Default `ALONE`. */
  readonly alone?: readonly string[];
}

/**
 * Deals the files out: each suite to as many processes as `shards` has for it at most, the longest file first
 * and always to the process that has the least to do with it: that it would have to start clusters, which
 * others run already, counts. Within a process files keep the order in which they were given.
 */
export function schedule(
  files: ReadonlyMap<Suite, readonly string[]>,
  { durations, shards, clusters = () => [], alone = ALONE }: Dealing,
): Schedule {
  const solitary = [...files].flatMap(([suite, its]) =>
    its
      .filter((file) => alone.includes(file))
      .map((file) => ({ title: file, suite, files: [file], seconds: durations[file] ?? 0 })),
  );
  const together = [...files].flatMap(([suite, its]) => {
    const dealt = deal(
      its.filter((file) => !alone.includes(file)),
      { secondsOf: (file) => durations[file] ?? UNKNOWN_SECONDS[suite], clustersOf: clusters },
      shards[suite],
    );
    return dealt.map((hand, index) => ({
      title: dealt.length === 1 ? suite : `${suite} ${index + 1} of ${dealt.length}`,
      suite,
      ...hand,
    }));
  });
  const isFirst = ({ suite }: Shard) => Number(suite === 'integration');
  together.sort((a, b) => isFirst(b) - isFirst(a) || b.seconds - a.seconds);
  return { together, alone: solitary };
}

interface Known {
  readonly secondsOf: (file: string) => number;
  readonly clustersOf: (file: string) => readonly Clusters[];
}

function deal(
  files: readonly string[],
  { secondsOf, clustersOf }: Known,
  shards: number,
): Pick<Shard, 'files' | 'seconds'>[] {
  const hands = Array.from({ length: Math.min(shards, files.length) }, () => ({
    seconds: 0,
    files: new Set<string>(),
    clusters: new Set<Clusters>(),
  }));
  for (const file of [...files].sort((a, b) => secondsOf(b) - secondsOf(a))) {
    const its = clustersOf(file);
    const loads = hands.map(({ seconds, clusters }) =>
      its.reduce((sum, kind) => sum + (clusters.has(kind) ? 0 : CLUSTERS[kind].seconds), seconds),
    );
    const hand = hands[loads.indexOf(Math.min(...loads))];
    if (hand === undefined) break;
    hand.files.add(file);
    hand.seconds += secondsOf(file);
    for (const kind of its) hand.clusters.add(kind);
  }
  const busy = hands.filter((hand) => hand.files.size > 0);
  return busy.map((hand) => ({
    files: files.filter((file) => hand.files.has(file)),
    seconds: hand.seconds,
  }));
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

/** How many processes each suite is dealt to, and how many of all run at the same time. */
export interface Processes {
  readonly shards: Readonly<Record<Suite, number>>;
  readonly atOnce: number;
}

/**
 * How many processes each suite gets when nobody says. Most tests wait, those of integration most of all and
 * longest: they have two processes more than there are cores, where there is memory for it, which all begin
 * at the start, for each boots clusters. Unit tests and those at the wire are dealt to more processes than
 * run at the same time: whatever place comes free takes the next one, so that all places are busy to the end.
 */
export function defaultShards(suites: readonly Suite[], { cores, bytes }: Machine): Processes {
  const most = Math.min(8, Math.max(2, cores));
  const fit = Math.max(1, Math.floor(bytes / INTEGRATION_BYTES));
  const integration = Math.min(most + 2, fit);
  return {
    shards: { unit: most, wire: 4 * most, integration },
    atOnce: most + Math.ceil(most / 2) + (suites.includes('integration') ? integration : 0),
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
