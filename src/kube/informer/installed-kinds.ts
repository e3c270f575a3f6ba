import { messageOf } from '../../api/errors/linkspan-error.ts';
import { sleep } from '../../base/clock.ts';
import { servedKinds } from '../client/served-kinds.ts';
import { Patience } from './patience.ts';
import type { WatchedKind, WatchParts } from './watched-kind.ts';

/**
 * How often an API server is asked which kinds are installed, milliseconds, by default. A removal takes
 * effect when two answers in a row say so.
 */
const LOOK_MS = 20_000;

/**
 * How soon it is asked again about a group that was never answered for: until then a kind that is installed
 * is taken for one that is not.
 */
const UNANSWERED_RETRY_MS = 1000;

const NO_ANSWER = 'no answer yet';

/** The part of a `WatchedKind` that is used here, whatever its objects are. */
export type OptionalKind = Pick<
  WatchedKind<never>,
  'group' | 'plural' | 'installed' | 'missing' | 'stop' | 'synced' | 'error'
>;

export interface InstalledKindsOptions extends WatchParts {
  readonly kinds: readonly OptionalKind[];
  /** Default 20 s. */
  readonly lookMs?: number | undefined;
  /**
   * Called after each look.
   * @param problem why one of the groups could not be asked about; undefined: all were answered for
   */
  readonly onLook?: (problem: unknown) => void | Promise<void>;
}

/**
 * Watches kinds whose CRDs may be installed later, or removed: one question for each of their groups in each
 * interval while they are absent, and nothing else. What is known stays while the API server cannot say.
 */
export class InstalledKinds {
  readonly #options: InstalledKindsOptions;
  readonly #stop = new AbortController();
  #looking: Promise<void> = Promise.resolve();
  /** Groups that could not be asked about when it was tried last, which the log has been told, and why. */
  readonly #failing = new Map<string, unknown>();
  /** Groups that were answered for once. */
  readonly #answered = new Set<string>();

  #patience: Patience;

  constructor(options: InstalledKindsOptions) {
    this.#options = options;
    this.#patience = new Patience(options.clock);
  }

  /**
   * Whether it was said of each group once which of its kinds are installed: until then one that is may be
   * taken for one that is not.
   */
  get answered(): boolean {
    return this.#options.kinds.every(({ group }) => this.#answered.has(group));
  }

  /**
   * Whether all objects of these kinds are known, or it is known that they cannot be: kinds that are not
   * installed, that the account may not read or ask about, and after a while those of which nobody says
   * anything.
   */
  get settled(): boolean {
    return this.#options.kinds.every(({ group, synced, error }) => {
      const isAnswered = this.#answered.has(group) || this.#patience.livesWith(this.#failing.get(group));
      return isAnswered && (synced || this.#patience.livesWith(error));
    });
  }

  /**
   * What was never read, and why, one line for each kind that may be installed.
   */
  get unread(): string[] {
    return this.#options.kinds.flatMap(({ group, plural, synced, error }) => {
      const isAnswered = this.#answered.has(group);
      if (isAnswered && synced) return [];
      return [
        `${plural}.${group}: ${messageOf((isAnswered ? error : this.#failing.get(group)) ?? NO_ANSWER)}`,
      ];
    });
  }

  start(): void {
    this.#patience = new Patience(this.#options.clock);
    this.#looking = this.#look();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    await this.#looking;
    await Promise.all(this.#options.kinds.map((kind) => kind.stop()));
  }

  async #look(): Promise<void> {
    const { clock, kinds, lookMs = LOOK_MS, onLook } = this.#options;
    const { signal } = this.#stop;
    const groups = [...new Set(kinds.map(({ group }) => group))];
    while (!signal.aborted) {
      let problem: unknown;
      for (const group of groups) problem = (await this.#lookAt(group, signal)) ?? problem;
      if (signal.aborted) return;
      await onLook?.(problem);
      const isAnswered = groups.every((group) => this.#answered.has(group));
      const wait = isAnswered ? lookMs : Math.min(lookMs, UNANSWERED_RETRY_MS);
      await sleep(clock, wait, signal).catch(() => undefined);
    }
  }

  /** @returns why it could not be asked about; undefined: it was */
  async #lookAt(group: string, signal: AbortSignal): Promise<unknown> {
    const { client, kinds, log } = this.#options;
    try {
      const served = await servedKinds(client, group, signal);
      for (const kind of kinds) {
        if (kind.group !== group) continue;
        const version = served.get(kind.plural);
        if (version === undefined) await kind.missing();
        else await kind.installed(version);
      }
      this.#failing.delete(group);
      this.#answered.add(group);
      return undefined;
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!this.#failing.has(group))
        log.warn(
          { group, reason: messageOf(error) },
          'which kinds of an API group are installed is not known',
        );
      this.#failing.set(group, error);
      return error;
    }
  }
}
