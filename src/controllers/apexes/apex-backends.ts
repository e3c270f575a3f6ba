import { LOCAL } from '../../api/names.ts';
import type { V1Service } from '@kubernetes/client-node';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import { isFederated } from '../../api/mirror/federated-members.ts';
import { clusterOf } from '../../api/mirror/mirror-labels.ts';
import { factsOf } from '../../api/mirror/slice-facts.ts';
import { leafKey, type RoutedSpec } from '../../discovery/target-spec.ts';
import { localFacts } from '../../policy/failover/local-facts.ts';
import { apexDrains, withServiceDrain } from '../../policy/failover/federated-group.ts';
import type { WeighedBackend } from '../../policy/failover/weighed-group.ts';
import type { RouteBackend, RoutingRule } from '../../policy/routing/routing.ts';
import type { LocalView } from '../reconcile/local-view.ts';

/** Where that is read. */
export interface ApexBackendsParts {
  /** What mirroring made. */
  readonly view: Pick<LocalView, 'service' | 'slices'>;
  /** The drains of a cluster, as Links say. */
  readonly drainsOf: (cluster: string) => readonly FailoverDrain[] | undefined;
}

/** What the controller knows of the backends of one user's Service. */
export class ApexBackends {
  readonly #parts: ApexBackendsParts;
  /** Its own drains, by cluster. */
  readonly #drainOf: (cluster: string) => FailoverDrain | undefined;

  constructor(apex: V1Service, parts: ApexBackendsParts) {
    this.#parts = parts;
    this.#drainOf = apexDrains(apex);
  }

  /**
   * What is published of a mirror, and what is seen of a Service of this cluster; the clusters of a federated
   * one have facts of their own.
   * @param leaves the Services of this cluster that the rules lead to
   */
  of(backend: RouteBackend, leaves: RoutedSpec['leaves']): WeighedBackend {
    const { view, drainsOf } = this.#parts;
    const { namespace, service: name } = backend;
    const cluster = this.#clusterOf(backend);
    if (cluster === undefined) return {};
    const own = this.#drainOf(cluster);
    if (cluster === LOCAL) {
      const leaf = leaves[leafKey(backend)];
      return { facts: leaf && localFacts(leaf.endpoints), drains: withServiceDrain(undefined, own) };
    }
    return {
      facts: factsOf(view.slices(namespace, name)),
      drains: withServiceDrain(drainsOf(cluster), own),
    };
  }

  /** The clusters to which backends of these rules lead, `local` for this one: those that can be drained. */
  clustersOf(rules: readonly Pick<RoutingRule, 'backends'>[]): Set<string> {
    const backends = rules.flatMap((rule) => rule.backends).filter(({ invalid }) => invalid === undefined);
    return new Set(backends.flatMap((backend) => this.#clusterOf(backend) ?? []));
  }

  /** Undefined: it leads to the clusters of a federated Service, which divides its part by itself. */
  #clusterOf({ namespace, service: name }: RouteBackend): string | undefined {
    const mirror = this.#parts.view.service(namespace, name);
    if (mirror === undefined) return LOCAL;
    return isFederated(mirror) ? undefined : clusterOf(mirror);
  }
}
