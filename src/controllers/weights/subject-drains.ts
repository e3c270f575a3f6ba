import type { V1Service } from '@kubernetes/client-node';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import { FAILOVER_DRAIN_GROUP } from '../../api/failover/failover-names.ts';
import { identityOf, services } from '../../api/kubernetes/resource.ts';
import { isMirrored } from '../../api/mirror/mirror-labels.ts';
import { serviceDrain } from '../../api/mirror/service-drain.ts';
import type { WatchParts } from '../../kube/informer/watched-kind.ts';
import { WatchedNamespaces } from '../../kube/informer/watched-namespaces.ts';
import { subjectsOf, type WeightedKind, type WeightedObject } from '../../policy/weights/weighted-object.ts';

/** The drains that are said of a cluster (`local`: of this one). */
export type DrainsOfCluster = (cluster: string) => readonly FailoverDrain[];

/**
 * The drains that Services say for themselves about which objects with weights are: one watch for each
 * namespace that has such objects, begun when it is first asked for. Those of a federated Service are about
 * its members, and not about backends.
 */
export class SubjectDrains {
  readonly #services: WatchedNamespaces<V1Service>;

  /**
   * @param onChange called when Services of a namespace may say something else, and when it has become known
   * what they say, or could not be read yet
   */
  constructor(parts: WatchParts, onChange: (namespace: string) => void) {
    this.#services = new WatchedNamespaces(parts, {
      resource: services,
      transform: drained,
      name: 'weights: drains',
      onChange: (_, namespace) => onChange(namespace),
      onNamespace: onChange,
    });
  }

  /**
   * What the Services say that an object is about; of several each counts, as there is one weight for all.
   * Undefined: it is not known yet, and the former weights are to stay.
   */
  of(kind: WeightedKind, object: WeightedObject, clusterDomain: string): DrainsOfCluster | undefined {
    const namespace = object.metadata?.namespace ?? '';
    const { store, settled } = this.#services.watch(namespace);
    if (!settled) return undefined;
    const said = subjectsOf(kind, object, clusterDomain).map((name) => store.get(`${namespace}/${name}`));
    return (cluster) =>
      said.flatMap((service) => serviceDrain(service?.metadata?.annotations, cluster) ?? []);
  }

  /** Ends the watch of a namespace, if there is one. */
  end(namespace: string): void {
    this.#services.end(namespace);
  }

  stop(): Promise<void> {
    return this.#services.stop();
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
