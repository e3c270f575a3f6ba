import type { V1EndpointSlice } from '@kubernetes/client-node';
import { endpointSlices } from '../../api/kubernetes/resource.ts';
import { countEndpoints, countLasting, SERVICE_NAME_LABEL } from '../../exports/endpoint-slices.ts';
import { storedSlice } from '../../exports/stored-shape.ts';
import { Reflector } from '../../kube/informer/reflector.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import type { WatchParts } from '../../kube/informer/watched-kind.ts';
import type { Sighting } from '../../policy/failover/facts-fold.ts';

const BY_SERVICE = 'service';

/** One namespace whose slices are watched. */
interface WatchedNamespace {
  readonly store: IndexedStore<V1EndpointSlice>;
  readonly reflector: Reflector<V1EndpointSlice>;
}

/** Who hears of endpoints. */
export interface LocalBackendsListener {
  /** The endpoints of a Service (`namespace/name`) may have changed. */
  onService(service: string): void;
  /** A namespace has been listed: Services without a slice are known to have no endpoints from now on. */
  onNamespace(namespace: string): void;
}

/**
 * The endpoints of Services of this cluster that are backends whose weights are managed: one watch for each
 * namespace that has any, begun when it is first asked for.
 */
export class LocalBackends {
  readonly #parts: WatchParts;
  readonly #told: LocalBackendsListener;
  readonly #namespaces = new Map<string, WatchedNamespace>();

  constructor(parts: WatchParts, told: LocalBackendsListener) {
    this.#parts = parts;
    this.#told = told;
  }

  /** What is seen of a Service; nothing before its namespace has been listed. */
  of(service: string): Sighting {
    const [namespace = '', name = ''] = service.split('/');
    const { store, reflector } = this.#namespaces.get(namespace) ?? this.#watch(namespace);
    if (!reflector.synced) return {};
    const own = { metadata: { namespace, name } };
    const slices = store.byIndex(BY_SERVICE, name);
    return { path: 'alive', ...countEndpoints(own, slices), ready: countLasting(own, slices) };
  }

  /** Ends the watch of a namespace, if there is one: nobody asks for its Services any more. */
  end(namespace: string): void {
    const watched = this.#namespaces.get(namespace);
    this.#namespaces.delete(namespace);
    void watched?.reflector.stop();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#namespaces.values()].map(({ reflector }) => reflector.stop()));
  }

  #watch(namespace: string): WatchedNamespace {
    const store = new IndexedStore<V1EndpointSlice>({
      [BY_SERVICE]: ({ metadata }) => [metadata?.labels?.[SERVICE_NAME_LABEL] ?? ''],
    });
    store.subscribe('weights: EndpointSlices', ({ object, previous }) => {
      const names = [object, previous].map((slice) => slice?.metadata?.labels?.[SERVICE_NAME_LABEL]);
      for (const name of new Set(names)) if (name !== undefined) this.#told.onService(`${namespace}/${name}`);
    });
    const reflector = new Reflector<V1EndpointSlice>({
      ...this.#parts,
      resource: endpointSlices,
      namespace,
      store,
      transform: storedSlice,
    });
    const watched = { store, reflector };
    this.#namespaces.set(namespace, watched);
    void reflector.whenSynced().then(
      () => this.#told.onNamespace(namespace),
      () => undefined,
    );
    reflector.start();
    return watched;
  }
}
