import type { V1EndpointSlice } from '@kubernetes/client-node';
import { endpointSlices } from '../../api/kubernetes/resource.ts';
import { countEndpoints, countLasting, SERVICE_NAME_LABEL } from '../../exports/endpoint-slices.ts';
import { storedSlice } from '../../exports/stored-shape.ts';
import type { WatchParts } from '../../kube/informer/watched-kind.ts';
import { WatchedNamespaces } from '../../kube/informer/watched-namespaces.ts';
import type { Sighting } from '../../policy/failover/facts-fold.ts';

const BY_SERVICE = 'service';

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
  readonly #slices: WatchedNamespaces<V1EndpointSlice>;

  constructor(parts: WatchParts, told: LocalBackendsListener) {
    this.#slices = new WatchedNamespaces(parts, {
      resource: endpointSlices,
      indexes: { [BY_SERVICE]: (slice) => [serviceOf(slice) ?? ''] },
      transform: storedSlice,
      name: 'weights: EndpointSlices',
      onChange: ({ object, previous }, namespace) => {
        const names = new Set([serviceOf(object), serviceOf(previous)]);
        for (const name of names) if (name !== undefined) told.onService(`${namespace}/${name}`);
      },
      onNamespace: (namespace, { synced }) => {
        if (synced) told.onNamespace(namespace);
      },
    });
  }

  /** What is seen of a Service; nothing before its namespace has been listed. */
  of(service: string): Sighting {
    const [namespace = '', name = ''] = service.split('/');
    const { store, synced } = this.#slices.watch(namespace);
    if (!synced) return {};
    const own = { metadata: { namespace, name } };
    const slices = store.byIndex(BY_SERVICE, name);
    return { path: 'alive', ...countEndpoints(own, slices), ready: countLasting(own, slices) };
  }

  /** Ends the watch of a namespace, if there is one: nobody asks for its Services any more. */
  end(namespace: string): void {
    this.#slices.end(namespace);
  }

  stop(): Promise<void> {
    return this.#slices.stop();
  }
}

function serviceOf(slice: V1EndpointSlice | undefined): string | undefined {
  return slice?.metadata?.labels?.[SERVICE_NAME_LABEL];
}
