import { messageOf } from '../../api/errors/linkspan-error.ts';
import { sleep } from '../../base/clock.ts';
import { servedKinds } from '../client/served-kinds.ts';
import type { WatchedKind, WatchParts } from './watched-kind.ts';

/**
 * How often an API server is asked which kinds are installed, milliseconds, by default. A removal takes
 * effect when two answers in a row say so.
 */
const LOOK_MS = 20_000;

/** `retryMs` of those who may not take a kind that nobody has been told of for one that is not installed. */
export const UNANSWERED_RETRY_MS = 1000;

/** The part of a `WatchedKind` that is used here, whatever its objects are. */
export type OptionalKind = Pick<WatchedKind<never>, 'group' | 'plural' | 'installed' | 'missing' | 'stop'>;

export interface InstalledKindsOptions extends WatchParts {
  readonly kinds: readonly OptionalKind[];
  /** Default 20 s. */
  readonly lookMs?: number | undefined;
  /**
   * How soon is asked again while a group has never been answered for, milliseconds; default: as long as
   * `lookMs`.
   */
  readonly retryMs?: number | undefined;
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
  /** Groups that could not be asked about, which the log has been told. */
  readonly #failing = new Set<string>();
  /** Groups that were answered for once. */
  readonly #answered = new Set<string>();

  constructor(options: InstalledKindsOptions) {
    this.#options = options;
  }

  /**
   * Whether it was said of each group once which of its kinds are installed: until then one that is may be
   * taken for one that is not.
   */
  get answered(): boolean {
    return this.#options.kinds.every(({ group }) => this.#answered.has(group));
  }

  start(): void {
    this.#looking = this.#look();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    await this.#looking;
    await Promise.all(this.#options.kinds.map((kind) => kind.stop()));
  }

  async #look(): Promise<void> {
    const { clock, kinds, lookMs = LOOK_MS, retryMs = lookMs, onLook } = this.#options;
    const { signal } = this.#stop;
    const groups = [...new Set(kinds.map(({ group }) => group))];
    while (!signal.aborted) {
      let problem: unknown;
      for (const group of groups) problem = (await this.#lookAt(group, signal)) ?? problem;
      if (signal.aborted) return;
      await onLook?.(problem);
      const wait = groups.every((group) => this.#answered.has(group)) ? lookMs : Math.min(lookMs, retryMs);
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
      this.#failing.add(group);
      return error;
    }
  }
}
