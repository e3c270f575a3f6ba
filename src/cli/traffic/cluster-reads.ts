import { describeError, LinkspanError } from '../../api/errors/linkspan-error.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { type ClusterReading, withNames } from '../../traffic/cluster-reading.ts';
import { within } from '../flags/cluster-flags.ts';
import type { Read, TrafficReader } from './traffic-reader.ts';

/** How long a live view waits for the others once one cluster has answered, milliseconds. */
const PATIENCE_MS = 2000;

/** A cluster that is being asked. */
export interface OpenCluster {
  readonly name: string;
  readonly client: Pick<KubeClient, 'close' | 'server'>;
  readonly reader: Pick<TrafficReader, 'read'>;
}

/** What was read of all of them. */
export interface ReadClusters {
  /** `OpenCluster.name` of each reading. */
  readonly names: readonly string[];
  readonly readings: readonly ClusterReading[];
  /** What could not be read, and why, one line each. */
  readonly unread: readonly string[];
  readonly isPartial: boolean;
}

type Result = { readonly read: Read } | { readonly error: unknown };

interface Asking {
  /** What has come of it; undefined: nothing yet. */
  result: Result | undefined;
  /** When something has. */
  done: Promise<void>;
}

/**
 * Asks several clusters at once, again and again for whoever keeps looking. One that does not answer is
 * named, and the others are shown. In live views it does not hold up the others either: what it says late is
 * shown with the next reading.
 */
export class ClusterReads {
  readonly #clusters: readonly OpenCluster[];
  readonly #options: { readonly clock: Clock; readonly timeoutMs: number; readonly live: boolean };
  readonly #asking = new Map<OpenCluster, Asking>();
  #onAnswer: () => void = () => undefined;

  constructor(
    clusters: readonly OpenCluster[],
    options: { readonly clock: Clock; readonly timeoutMs: number; readonly live: boolean },
  ) {
    this.#clusters = clusters;
    this.#options = options;
  }

  /** @throws LinkspanError of one where none answers */
  async next(): Promise<ReadClusters> {
    const { error, ...read } = await this.look();
    if (read.readings.length === 0) throw error;
    return read;
  }

  /** The same for who shows what is unread anyway. @returns with `error`, that of the first without answer */
  async look(): Promise<ReadClusters & { readonly error: unknown }> {
    const all = this.#clusters.map((cluster) => [cluster, this.#ask(cluster)] as const);
    await this.#wait(all.map(([, asking]) => asking));
    const results = all.map(([cluster, asking]) => {
      if (asking.result !== undefined) this.#asking.delete(cluster);
      return [cluster, asking.result ?? { error: slow(cluster) }] as const;
    });
    const known = results.flatMap(([{ name }, result]) => ('read' in result ? [{ name, ...result }] : []));
    const reads = known.map(({ read }) => read);
    const failed = results.flatMap(([{ name }, result]) => ('error' in result ? [{ name, ...result }] : []));
    const lost = failed.map(({ name, error }) => `no answer from ${name}: ${describeError(error)}`);
    return {
      names: known.map(({ name }) => name),
      error: failed[0]?.error,
      readings: withNames(reads.map(({ reading }) => reading)),
      unread: [...lost, ...reads.flatMap(({ unread }) => unread)],
      isPartial:
        lost.length > 0 ||
        reads.some(({ reading }) => reading.processes.some(({ silence }) => silence !== undefined)),
    };
  }

  #ask(cluster: OpenCluster): Asking {
    const known = this.#asking.get(cluster);
    if (known !== undefined) return known;
    const asking: Asking = { result: undefined, done: Promise.resolve() };
    this.#asking.set(cluster, asking);
    asking.done = this.#settle(cluster, asking);
    return asking;
  }

  async #settle(cluster: OpenCluster, asking: Asking): Promise<void> {
    asking.result = await this.#read(cluster);
    if ('read' in asking.result) this.#onAnswer();
  }

  async #read({ client, reader }: OpenCluster): Promise<Result> {
    try {
      return { read: await within(this.#options.timeoutMs, client.server, reader.read()) };
    } catch (error) {
      return { error };
    }
  }

  /** For all of them; in live views no longer than `PATIENCE_MS` after the first that has answered. */
  async #wait(all: readonly Asking[]): Promise<void> {
    const { clock, live } = this.#options;
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    let timer: Timer | undefined;
    this.#onAnswer = () => {
      if (live) timer ??= clock.after(PATIENCE_MS, resolve);
    };
    if (all.some(({ result }) => result !== undefined && 'read' in result)) this.#onAnswer();
    await Promise.race([Promise.all(all.map(({ done }) => done)), enough]);
    timer?.cancel();
  }
}

function slow({ client }: OpenCluster): LinkspanError {
  return new LinkspanError('KUBE_TIMEOUT', `no answer from ${client.server} yet`);
}
