import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import type { FailoverFacts } from '../../api/failover/failover-facts.ts';
import type { LinkObject } from '../../api/link/link-schema.ts';
import { clusterOf } from '../../api/mirror/mirror-labels.ts';
import { carrierOf, factsOf } from '../../api/mirror/slice-facts.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { forEachIsolated, reportContained } from '../../base/isolation.ts';
import { type LinksFailover, linksFailover } from '../../discovery/failover-links.ts';
import { BY_SERVICE, servicesOfChange } from '../../exports/slices-by-service.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import { decide } from '../../policy/failover/decide.ts';
import {
  backendsOf,
  drainsOf,
  placementOf,
  type SaidByService,
  saidByService,
} from '../../policy/failover/federated-group.ts';
import type { Backend } from '../../policy/failover/backend.ts';
import type { Placement } from '../../policy/failover/placement.ts';
import { FirstSight } from './first-sight.ts';
import { type Division, divisionOf, isSameDivision } from './division.ts';

/** How the requests of groups are divided. */
export interface Shares {
  /** The division of a federated Service, `namespace/name`; undefined: nothing is known of the Service. */
  of(service: string): Division | undefined;
  /** Tells `listener` when it may have changed, until `unwatch`. */
  watch(service: string, listener: SharesListener): void;
  unwatch(service: string, listener: SharesListener): void;
}

/** Who divides requests; an object, as a function for each group would be one more. */
export interface SharesListener {
  /** They may be divided otherwise from now on. */
  sharesChanged(): void;
}

/** Nothing is said of any group: all of its clusters have the same part. */
export const EQUAL_SHARES: Shares = {
  of: () => undefined,
  watch: () => undefined,
  unwatch: () => undefined,
};

/** What divisions are made of; somebody else fills the stores. */
export interface GroupSharesOptions {
  /** Services that mirroring made, federated ones among them. */
  readonly mirrors: IndexedStore<V1Service>;
  /** Their slices, with facts; indexed by Service (`BY_SERVICE`). */
  readonly slices: IndexedStore<V1EndpointSlice>;
  readonly links: IndexedStore<LinkObject>;
  readonly clock: Clock;
  /**
   * For how long this pod's own connections to a cluster have been alive without a break, milliseconds;
   * undefined: they are not. Default: nobody knows.
   */
  readonly proven?: (cluster: string) => number | undefined;
  /** Whether our clock cannot be compared with others'; default: it can. */
  readonly skewed?: () => boolean;
}

/** One federated Service that somebody watches. */
interface Group {
  /** Mostly one, of the Service's route: a set would be most of what a group takes here. */
  listeners: readonly SharesListener[];
  /** What its Service says; undefined: that may have changed. */
  said: SaidByService | undefined;
  /** Of what it and the Links say; undefined: that may have changed. */
  placement: Placement | undefined;
  /** Of these, the slices and the Links' drains; undefined: something of that may have changed. */
  backends: readonly Backend[] | undefined;
  /**
   * Since when facts say of a member that its cluster is dead, by its name (monotonic milliseconds);
   * undefined: of none.
   */
  deadSince: Map<string, number> | undefined;
  readonly firstSight: FirstSight;
  division: Division | undefined;
  /** When the division changes by itself, milliseconds since the epoch; undefined: never. */
  nextChangeAt: number | undefined;
}

/** Shortest time between two looks at what has changed by time, milliseconds: many groups ramp at once. */
const MIN_WAIT_MS = 50;
/** Longest: the system's clock may be set. */
const MAX_WAIT_MS = 10_000;
/** Groups that are looked at in one turn of the event loop: requests must not wait for all. */
const PER_TURN = 250;
/** How often a word of this pod's own against the facts is looked at again, milliseconds. */
const OWN_WORD_MS = 1000;
const WHAT = 'shares of groups';

/**
 * The divisions of all groups that are watched, by `decide`: made anew when facts, a policy or a Link change,
 * all changes of one turn of the event loop together, and when time alone changes them. Only what the API
 * server has said before is needed, so that divisions go on changing while it cannot be reached.
 */
