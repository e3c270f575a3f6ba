import type { V1Service } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import { keyOf } from '../api/kubernetes/resource.ts';
import { parseKey } from '../api/mirror/mirror-names.ts';
import { targetKey } from '../api/ports/target-key.ts';
import { notifyAll } from '../base/isolation.ts';
import { addTo, removeFrom } from '../base/multimap.ts';
import { isHandMade } from '../exports/slice-makers.ts';
import type { WatchParts } from '../kube/informer/watched-kind.ts';
import { overGroup } from '../policy/routing/group-routing.ts';
import type { Routing } from '../policy/routing/routing.ts';
import type { Health } from '../telemetry/admin.ts';
import { AnnotationProblems } from './annotation-problems.ts';
import { DueServices } from './due-services.ts';
import { KubeRouting } from './kube-routing.ts';
import { MeshPods, type MeshSettings } from './mesh-pods.ts';
import type { TargetSource, TargetSpec } from './target-spec.ts';
import { sameTarget } from './target-table.ts';

export interface ApexRoutingOptions extends WatchParts {
  /** What the names of backends end with; they stand in no request. */
  readonly clusterDomain: string;
  /** What the names of ServiceProfiles end with, the cluster's own; default: `clusterDomain`. */
  readonly profileDomain?: string | undefined;
  /** How pods that have a mesh proxy are reached; undefined: plainly, and no pods are watched. */
  readonly mesh?: MeshSettings | undefined;
  /** As `InstalledKindsOptions.lookMs`. */
  readonly lookMs?: number | undefined;
  /** Called with the key of each Service of which `of` says something else. */
  onChange(key: string): void;
}

/** A user's Service, or a federated one, and how the requests for its ports are routed. */
export interface RoutedService {
  readonly service: V1Service;
  /** Ports about which nothing is said are not in it. */
  readonly ports: ReadonlyMap<number, Routing>;
  /** Services of this cluster that it leads to, by `namespace/name`. */
  readonly backends: ReadonlyMap<string, V1Service>;
  /**
   * Whether mirroring made it: the last rule of each of its ports is for what the others are not for, which
   * goes to its clusters (`overGroup`). Default false.
   */
  readonly isFederated?: boolean;
}

/**
 * How the requests for users' Services, and for federated ones about which rules are written, are routed, for
 * an egress, and the pods of backends that are Services
 * of this cluster. Nothing is watched before there is such a Service, and of slices only those are served
 * that the cluster's own controllers have made: else whoever may write slices could have the egress connect
 * to any address.
 */
export class ApexRouting {
  /** The pods of backends, by the names of their Services. */
  readonly leaves: Pick<TargetSource, 'get' | 'subscribe'>;
  readonly #options: ApexRoutingOptions;
  readonly #routing: KubeRouting;
  readonly #mesh: MeshPods | undefined;
  readonly #problems: AnnotationProblems;
  readonly #routed = new Map<string, RoutedService>();
  readonly #table = new Leaves();
  /** When something behind thousands of them changes, requests must not wait for all. */
  readonly #due: DueServices;
  #followed: ReadonlySet<string> = new Set();
  #federated: ReadonlyMap<string, V1Service> = new Map();
  #started = false;
  /** Whether everything was known once: what is installed later does not make it unknown again. */
  #settled = false;

