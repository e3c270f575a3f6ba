import type { V1EndpointSlice } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import type { LinkObject } from '../../api/link/link-schema.ts';
import { factsOf } from '../../api/mirror/slice-facts.ts';
import { notifyAll } from '../../base/isolation.ts';
import { addTo, removeFrom } from '../../base/multimap.ts';
import { type LinksFailover, linksFailover } from '../../discovery/failover-links.ts';
import { BY_SERVICE, servicesOfChange } from '../../exports/slices-by-service.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import { withServiceDrain } from '../../policy/failover/federated-group.ts';
import type { WeighedBackend } from '../../policy/failover/weighed-group.ts';
import type { ApexBackend } from '../routes/route.ts';
import type { KnownBackends } from './rule-shares.ts';

/** What is published of backends; somebody else fills the stores. */
export interface PublishedBackendsOptions {
  /** Slices with facts, indexed by Service (`BY_SERVICE`). */
  readonly slices: IndexedStore<V1EndpointSlice>;
  readonly links: IndexedStore<LinkObject>;
}

const WHAT = 'listeners of backends of apexes';

/**
 * What is published of the backends of apexes: the facts of a mirror on its slices, and the drains of its
 * cluster on its Link and on the apex. The clusters of a federated Service have theirs, by which its own
 * requests are divided.
 */
export class PublishedBackends implements KnownBackends {
  readonly #options: PublishedBackendsOptions;
  /** By Service, and those who depend on Links. */
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #all = new Set<() => void>();
  #links: LinksFailover;

  constructor(options: PublishedBackendsOptions) {
    this.#options = options;
    const { slices, links } = options;
    this.#links = linksFailover(links.list());
    slices.subscribe('apexes: slices', (change) => {
      for (const service of servicesOfChange(change)) notifyAll(WHAT, this.#listeners.get(service) ?? []);
    });
    links.subscribe('apexes: Links', () => {
      const said = linksFailover(links.list());
      if (isDeepStrictEqual(said, this.#links)) return;
      this.#links = said;
      notifyAll(WHAT, this.#all);
    });
  }

  of(_: string, { service, to, drain }: ApexBackend): WeighedBackend {
    if (!('cluster' in to)) return drain === undefined ? {} : { drains: [drain] };
    const facts = factsOf(this.#options.slices.byIndex(BY_SERVICE, service));
    return { facts, drains: withServiceDrain(this.#links.get(to.cluster)?.drains, drain) };
  }

  watch(_: string, backends: readonly ApexBackend[], listener: () => void): () => void {
    const services = new Set(backends.map(({ service }) => service));
    for (const service of services) addTo(this.#listeners, service, listener);
    this.#all.add(listener);
    return () => {
      for (const service of services) removeFrom(this.#listeners, service, listener);
      this.#all.delete(listener);
    };
  }
}
