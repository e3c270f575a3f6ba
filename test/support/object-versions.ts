import { systemClock } from '../../src/base/clock.ts';
import { keyOf, type KubeObject, type Resource } from '../../src/api/kubernetes/resource.ts';
import { Reflector } from '../../src/kube/informer/reflector.ts';
import { IndexedStore } from '../../src/kube/informer/store.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { clientOf } from './cluster-objects.ts';
import type { Cluster } from '../testbed/cluster.ts';

/** An object as it was once. */
export interface Version<T> {
  readonly object: T;
  /** Later ones have greater ones, those of other objects of the cluster among them. */
  readonly revision: number;
  /** When it was heard of, milliseconds since the epoch: never before it was written. */
  readonly heardAt: number;
}

/** All versions of the objects of a namespace, from now on, as a watch tells of them. */
export class ObjectVersions<T extends KubeObject> {
  readonly #reflector: Reflector<T>;
  readonly #found = new Map<string, Version<T>[]>();

  private constructor(cluster: Cluster, resource: Resource<T>, namespace: string) {
    const store = new IndexedStore<T>();
    store.subscribe('versions', ({ type, key, object }) => {
      if (type === 'deleted') return;
      const revision = Number(object.metadata?.resourceVersion ?? 0);
      const known = this.#found.get(key) ?? [];
      this.#found.set(key, [...known, { object, revision, heardAt: Date.now() }]);
    });
    this.#reflector = new Reflector({
      client: clientOf(cluster),
      resource,
      namespace,
      store,
      clock: systemClock,
      random: Math.random,
      log: createLogger({ name: 'test', level: 'silent' }),
    });
  }

  static async follow<T extends KubeObject>(
    cluster: Cluster,
    resource: Resource<T>,
    namespace: string,
  ): Promise<ObjectVersions<T>> {
    const versions = new ObjectVersions(cluster, resource, namespace);
    versions.#reflector.start();
    await versions.#reflector.whenSynced();
    return versions;
  }

  /** Of one object, the oldest first. */
  of(ref: { readonly namespace: string; readonly name: string }): readonly Version<T>[] {
    return this.#found.get(keyOf(ref)) ?? [];
  }

  stop(): Promise<unknown> {
    return this.#reflector.stop();
  }
}
