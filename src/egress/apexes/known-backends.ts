import type { V1EndpointSlice } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import type { LinkObject } from '../../api/link/link-schema.ts';
import { factsOf } from '../../api/mirror/slice-facts.ts';
import { keyOf } from '../../api/kubernetes/resource.ts';
import { backendOf } from '../../api/ports/target-key.ts';
import type { Clock } from '../../base/clock.ts';
import { notifyAll } from '../../base/isolation.ts';
import { addTo, removeFrom } from '../../base/multimap.ts';
import { DueServices } from '../../discovery/due-services.ts';
import { type LinksFailover, linksFailover } from '../../discovery/failover-links.ts';
import type { TargetSource } from '../../discovery/target-spec.ts';
import { BY_SERVICE, servicesOfChange } from '../../exports/slices-by-service.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import { withServiceDrain } from '../../policy/failover/federated-group.ts';
import { localFacts } from '../../policy/failover/local-facts.ts';
import type { WeighedBackend } from '../../policy/failover/weighed-group.ts';
import type { ApexBackend } from '../routes/route.ts';
import type { KnownBackends } from './rule-shares.ts';

/** What is published of backends; somebody else fills the stores. */
export interface PublishedBackendsOptions {
  /** Slices with facts, indexed by Service (`BY_SERVICE`). */
  readonly slices: IndexedStore<V1EndpointSlice>;
  readonly links: IndexedStore<LinkObject>;
  /** The pods of backends that are Services of this cluster; absent: nothing is known of them. */
  readonly local?: Pick<TargetSource, 'get' | 'subscribe'> | undefined;
  readonly clock: Clock;
}

const WHAT = 'listeners of backends of apexes';

/**
 * What is published of the backends of apexes: the facts of a mirror on its slices, and the drains of its
 * cluster on its Link and on the apex; and what is seen of pods of this cluster. The clusters of a federated
 * Service have theirs, by which its own requests are divided. When a cluster is lost all that lead there are
 * told, some in each turn of the event loop: requests must not wait for thousands of rules.
 */
export class PublishedBackends implements KnownBackends {
  readonly #options: PublishedBackendsOptions;
  /** The apexes that have a Service among their backends, as often as they watch it. */
  readonly #users = new Map<string, Set<Watcher>>();
  readonly #watchers = new Map<string, Set<Watcher>>();
  readonly #due: DueServices;
  #links: LinksFailover;

  constructor(options: PublishedBackendsOptions) {
    this.#options = options;
    const { slices, links, local, clock } = options;
    this.#due = new DueServices({
      clock,
      look: (apex) => {
        const listeners = [...(this.#watchers.get(apex) ?? [])].map(({ listener }) => listener);
        notifyAll(WHAT, listeners);
      },
    });
    this.#links = linksFailover(links.list());
    slices.subscribe('apexes: slices', (change) => {
      for (const service of servicesOfChange(change)) this.#changed(service);
    });
    local?.subscribe((key) => {
      const { name, namespace } = backendOf(key);
      this.#changed(keyOf({ name, namespace }));
    });
    links.subscribe('apexes: Links', () => {
      const said = linksFailover(links.list());
      if (isDeepStrictEqual(said, this.#links)) return;
      this.#links = said;
      for (const apex of this.#watchers.keys()) this.#due.add(apex);
    });
  }

  of(_: string, { service, to, drain }: ApexBackend): WeighedBackend {
    const { slices, local } = this.#options;
    if ('local' in to) {
      const pods = local?.get(to.local.name, to.local.port);
      return { facts: pods && localFacts(pods.endpoints), drains: withServiceDrain(undefined, drain) };
    }
    if (!('cluster' in to)) return drain === undefined ? {} : { drains: [drain] };
    const facts = factsOf(slices.byIndex(BY_SERVICE, service));
    return { facts, drains: withServiceDrain(this.#links.get(to.cluster)?.drains, drain) };
  }

  watch(apex: string, backends: readonly ApexBackend[], listener: () => void): () => void {
    const watcher: Watcher = { apex, listener };
    const services = new Set(backends.map(({ service }) => service));
    for (const service of services) addTo(this.#users, service, watcher);
    addTo(this.#watchers, apex, watcher);
    return () => {
      for (const service of services) removeFrom(this.#users, service, watcher);
      removeFrom(this.#watchers, apex, watcher);
    };
  }

  #changed(service: string): void {
    for (const { apex } of this.#users.get(service) ?? []) this.#due.add(apex);
  }
}

/** Somebody who divides the requests of an apex. */
interface Watcher {
  readonly apex: string;
  readonly listener: () => void;
}
