import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { KubeClient } from '../client/kube-client.ts';
import { Reflector } from './reflector.ts';
import type { KubeObject, Resource } from '../../api/kubernetes/resource.ts';
import { IndexedStore } from './store.ts';
import type { Logger } from '../../telemetry/log.ts';

export interface WatchParts {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const BY_NAMESPACE = 'namespace';

/**
 * One kind of object that may or may not be installed: watched while it is. What is known is kept through
 * everything but its removal.
 */
export class WatchedKind<T extends KubeObject> {
  readonly store: IndexedStore<T>;
  readonly #parts: WatchParts;
  readonly #resource: Omit<Resource<T>, 'version'>;
  readonly #transform: ((object: T) => T | undefined) | undefined;
  readonly #onSynced: () => void;
  #reflector: Reflector<T> | undefined;
  /** Looks in a row that did not find it. */
  #missed = 0;

  constructor(
    parts: WatchParts,
    resource: Omit<Resource<T>, 'version'>,
    options: {
      onSynced: () => void;
      transform?: (object: T) => T | undefined;
      indexes?: Readonly<Record<string, (object: T) => string[]>>;
    },
  ) {
    this.#parts = parts;
    this.#resource = resource;
    this.#transform = options.transform;
    this.#onSynced = options.onSynced;
    this.store = new IndexedStore<T>({
      ...options.indexes,
      [BY_NAMESPACE]: ({ metadata }) => [metadata?.namespace ?? ''],
    });
  }

  get group(): string {
    return this.#resource.group;
  }

  get plural(): string {
    return this.#resource.plural;
  }

  get watched(): boolean {
    return this.#reflector !== undefined;
  }

  /** Whether all objects are known, or there cannot be any. */
  get synced(): boolean {
    return this.#reflector?.synced ?? true;
  }

  get error(): Error | undefined {
    return this.#reflector?.error;
  }

  in(namespace: string): readonly T[] {
    return this.store.byIndex(BY_NAMESPACE, namespace);
  }

  /** Watches the kind in this version; what was known before stays until there is a complete list. */
  async installed(version: string): Promise<void> {
    this.#missed = 0;
    if (this.#reflector?.resource.version === version) return;
    await this.#reflector?.stop();
    const { client, clock, random, log } = this.#parts;
    const reflector = new Reflector<T>({
      client,
      clock,
      random,
      log,
      resource: { ...this.#resource, version },
      store: this.store,
      ...(this.#transform === undefined ? {} : { transform: this.#transform }),
    });
    this.#reflector = reflector;
    reflector.subscribe(() => {
      if (reflector.synced) this.#onSynced();
    });
    reflector.start();
  }

  /**
   * The API server does not serve the kind. Believed when it is said twice in a row: an API server that has
   * just started may not serve everything yet.
   */
  async missing(): Promise<void> {
    this.#missed++;
    if (this.#reflector === undefined || this.#missed < 2) return;
    await this.remove();
  }

  /** Watches no longer and forgets. */
  async remove(): Promise<void> {
    await this.stop();
    this.#reflector = undefined;
    this.store.replace([]);
  }

  async stop(): Promise<void> {
    await this.#reflector?.stop();
  }
}
