import { codeOf, LinkspanError } from '../api/errors/linkspan-error.ts';
import type { ErrorCode } from '../api/errors/error-catalogue.ts';
import { type Clock, sleep } from '../base/clock.ts';
import type { ClusterFacts, ContextPicture } from './cluster-facts.ts';
import { errorWords } from './dashboard-answers.ts';
import { STALE_MS } from './snapshot.ts';

/** The ClusterRole of the chart that lets people see what is shown. */
const VIEW_ROLE = 'linkspan-view';
const FORBIDDEN: ReadonlySet<ErrorCode | undefined> = new Set(['STATS_FORBIDDEN', 'KUBE_FORBIDDEN']);
/** How much longer than a reading the rest behind it is: a cluster that takes long is asked less often. */
const REST = 2;

/** Who reads a cluster. */
export interface ClusterSource {
  readonly context: string;
  /** Of the installation. */
  readonly namespace: string;
  /** Ends by itself within a few seconds. @throws LinkspanError where nothing could be read */
  read(): Promise<ClusterFacts>;
  close(): Promise<void>;
}

/**
 * Reads one cluster again and again for as long as it is told to. What it has read last stays, whatever comes
 * of the next time.
 */
export class ContextPoller {
  readonly #source: ClusterSource;
  readonly #clock: Clock;
  readonly #everyMs: number;
  /** Told when there is something new. */
  readonly #changed: () => void;
  #picture: Omit<ContextPicture, 'context' | 'namespace'> = {
    state: 'loading',
    at: null,
    facts: undefined,
    error: null,
    role: null,
  };
  #running: AbortController | undefined;
  #round: Promise<void> = Promise.resolve();

  constructor(
    source: ClusterSource,
    options: { readonly clock: Clock; readonly everyMs: number; readonly changed: () => void },
  ) {
    this.#source = source;
    this.#clock = options.clock;
    this.#everyMs = options.everyMs;
    this.#changed = options.changed;
  }

  /** As it is now: what is old is said to be. */
  get picture(): ContextPicture {
    const { context, namespace } = this.#source;
    const { at, state } = this.#picture;
    const isFine = state === 'ok' || state === 'partial';
    const isOld = at !== null && this.#clock.now() - at > STALE_MS;
    return { context, namespace, ...this.#picture, state: isFine && isOld ? 'stale' : state };
  }

  start(): void {
    if (this.#running !== undefined) return;
    const running = new AbortController();
    this.#running = running;
    // What is under way from before ends first: one cluster is never read twice at a time.
    this.#round = this.#round.then(() => this.#run(running.signal));
  }

  /** Whoever looks next gets what was read last, with its age. */
  stop(): void {
    this.#running?.abort();
    this.#running = undefined;
  }

  async close(): Promise<void> {
    this.stop();
    await this.#source.close();
  }

  async #run(ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      const begun = this.#clock.monotonic();
      await this.#read();
      this.#changed();
      const took = this.#clock.monotonic() - begun;
      try {
        await sleep(this.#clock, Math.max(this.#everyMs - took, took * REST, 0), ended);
      } catch (error) {
        if (!ended.aborted) throw error;
      }
    }
  }

  /** Never throws: an error is what is shown. */
  async #read(): Promise<void> {
    try {
      const facts = await this.#source.read();
      const at = this.#clock.now();
      if (facts.reading.processes.length === 0) this.#picture = { ...ABSENT, at, facts, ...this.#absence() };
      else this.#picture = { state: stateOf(facts), at, facts, error: null, role: null };
    } catch (error) {
      const isForbidden = FORBIDDEN.has(codeOf(error));
      this.#picture = {
        ...this.#picture,
        state: isForbidden ? 'forbidden' : 'unreachable',
        error: errorWords(error),
        role: isForbidden ? VIEW_ROLE : null,
      };
    }
  }

  #absence(): Pick<ContextPicture, 'error'> {
    const { context, namespace } = this.#source;
    const message = `${context}: no controller, gateway or egress in namespace ${namespace}`;
    return { error: errorWords(new LinkspanError('NOT_INSTALLED', message)) };
  }
}

const ABSENT = { state: 'absent', role: null } as const;

function stateOf({ reading, unread }: ClusterFacts): 'ok' | 'partial' {
  const isSilent = reading.processes.some(({ silence }) => silence !== undefined);
  return isSilent || unread.length > 0 ? 'partial' : 'ok';
}