export class GroupShares implements Shares {
  readonly #options: GroupSharesOptions;
  readonly #groups = new Map<string, Group>();
  #links: LinksFailover;
  /** What slices say, by slice; null: nothing. */
  readonly #facts = new WeakMap<V1EndpointSlice, FailoverFacts | null>();
  /** Groups that are to be divided anew. */
  readonly #due = new Set<string>();
  #working = false;
  #timer: { readonly at: number; readonly timer: Timer } | undefined;

  constructor(options: GroupSharesOptions) {
    this.#options = options;
    const { mirrors, slices, links } = options;
    this.#links = linksFailover(links.list());
    mirrors.subscribe('shares: Services', ({ key }) => {
      const group = this.#groups.get(key);
      if (group === undefined) return;
      group.said = group.placement = group.backends = undefined;
      this.#changed(key);
    });
    slices.subscribe('shares: slices', (change) => {
      for (const service of servicesOfChange(change)) {
        const group = this.#groups.get(service);
        if (group === undefined) continue;
        group.backends = undefined;
        this.#changed(service);
      }
    });
    links.subscribe('shares: Links', () => this.#linksChanged());
  }

  of(service: string): Division | undefined {
    const group = this.#groups.get(service);
    return group === undefined ? this.#divided(service, newGroup()).division : group.division;
  }

  watch(service: string, listener: SharesListener): void {
    let group = this.#groups.get(service);
    if (group === undefined) {
      group = this.#divided(service, newGroup());
      this.#groups.set(service, group);
      this.#wakeFor(group);
    }
    group.listeners = group.listeners.concat(listener);
  }

  unwatch(service: string, listener: SharesListener): void {
    const group = this.#groups.get(service);
    if (group === undefined) return;
    group.listeners = group.listeners.filter((other) => other !== listener);
    if (group.listeners.length === 0) this.#groups.delete(service);
  }

  /** What is decided about each group that is watched, by `namespace/name`. */
  *entries(): Generator<readonly [service: string, division: Division]> {
    for (const [service, { division }] of this.#groups) if (division !== undefined) yield [service, division];
  }

  /** Divides all anew: whether our clock can be compared with others' has changed. */
  clockChanged(): void {
    for (const service of this.#groups.keys()) this.#changed(service);
  }

  /** Ends its timer. */
  close(): void {
    this.#timer?.timer.cancel();
    this.#timer = undefined;
    this.#groups.clear();
  }

  #linksChanged(): void {
    const said = linksFailover(this.#options.links.list());
    if (isDeepStrictEqual(said, this.#links)) return;
    const isPlaced = isDeepStrictEqual(defaultsOf(said), defaultsOf(this.#links));
    this.#links = said;
    for (const [service, group] of this.#groups) {
      const own = group.said;
      if (isPlaced && own !== undefined)
        group.backends = group.backends?.map((one) => withDrains(one, own, said));
      else group.placement = group.backends = undefined;
      this.#changed(service);
    }
  }

  /** A group is to be divided anew, in this turn of the event loop. */
  #changed(service: string): void {
    this.#due.add(service);
    if (this.#working) return;
    this.#working = true;
    queueMicrotask(() => this.#work());
  }

  /** Divides what is due, a part of it in each turn of the event loop. */
  #work(): void {
    let left = PER_TURN;
    for (const service of this.#due) {
      if (left-- === 0) break;
      this.#due.delete(service);
      const group = this.#groups.get(service);
      if (group !== undefined) this.#again(service, group);
    }
    this.#working = this.#due.size > 0;
    if (this.#working) this.#options.clock.after(0, () => this.#work(), { unref: true });
  }

  #again(service: string, group: Group): void {
    const before = group.division;
    const { division } = this.#divided(service, group);
    this.#wakeFor(group);
    if (division === before || division === undefined) return;
    if (before === undefined || !isSameDivision(before, division))
      forEachIsolated(WHAT, group.listeners, (listener) => listener.sharesChanged());
  }

  #divided(service: string, group: Group): Group {
    const { mirrors, clock } = this.#options;
    const object = mirrors.get(service);
    group.nextChangeAt = undefined;
    // As a deleted Service comes back within seconds, the last division stays.
    if (object === undefined) return group;
    try {
      const said = (group.said ??= saidByService(object));
      group.backends ??= this.#backends(service, group, said);
      const seen = group.backends.map((one) => this.#ownWord(group, one));
      const timed = seen.map((one) => this.#comparable(group, one));
      const decision = decide(timed, said.policy, clock.now());
      group.division = divisionOf(decision);
      const isOwn = seen.some((one, at) => one !== group.backends?.[at]);
      const again = isOwn ? clock.now() + OWN_WORD_MS : Infinity;
      const next = Math.min(decision.nextChangeAt ?? Infinity, again);
      group.nextChangeAt = next === Infinity ? undefined : next;
    } catch (error) {
      // The last division stays, until something changes.
      reportContained(error, WHAT, { service });
    }
    return group;
  }

  #backends(service: string, group: Group, said: SaidByService): Backend[] {
    const placement = (group.placement ??= placementOf(said, this.#links));
    const own = this.#options.slices.byIndex(BY_SERVICE, service);
    return backendsOf(placement, said, (label) => this.#factsOf(own, label), this.#links);
  }

  /**
   * A cluster that is said to be dead, and that this pod's own connections have reached all the while: probes
   * go another way than data, and for this pod it has not been away. Connections that were opened since then
   * prove nothing: that is a return, which has its hold.
   */
  #ownWord(group: Group, backend: Backend): Backend {
    const { clock, proven } = this.#options;
    const { name, facts } = backend;
    if (facts?.path !== 'dead') {
      group.deadSince?.delete(name);
      return backend;
    }
    const now = clock.monotonic();
    const deadSince = (group.deadSince ??= new Map());
    const since = deadSince.get(name) ?? now;
    deadSince.set(name, since);
    const ms = proven?.(name);
    if (ms === undefined || ms <= now - since) return backend;
    return {
      ...backend,
      facts: { ...facts, path: 'alive', usableSince: 0, flaps: Math.max(0, facts.flaps - 1) },
    };
  }

  #comparable({ firstSight }: Group, backend: Backend): Backend {
    const { clock, skewed } = this.#options;
    const { name, facts } = backend;
    if (facts === undefined) return backend;
    const comparable = firstSight.comparable(name, facts, clock.now(), skewed?.() === true);
    return comparable === facts ? backend : { ...backend, facts: comparable };
  }

  /** A member's facts; a slice is read once for each version. */
  #factsOf(slices: readonly V1EndpointSlice[], label: string): FailoverFacts | undefined {
    const carrier = carrierOf(slices.filter((slice) => clusterOf(slice) === label));
    if (carrier === undefined) return undefined;
    let facts = this.#facts.get(carrier);
    if (facts === undefined) this.#facts.set(carrier, (facts = factsOf([carrier]) ?? null));
    return facts ?? undefined;
  }

  /** Makes sure that the timer fires early enough for a group. */
  #wakeFor({ nextChangeAt }: Group): void {
    if (nextChangeAt === undefined || (this.#timer !== undefined && this.#timer.at <= nextChangeAt)) return;
    this.#timer?.timer.cancel();
    const { clock } = this.#options;
    const wait = Math.min(MAX_WAIT_MS, Math.max(MIN_WAIT_MS, nextChangeAt - clock.now()));
    const timer = clock.after(wait, () => this.#wake(), { unref: true });
    this.#timer = { at: clock.now() + wait, timer };
  }

  /** Looks for groups that time has changed. */
  #wake(): void {
    this.#timer = undefined;
    const now = this.#options.clock.now();
    let next: Group | undefined;
    for (const [service, group] of this.#groups) {
      const { nextChangeAt } = group;
      if (nextChangeAt === undefined) continue;
      if (nextChangeAt <= now) this.#due.add(service);
      else if (next?.nextChangeAt === undefined || nextChangeAt < next.nextChangeAt) next = group;
    }
    if (next !== undefined) this.#wakeFor(next);
    if (this.#working || this.#due.size === 0) return;
    this.#working = true;
    this.#work();
  }
}

function withDrains(backend: Backend, said: SaidByService, links: LinksFailover): Backend {
  return { ...backend, drains: drainsOf(backend.name, said, links) };
}

function defaultsOf(links: LinksFailover): Map<string, object> {
  return new Map([...links].map(([cluster, { defaults }]) => [cluster, defaults]));
}

function newGroup(): Group {
  return {
    listeners: [],
    said: undefined,
    placement: undefined,
    backends: undefined,
    deadSince: undefined,
    firstSight: new FirstSight(),
    division: undefined,
    nextChangeAt: undefined,
  };
}
