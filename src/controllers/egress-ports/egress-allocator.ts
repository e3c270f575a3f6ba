import type { V1ConfigMap } from '@kubernetes/client-node';
import { notifyAll } from '../../base/isolation.ts';
import { sleep, type Timer } from '../../base/clock.ts';
import { DEFAULT_EGRESS_RANGE, type EgressPorts, type PortRange } from '../../api/egress/egress-ports.ts';
import {
  ANY_MEMBER,
  APEX_MEMBER,
  type ApexClaim,
  type EgressClaim,
  FREED_HOLD_MS,
  type GroupClaim,
  holderOf,
  isApexClaim,
  isClaim,
  isFreed,
  isGroupClaim,
  type RecordEntry,
} from '../../api/egress/egress-record.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import { chooseEgressPorts } from './port-choice.ts';
import { EgressShards, type EgressShardsOptions } from './egress-shards.ts';
import { type ClaimScope, scopeOf } from './egress-table.ts';

/** How long `abandon` waits for writes that are under way. */
const ABANDON_MS = 2000;
/**
 * How long after the start ports of groups without members are given back, milliseconds: long enough for
 * claims that another replica was writing at that moment.
 */
const LEFT_BEHIND_MS = 60_000;

/** Who asks for egress ports, for which service ports, and where what arrives on them is to go. */
export interface EgressWish extends Omit<EgressClaim, 'port'> {
  readonly servicePorts: readonly number[];
}

/**
 * `unrecorded`: ports have been chosen and are being written into the record; `exhausted`: none is free, or
 * the claim is too long for an entry.
 */
export type Allocation = EgressPorts | 'unrecorded' | 'exhausted';

/** Called with an export whose claims in the record have changed, so that it has to be looked at again. */
export type ClaimListener = (scope: ClaimScope) => void;

/** The record's store, and the ports that may be given; default `DEFAULT_EGRESS_RANGE`. */
export interface EgressAllocatorOptions extends Omit<EgressShardsOptions, 'onChange'> {
  readonly store: IndexedStore<V1ConfigMap>;
  readonly range?: PortRange;
}

/**
 * Which mirror holds which egress port, over all Links. The record in the installation's namespace says so
 * (ADR 0024), never an annotation of a Service: the first claim that is written has the port. A port counts
 * for a mirror only when it is recorded, because until then another replica may get it.
 */
export class EgressAllocator {
  readonly #shards: EgressShards;
  readonly #options: EgressAllocatorOptions;
  readonly #listeners = new Map<string, Set<ClaimListener>>();
  readonly #leftBehind: Timer;
  readonly #groupListeners = new Set<(mirror: string) => void>();
  readonly #apexListeners = new Set<(apex: string) => void>();

