import type { V1Secret } from '@kubernetes/client-node';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { isForbidden, type KubeClient } from '../../kube/client/kube-client.ts';
import { keepFollowing } from '../../kube/informer/follow.ts';
import { keyOf, secrets } from '../../api/kubernetes/resource.ts';
import type { LinkObject } from '../../api/link/link-schema.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import type { Logger } from '../../telemetry/log.ts';

const BACKOFF = { minMs: 200, maxMs: 5000 };
/**
 * How long a 403 is not taken for an answer: the signer grants the right to read a new Link's Secret a moment
 * later.
 */
const REFUSED_MS = 10_000;

/** Where Secrets are watched, and where they are put. */
export interface CredentialsWatchOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Where the Secrets are put. */
  readonly store: IndexedStore<V1Secret>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /**
   * Called when it is known for the first time whether there is a Secret of that name that may be read; the
   * store tells of later changes.
   */
  readonly onKnown: (name: string) => void;
}

interface Watched {
  readonly stop: AbortController;
  readonly done: Promise<void>;
  known: boolean;
}

/**
 * The Secrets that Links name, each watched by its name, so that the account needs no right to any other
 * Secret. What was read stays until the API server says that it is gone; that it may no longer be read does
 * not mean that.
 */
export class CredentialsWatch {
  readonly #options: CredentialsWatchOptions;
  readonly #watched = new Map<string, Watched>();

  constructor(options: CredentialsWatchOptions) {
    this.#options = options;
  }

  /** Watches the Secrets of these names and no others. */
  want(names: ReadonlySet<string>): void {
    for (const [name, watched] of this.#watched) {
      if (names.has(name)) continue;
      this.#watched.delete(name);
      watched.stop.abort(new Error('no Link names it'));
      this.#options.store.delete(this.#key(name));
    }
    for (const name of names) if (!this.#watched.has(name)) this.#add(name);
  }

  /** Whether it is known if there is a Secret of that name. */
  knows(name: string): boolean {
    return this.#watched.get(name)?.known ?? false;
  }

  async stop(): Promise<void> {
    const all = [...this.#watched.values()];
    for (const { stop } of all) stop.abort(new Error('stopped'));
    await Promise.all(all.map(({ done }) => done));
  }

  #key(name: string): string {
    return keyOf({ namespace: this.#options.namespace, name });
  }

  #add(name: string): void {
    const stop = new AbortController();
    const watched: Watched = { stop, known: false, done: this.#follow(name, stop.signal) };
    this.#watched.set(name, watched);
  }

  #follow(name: string, signal: AbortSignal): Promise<void> {
    const { client, namespace, store, clock, random, log } = this.#options;
    const begun = clock.monotonic();
    return keepFollowing(
      { client, resource: secrets, ref: { namespace, name }, clock, random, backoff: BACKOFF, signal },
      {
        onSeen: (found) => {
          if (found === undefined) store.delete(this.#key(name));
          else store.set(found);
          this.#answered(name);
        },
        onFailure: (error) => {
          const refused = isForbidden(error);
          const late = clock.monotonic() - begun >= REFUSED_MS;
          if (!refused || late)
            log.warn({ err: error, secret: this.#key(name) }, 'watch failed, trying again');
          if (refused && late) this.#answered(name);
        },
      },
    );
  }

  #answered(name: string): void {
    const watched = this.#watched.get(name);
    if (watched === undefined || watched.known) return;
    watched.known = true;
    this.#options.onKnown(name);
  }
}

/** The name of the Secret that a Link names, if it names one. */
export function credentialsOf({ spec }: LinkObject): string | undefined {
  const name = spec?.clusterCredentialsSecret;
  return typeof name === 'string' && name !== '' ? name : undefined;
}
