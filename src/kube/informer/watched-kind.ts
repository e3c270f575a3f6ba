import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { KubeClient } from '../client/kube-client.ts';
import { Reflector } from './reflector.ts';
import type { KubeObject, Resource } from '../../api/kubernetes/resource.ts';
import { IndexedStore } from './store.ts';
import type { Logger } from '../../telemetry/log.ts';

/** What a watch is made with. */
export interface WatchParts {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const BY_NAMESPACE = 'namespace';

/**
 * One kind of object that may or may not be installed, as CRDs are: watched while it is. What the store knows
 * is kept through failures and changes of version, until the kind is removed.
 */
export class WatchedKind<T extends KubeObject> {
  readonly store: IndexedStore<T>;
  readonly #parts: WatchParts;
  readonly #resource: Omit<Resource<T>, 'version'>;
  readonly #transform: ((object: T) => T | undefined) | undefined;
  readonly #keepManagedFields: boolean;
  readonly #onSynced: () => void;
  #reflector: Reflector<T> | undefined;
  /** How often in a row the API server did not serve it. */
  #missed = 0;

  constructor(
    parts: WatchParts,
    resource: Omit<Resource<T>, 'version'>,
    options: {
      onSynced: () => void;
      transform?: (object: T) => T | undefined;
      /** Default: `managedFields` are dropped. */
      keepManagedFields?: boolean;
      indexes?: Readonly<Record<string, (object: T) => string[]>>;
    },
  ) {
    this.#parts = parts;
    this.#resource = resource;
    this.#transform = options.transform;
    this.#keepManagedFields = options.keepManagedFields ?? false;
    this.#onSynced = options.onSynced;
    this.store = new IndexedStore<T>({
      ...options.indexes,
      [BY_NAMESPACE]: ({ metadata }) => [metadata?.namespace ?? ''],
    });
  }

  /** As it is watched, in the version that is served; undefined: it is not installed. */
  get resource(): Resource<T> | undefined {
    return this.#reflector?.resource;
  }

  get group(): string {
    return this.#resource.group;
  }

  get plural(): string {
    return this.#resource.plural;
  }

  /** Whether it is installed, as far as is known. */
  get watched(): boolean {
    return this.#reflector !== undefined;
  }

  /** Whether all objects are known, or it is not installed, so that there are none. */
  get synced(): boolean {
    return this.#reflector?.synced ?? true;
  }

  get error(): Error | undefined {
    return this.#reflector?.error;
  }

  /** The objects of one namespace. */
  in(namespace: string): readonly T[] {
    return this.store.byIndex(BY_NAMESPACE, namespace);
  }

  /**
   * The API server serves the kind in this version. What was known before stays until there is a complete
   * list.
   */
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
      keepManagedFields: this.#keepManagedFields,
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

  /** Ends the watch and forgets all objects. */
  async remove(): Promise<void> {
    await this.stop();
    this.#reflector = undefined;
    this.store.replace([]);
  }

  /** Ends the watch; what the store holds stays. */
  async stop(): Promise<void> {
    await this.#reflector?.stop();
  }
}
