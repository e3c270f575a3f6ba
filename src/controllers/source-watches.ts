import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { Reflector } from '../kube/informer/reflector.ts';
import type { IndexedStore } from '../kube/informer/store.ts';
import type { KubeObject, Resource } from '../api/kubernetes/resource.ts';
import type { Health } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';

/** Which objects of one kind are watched, and what is kept of them; default: all, as they are. */
export interface WatchedObjects<T extends KubeObject> {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly keepManagedFields?: boolean;
  /** What is kept of an object; undefined: nothing. */
  readonly transform?: (object: T) => T | undefined;
}

/** The watches of the source cluster. */
export class SourceWatches {
  readonly #common: { client: KubeClient; clock: Clock; random: Random; log: Logger };
  readonly #reflectors: Reflector<KubeObject>[] = [];

  constructor(common: { client: KubeClient; clock: Clock; random: Random; log: Logger }) {
    this.#common = common;
  }

  /** Adds a watch that keeps a store filled, once `start` is called. */
  add<T extends KubeObject>(
    resource: Resource<T>,
    store: IndexedStore<T>,
    objects: WatchedObjects<T> = {},
  ): void {
    const reflector = new Reflector<T>({ ...this.#common, resource, store, ...objects });
    this.#reflectors.push(reflector as unknown as Reflector<KubeObject>);
  }

  start(): void {
    for (const reflector of this.#reflectors) reflector.start();
  }

  /** Resolves when everything has been listed; rejects when it is stopped before. */
  async whenSynced(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.whenSynced()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
  }

  /** Whether everything has been listed; the reason says what is waited for. */
  get ready(): Health {
    const waiting = this.#reflectors.find((reflector) => !reflector.synced);
    if (waiting === undefined) return { ok: true, reason: '' };
    const { plural, group } = waiting.resource;
    const what = group === '' ? plural : `${plural}.${group}`;
    return { ok: false, reason: `waiting for ${what} of the source cluster: ${waiting.state}` };
  }
}
