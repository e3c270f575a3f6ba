import type { V1Service } from '@kubernetes/client-node';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import { FAILOVER_DRAIN_GROUP } from '../../api/failover/failover-names.ts';
import { identityOf, services } from '../../api/kubernetes/resource.ts';
import { isMirrored } from '../../api/mirror/mirror-labels.ts';
import { serviceDrain } from '../../api/mirror/service-drain.ts';
import { Patience } from '../../kube/informer/patience.ts';
import { Reflector } from '../../kube/informer/reflector.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import type { WatchParts } from '../../kube/informer/watched-kind.ts';
import { subjectsOf, type WeightedKind, type WeightedObject } from '../../policy/weights/weighted-object.ts';

/** One namespace whose Services are watched; only those that say a drain are kept. */
interface WatchedNamespace {
  readonly store: IndexedStore<V1Service>;
  readonly reflector: Reflector<V1Service>;
  readonly patience: Patience;
}

/** The drains that are said of a cluster (`local`: of this one). */
export type DrainsOfCluster = (cluster: string) => readonly FailoverDrain[];

/**
 * The drains that Services say for themselves about which objects with weights are: one watch for each
 * namespace that has such objects, begun when it is first asked for. Those of a federated Service are about
 * its members, and not about backends.
 */
export class SubjectDrains {
  readonly #parts: WatchParts;
  readonly #onChange: (namespace: string) => void;
  readonly #namespaces = new Map<string, WatchedNamespace>();

  /**
   * @param onChange called when Services of a namespace may say something else, and when it is known first
   */
  constructor(parts: WatchParts, onChange: (namespace: string) => void) {
    this.#parts = parts;
    this.#onChange = onChange;
  }

  /**
   * What the Services say that an object is about; of several each counts, as there is one weight for all.
   * Undefined: it is not known yet, and the former weights are to stay.
   */
  of(kind: WeightedKind, object: WeightedObject, clusterDomain: string): DrainsOfCluster | undefined {
    const namespace = object.metadata?.namespace ?? '';
    const { store, reflector, patience } = this.#namespaces.get(namespace) ?? this.#watch(namespace);
    if (!reflector.synced && !patience.livesWith(reflector.error)) return undefined;
    const said = subjectsOf(kind, object, clusterDomain).map((name) => store.get(`${namespace}/${name}`));
    return (cluster) =>
      said.flatMap((service) => serviceDrain(service?.metadata?.annotations, cluster) ?? []);
  }

  /** Ends the watch of a namespace, if there is one. */
  end(namespace: string): void {
    const watched = this.#namespaces.get(namespace);
    this.#namespaces.delete(namespace);
    void watched?.reflector.stop();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#namespaces.values()].map(({ reflector }) => reflector.stop()));
  }

  #watch(namespace: string): WatchedNamespace {
    const store = new IndexedStore<V1Service>();
    store.subscribe('weights: drains', () => this.#onChange(namespace));
    const reflector = new Reflector<V1Service>({
      ...this.#parts,
      resource: services,
      namespace,
      store,
      transform: drained,
    });
    const watched = { store, reflector, patience: new Patience(this.#parts.clock) };
    this.#namespaces.set(namespace, watched);
    reflector.subscribe(() => this.#onChange(namespace));
    reflector.start();
    return watched;
  }
}

/** Of a user's Service that says a drain, what says it. */
function drained(service: V1Service): V1Service | undefined {
  const own = Object.entries(service.metadata?.annotations ?? {}).filter(([key]) =>
    key.startsWith(`${FAILOVER_DRAIN_GROUP}/`),
  );
  if (own.length === 0 || isMirrored(service)) return undefined;
  return { metadata: { ...identityOf(service), annotations: Object.fromEntries(own) } };
}
