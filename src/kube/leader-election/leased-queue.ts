import { untilAborted } from '../../base/clock.ts';
import { LeaderElector } from './leader-election.ts';
import { WorkQueue, type WorkQueueOptions } from '../queue/work-queue.ts';

/** What is done in one term. */
export interface QueueTerm {
  /** Looks at what a key names; one that throws is looked at again later. */
  look(key: string): Promise<void>;
  /** Begins to hear of what changes. */
  start(): void;
  /** Looks at everything again. */
  resync(): void;
  /** Hears of nothing any more. */
  stop(): Promise<void>;
}

type ElectorOptions = ConstructorParameters<typeof LeaderElector>[0];

/** Under which Lease a replica works, which all its writers of this kind have in common. */
export interface LeasedQueueParts
  extends Pick<ElectorOptions, 'client' | 'namespace' | 'clock' | 'random' | 'log'> {
  /** The name of this replica. */
  readonly replica: string;
  readonly lease: Pick<ElectorOptions, 'store' | 'durationMs'>;
}

/** What a `LeasedQueue` needs. */
export interface LeasedQueueOptions extends LeasedQueueParts {
  /** The Lease's. */
  readonly name: string;
  readonly onError: NonNullable<WorkQueueOptions['onError']>;
  /**
   * What this term does, by keys that it adds to the queue. May load the code for it, which a replica that
   * never works does not need.
   */
  readonly begin: (queue: WorkQueue, signal: AbortSignal) => Promise<QueueTerm>;
}

/** Works keys off while this replica holds a Lease; with each term everything begins anew. */
export class LeasedQueue {
  readonly #options: LeasedQueueOptions;
  readonly #elector: LeaderElector;
  #current: { readonly queue: WorkQueue; readonly term: QueueTerm } | undefined;

  constructor(options: LeasedQueueOptions) {
    this.#options = options;
    const { client, namespace, name, replica, clock, random, log, lease } = options;
    this.#elector = new LeaderElector({
      ...lease,
      client,
      namespace,
      name,
      identity: replica,
      clock,
      random,
      log,
      onTerm: (signal) => this.#term(signal),
    });
  }

  /** As `WorkQueue.oldestRunningMs`. */
  get oldestRunningMs(): number {
    return this.#current?.queue.oldestRunningMs ?? 0;
  }

  resync(): void {
    this.#current?.term.resync();
  }

  start(): void {
    this.#elector.start();
  }

  async stop(): Promise<void> {
    await this.#elector.stop();
  }

  async #term(signal: AbortSignal): Promise<void> {
    const { begin, clock, random, log, onError } = this.#options;
    const queue = new WorkQueue({
      handler: (key) => term.look(key),
      concurrency: 4,
      backoff: { minMs: 200, maxMs: 30_000 },
      clock,
      random,
      log,
      onError,
    });
    const term = await begin(queue, signal);
    this.#current = { queue, term };
    if (!signal.aborted) term.start();
    await untilAborted(signal);
    this.#current = undefined;
    await queue.stop();
    await term.stop();
  }
}