  constructor(options: EgressAllocatorOptions) {
    this.#options = options;
    this.#shards = new EgressShards({
      ...options,
      onChange: (_port, entries) => this.#changed(entries),
    });
    this.#leftBehind = options.clock.after(LEFT_BEHIND_MS, () => this.#freeLeftBehind(), { unref: true });
  }

  /**
   * Makes the record where there is none, with the claims of an installation that is older than the record.
   */
  establish(seed: () => ReadonlyMap<number, EgressClaim>): void {
    if (this.#shards.established) return;
    for (const [port, claim] of seed())
      if (this.#shards.get(port) === undefined) this.#shards.put(port, claim);
    this.#shards.establish();
  }

  /** Requests for writes of the record so far. */
  get writes(): number {
    return this.#shards.writes;
  }

  /**
   * Claims ports for a wish; those that its holder has stay. They may be used only where ports are returned.
   */
  allocate({ servicePorts, ...wish }: EgressWish): Allocation {
    const ports = this.#choose({ servicePorts, ...wish });
    if (ports === undefined) return 'exhausted';
    for (const [text, port] of Object.entries(ports))
      if (!this.#shards.put(port, { ...wish, port: Number(text) })) return 'exhausted';
    return this.#isRecorded(ports, holderOf(wish)) ? ports : 'unrecorded';
  }

  /**
   * Claims ports for a federated Service that lead to all of its members. Each member must have ports of its
   * own besides; those of the group are freed with the last of these.
   * @param mirror `namespace/name`
   */
  allocateGroup(mirror: string, servicePorts: readonly number[]): Allocation {
    return this.#allocateOpen({ mirror, member: ANY_MEMBER }, servicePorts);
  }

  /**
   * Claims ports for a user's Service, and gives back those of its ports that are not among these.
   * @param apex `namespace/name`
   * @param servicePorts none: all are given back
   */
  allocateApex(apex: string, servicePorts: readonly number[]): Allocation {
    const freed = this.#options.clock.now();
    for (const port of this.#shards.ofHolder(holderOf({ mirror: apex, member: APEX_MEMBER }))) {
      const entry = this.#shards.get(port);
      if (entry !== undefined && isApexClaim(entry) && !servicePorts.includes(entry.port))
        this.#release(port, entry, freed);
    }
    return this.#allocateOpen({ mirror: apex, member: APEX_MEMBER }, servicePorts);
  }

  /** Users' Services (`namespace/name`) that hold ports, or are about to. */
  apexes(): Set<string> {
    return new Set(
      this.#ofApexes()
        .filter(isApexClaim)
        .map(({ mirror }) => mirror),
    );
  }

  /** Whether one of them holds ports, or is about to. */
  isApex(apex: string): boolean {
    const ports = this.#shards.ofHolder(holderOf({ mirror: apex, member: APEX_MEMBER }));
    return ports.some((port) => {
      const entry = this.#shards.get(port);
      return entry !== undefined && isApexClaim(entry);
    });
  }

  /**
   * What keeps ports from everybody else because of users' Services: they hold them, are about to, or have
   * given them back within `FREED_HOLD_MS`.
   */
  keptByApexes(): RecordEntry[] {
    const now = this.#options.clock.now();
    return this.#ofApexes().filter(
      (entry) => !isFreed(entry) || Math.abs(now - entry.freed) <= FREED_HOLD_MS,
    );
  }

  #ofApexes(): RecordEntry[] {
    const { recorded, pending } = this.#shards;
    return [...new Set([...recorded.ofApexes(), ...pending.ofApexes()])]
      .map((port) => this.#shards.get(port))
      .filter((entry) => entry !== undefined)
      .filter(({ member }) => member === APEX_MEMBER);
  }

  /** Claims ports whose entries name a holder and no cluster. */
  #allocateOpen(
    holder: Pick<GroupClaim, 'mirror' | 'member'> | Pick<ApexClaim, 'mirror' | 'member'>,
    servicePorts: readonly number[],
  ): Allocation {
    const ports = this.#choose({ ...holder, servicePorts });
    if (ports === undefined) return 'exhausted';
    for (const [text, port] of Object.entries(ports))
      if (!this.#shards.put(port, { ...holder, port: Number(text) })) return 'exhausted';
    return this.#isRecorded(ports, holderOf(holder)) ? ports : 'unrecorded';
  }

  /**
   * The ports of a group by service port, for a member that needs none of its own; undefined: not all service
   * ports have one that stands in the record, and is not being given back.
   */
  groupPorts(mirror: string, servicePorts: readonly number[]): EgressPorts | undefined {
    const holder = holderOf({ mirror, member: ANY_MEMBER });
    const held = this.#portsOf(holder);
    const ports: Record<number, number> = {};
    for (const servicePort of servicePorts) {
      const port = held[servicePort];
      const entry = port === undefined ? undefined : this.#shards.get(port);
      if (port === undefined || entry === undefined || isFreed(entry)) return undefined;
      ports[servicePort] = port;
    }
    return this.#isRecorded(ports, holder) ? ports : undefined;
  }

  /**
   * Calls `listener` with the federated Service (`namespace/name`) whose group's ports have changed in the
   * record. @returns what ends that
   */
  followGroups(listener: (mirror: string) => void): () => void {
    this.#groupListeners.add(listener);
    return () => this.#groupListeners.delete(listener);
  }

  /** The same for users' Services. */
  followApexes(listener: (apex: string) => void): () => void {
    this.#apexListeners.add(listener);
    return () => this.#apexListeners.delete(listener);
  }

  #choose({
    servicePorts,
    ...wish
  }: Pick<EgressWish, 'mirror' | 'member' | 'servicePorts'>): EgressPorts | undefined {
    const holder = holderOf(wish);
    return chooseEgressPorts(
      holder,
      servicePorts,
      this.#portsOf(holder),
      (port) => this.#takenFor(port, holder),
      this.#options.range ?? DEFAULT_EGRESS_RANGE,
    );
  }

  #isRecorded(ports: EgressPorts, holder: string): boolean {
    return Object.values(ports).every((port) => {
      const entry = this.#shards.recorded.get(port);
      return entry !== undefined && !isFreed(entry) && holderOf(entry) === holder;
    });
  }

  /**
   * Gives back the ports that are held for an export and not wanted any more.
   * @param wanted the service ports of each holder that still need an egress port
   */
  settle(scope: ClaimScope, wanted: ReadonlyMap<string, readonly number[]>): void {
    const { recorded, pending } = this.#shards;
    const freed = this.#options.clock.now();
    for (const port of new Set([...recorded.ofScope(scope), ...pending.ofScope(scope)])) {
      const entry = this.#shards.get(port);
      if (entry === undefined || !isClaim(entry)) continue;
      const holder = holderOf(entry);
      const isWanted = wanted.get(holder)?.includes(entry.port) === true;
      // Where a service port has two egress ports (somebody has edited the record), the one that is not in
      // use is given back.
      if (isWanted && this.#portsOf(holder)[entry.port] === port) continue;
      this.#free(port, entry, freed);
    }
  }

  /** Gives back everything that was claimed by a Link (`namespace/name`) for one cluster. */
  releaseLink(link: string, cluster: string): void {
    const freed = this.#options.clock.now();
    for (const table of [this.#shards.pending, this.#shards.recorded]) {
      for (const port of table.ports()) {
        const entry = this.#shards.get(port);
        if (entry !== undefined && isClaim(entry) && entry.link === link && entry.cluster === cluster)
          this.#free(port, entry, freed);
      }
    }
  }

  /** The exports for which a Link (`namespace/name`) holds claims. */
  scopes(link: string): ClaimScope[] {
    return this.#shards.recorded
      .claims()
      .filter((claim) => claim.link === link)
      .map(scopeOf);
  }

  /** The Links (`namespace/name`) that hold claims, with the clusters for which they do. */
  links(): Map<string, Set<string>> {
    const found = new Map<string, Set<string>>();
    for (const { link, cluster } of this.#shards.recorded.claims())
      found.set(link, (found.get(link) ?? new Set()).add(cluster));
    return found;
  }

  /** Calls `listener` when claims for a Link's exports have changed. @returns what ends that */
  follow(link: string, listener: ClaimListener): () => void {
    const listeners = this.#listeners.get(link) ?? new Set();
    this.#listeners.set(link, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(link) === listeners) this.#listeners.delete(link);
    };
  }

  /**
   * A Link is no longer this replica's: nothing more is written for it. Resolves when writes that are under
   * way have ended, or after 2 s. A write that arrives later is bound to the version that it was decided on,
   * so that it takes nothing from the replica that holds the Link now.
   */
  async abandon(link: string): Promise<void> {
    const { pending, recorded } = this.#shards;
    for (const port of pending.ports()) {
      const entry = pending.get(port);
      const claim = entry !== undefined && isFreed(entry) ? recorded.get(port) : entry;
      if (claim !== undefined && isClaim(claim) && claim.link === link) this.#shards.forget(port);
    }
    const ended = new AbortController();
    const late = sleep(this.#options.clock, ABANDON_MS, ended.signal).catch(() => undefined);
    await Promise.race([this.#shards.idle(), late]);
    ended.abort();
  }

  stop(): Promise<void> {
    this.#leftBehind.cancel();
    return this.#shards.stop();
  }

  #free(port: number, entry: EgressClaim, freed: number): void {
    this.#release(port, entry, freed);
    this.#freeGroup(entry, freed);
  }

  #release(port: number, entry: EgressClaim | GroupClaim | ApexClaim, freed: number): void {
    // A port that never stood in the record was never used: others may have it at once.
    if (this.#shards.recorded.get(port) === undefined) return this.#shards.forget(port);
    const { mirror, member, port: servicePort } = entry;
    this.#shards.put(port, { mirror, ...(member === undefined ? {} : { member }), port: servicePort, freed });
  }

  /**
   * Frees the port of a group when none of its members has one for the same service port any more.
   * @param entry what a member had, or has given back
   */
  #freeGroup({ mirror, member, port: servicePort }: RecordEntry, freed: number): void {
    if (member === undefined || this.#membersOf(mirror, servicePort).length > 0) return;
    for (const port of this.#shards.ofHolder(holderOf({ mirror, member: ANY_MEMBER }))) {
      const entry = this.#shards.get(port);
      if (entry !== undefined && isGroupClaim(entry) && entry.port === servicePort)
        this.#release(port, entry, freed);
    }
  }

  /**
   * Frees ports of groups without members: a controller of a release before groups gave the last member's
   * back, or one that was killed between two writes.
   */
  #freeLeftBehind(): void {
    const freed = this.#options.clock.now();
    for (const port of this.#shards.recorded.ports()) {
      const entry = this.#shards.get(port);
      if (entry !== undefined && isGroupClaim(entry)) this.#freeGroup(entry, freed);
    }
  }

  /** The claims of a federated Service's members for one of its ports. */
  #membersOf(mirror: string, servicePort: number): EgressClaim[] {
    const { recorded, pending } = this.#shards;
    return [...new Set([...recorded.ofMirror(mirror), ...pending.ofMirror(mirror)])]
      .map((port) => this.#shards.get(port))
      .filter((entry) => entry !== undefined)
      .filter(isClaim)
      .filter((entry) => entry.mirror === mirror && entry.member !== undefined && entry.port === servicePort);
  }

  /** The egress port of each service port that a holder has, or had until a moment ago. */
  #portsOf(holder: string): EgressPorts {
    const found: Record<number, number> = {};
    const ports = this.#shards.ofHolder(holder).map((port) => ({ port, entry: this.#shards.get(port) }));
    // Of several for one service port the last one set wins: a live port over a freed one, then the lowest.
    const rank = (entry: RecordEntry | undefined) => Number(entry !== undefined && !isFreed(entry));
    ports.sort((a, b) => rank(a.entry) - rank(b.entry) || b.port - a.port);
    for (const { port, entry } of ports) if (entry !== undefined) found[entry.port] = port;
    return found;
  }

  #takenFor(port: number, holder: string): boolean {
    const { pending, recorded } = this.#shards;
    const now = this.#options.clock.now();
    return [pending.get(port), recorded.get(port)].some((entry) => {
      if (entry === undefined || holderOf(entry) === holder) return false;
      return !isFreed(entry) || Math.abs(now - entry.freed) <= FREED_HOLD_MS;
    });
  }

  #changed(entries: readonly RecordEntry[]): void {
    for (const { mirror, member } of entries) {
      if (member === ANY_MEMBER) notifyAll('listeners of groups', this.#groupListeners, mirror);
      if (member === APEX_MEMBER) notifyAll('listeners of apexes', this.#apexListeners, mirror);
    }
    // The record is first read while the shards, which `#membersOf` needs, are still being made.
    if (this.#listeners.size === 0) return;
    this.#tell(entries);
    // Two replicas may give back the last two members at once, each while it still sees the other's.
    const freed = this.#options.clock.now();
    for (const entry of entries)
      if (!isGroupClaim(entry) && !isApexClaim(entry)) this.#freeGroup(entry, freed);
  }

  #tell(entries: readonly RecordEntry[]): void {
    for (const entry of entries) {
      if (isFreed(entry)) continue;
      const claims = isClaim(entry) ? [entry] : this.#membersOf(entry.mirror, entry.port);
      for (const claim of claims)
        notifyAll('listeners of egress ports', this.#listeners.get(claim.link) ?? [], scopeOf(claim));
    }
  }
}