  constructor(options: ApexRoutingOptions) {
    const { client, clock, random, log, clusterDomain, profileDomain, lookMs, mesh } = options;
    const parts = { client, clock, random, log };
    this.#options = options;
    this.#problems = new AnnotationProblems(log);
    this.#due = new DueServices({ clock, look: (key) => this.#update(key) });
    if (mesh !== undefined)
      this.#mesh = new MeshPods({ ...parts, ...mesh }, (addresses) => this.#meshChanged(addresses));
    this.#routing = new KubeRouting({
      ...parts,
      clusterDomain,
      profileDomain,
      lookMs,
      follow: 'all',
      // The controller writes it, which has the right to (ADR 0040).
      statusAs: undefined,
      failover: true,
      view: { zone: undefined, meshEndpoint: (address, port) => this.#mesh?.endpoint(address, port) },
      served: (_, slices) => slices.filter((slice) => !isHandMade(slice)),
      onChange: (key) => this.#due.add(key),
    });
    this.leaves = this.#table;
  }

  /**
   * Follows these Services (keys) from now on, and no others.
   * @param federated those that somebody else watches: of their namespaces nothing is read before there is a
   * rule
   */
  follow(keys: ReadonlySet<string>, federated: ReadonlyMap<string, V1Service> = new Map()): void {
    if (keys.size + federated.size === 0 && !this.#started) return;
    const [former, before] = [this.#followed, this.#federated];
    this.#followed = new Set(keys);
    this.#federated = new Map(federated);
    if (!this.#started) {
      this.#started = true;
      this.#routing.start();
      this.#mesh?.start();
    }
    this.#routing.keep(this.#followed);
    for (const key of former) if (!keys.has(key)) this.#forget(key);
    for (const key of keys) if (!former.has(key)) this.#update(key);
    this.#federatedChanged(before);
  }

  #federatedChanged(before: ReadonlyMap<string, V1Service>): void {
    for (const key of before.keys()) if (!this.#federated.has(key)) this.#leave(key);
    for (const [key, service] of this.#federated) if (before.get(key) !== service) this.#update(key);
  }

  /** What is known of a Service that is followed; undefined: nothing is said of it, or it is not there. */
  of(key: string): RoutedService | undefined {
    return this.#routed.get(key);
  }

  /** Ok once all that decides is known, or it is known that it cannot be. */
  get ready(): Health {
    if (!this.#started) return { ok: true, reason: '' };
    this.#settled ||= this.#routing.settled && this.#due.settles();
    if (!this.#settled) return { ok: false, reason: 'splits and routes are being listed' };
    return this.#mesh?.ready ?? { ok: true, reason: '' };
  }

  async stop(): Promise<void> {
    this.#due.stop();
    await Promise.all([this.#routing.stop(), this.#mesh?.stop()]);
  }

  #update(key: string): void {
    const federated = this.#federated.get(key);
    if (federated === undefined && !this.#followed.has(key)) return;
    const found = federated === undefined ? this.#routing.kept(key) : { service: federated };
    // What is being read has been said before, or not yet; neither is a change.
    if (found === 'unknown') return;
    const former = this.#routed.get(key);
    if (found === undefined) {
      this.#forget(key);
      if (former !== undefined) this.#options.onChange(key);
      return;
    }
    const { ports, problems } = this.#routing.of(found.service);
    this.#problems.tell(key, problems);
    if (federated !== undefined && ports.size === 0) return this.#goesOn(key);
    this.#table.set(
      key,
      [...ports.values()].flatMap(({ leaves }) => Object.values(leaves)),
    );
    const isFederated = federated !== undefined;
    const routings = new Map(
      [...ports].map(([port, { routing }]) => [port, isFederated ? over(key, port, routing) : routing]),
    );
    const backends = this.#backendsOf(routings.values());
    const now = { service: found.service, ports: routings, backends, isFederated };
    // Endpoints of backends change often; whoever makes routes need not hear of it.
    if (former !== undefined && isSame(former, now)) return;
    this.#routed.set(key, now);
    this.#options.onChange(key);
  }

  /** The Services behind rules, as they are: of those that are not there or not known there is none. */
  #backendsOf(routings: Iterable<Routing>): Map<string, V1Service> {
    const found = new Map<string, V1Service>();
    for (const { rules } of routings)
      for (const { namespace, service: name } of rules.flatMap(({ backends }) => backends)) {
        const key = keyOf({ namespace, name });
        const kept = this.#routing.kept(key);
        if (kept !== undefined && kept !== 'unknown') found.set(key, kept.service);
      }
    return found;
  }

  /** Nothing is written about a federated Service: its requests go to its clusters. */
  #goesOn(key: string): void {
    this.#table.set(key, []);
    if (this.#routed.delete(key)) this.#options.onChange(key);
  }

  /** A federated Service is followed no more. */
  #leave(key: string): void {
    this.#routing.forget(key);
    this.#forget(key);
  }

  #forget(key: string): void {
    this.#routed.delete(key);
    this.#problems.tell(key, []);
    this.#table.set(key, []);
  }

  #meshChanged(addresses: readonly string[]): void {
    const changed = new Set(addresses);
    for (const key of this.#table.usersOf(changed)) this.#due.add(key);
  }
}

function over(key: string, port: number, routing: Routing): Routing {
  const { namespace, name } = parseKey(key);
  return overGroup(routing, { namespace, service: name, port });
}

/** Objects are replaced by their watch when they change. */
function isSame(a: RoutedService, b: RoutedService): boolean {
  if (a.service !== b.service || a.backends.size !== b.backends.size) return false;
  for (const [key, service] of b.backends) if (a.backends.get(key) !== service) return false;
  return isDeepStrictEqual(a.ports, b.ports);
}

/** The backends of all apexes; several may lead to the same one. */
class Leaves implements Pick<TargetSource, 'get' | 'subscribe'> {
  readonly #specs = new Map<string, TargetSpec>();
  /** The apexes that lead to each, and the other way round. */
  readonly #users = new Map<string, Set<string>>();
  readonly #keys = new Map<string, ReadonlySet<string>>();
  readonly #listeners = new Set<(key: string) => void>();

  get(name: string, port: number): TargetSpec | undefined {
    return this.#specs.get(targetKey(name, port));
  }

  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Replaces the backends of one apex. */
  set(apex: string, specs: readonly TargetSpec[]): void {
    const changed: string[] = [];
    const keys = new Set<string>();
    for (const spec of specs) {
      const key = targetKey(spec.name, spec.port);
      keys.add(key);
      addTo(this.#users, key, apex);
      if (sameTarget(this.#specs.get(key), spec)) continue;
      this.#specs.set(key, spec);
      changed.push(key);
    }
    for (const key of this.#keys.get(apex) ?? []) {
      if (keys.has(key)) continue;
      removeFrom(this.#users, key, apex);
      if (!this.#users.has(key) && this.#specs.delete(key)) changed.push(key);
    }
    if (keys.size === 0) this.#keys.delete(apex);
    else this.#keys.set(apex, keys);
    for (const key of changed) notifyAll('listeners of backends', this.#listeners, key);
  }

  /** The apexes one of whose backends has an endpoint at one of these addresses. */
  usersOf(addresses: ReadonlySet<string>): Set<string> {
    const found = [...this.#specs].filter(([, { endpoints }]) =>
      endpoints.some(({ host }) => addresses.has(host)),
    );
    return new Set(found.flatMap(([key]) => [...(this.#users.get(key) ?? [])]));
  }
}
