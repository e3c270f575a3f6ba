import { type EffectivePolicy, effectivePolicy } from '../policy/effective-policy.ts';
import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { exportSelector } from '../api/exports/export-marks.ts';
import { ROUTE_CONTROLLER } from '../api/routing/routing-kinds.ts';
import { forEachIsolated } from '../base/isolation.ts';
import type { Random } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { addTo, removeFrom } from '../base/multimap.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import type { Health } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';
import { AnnotationProblems } from './annotation-problems.ts';
import { DueServices } from './due-services.ts';
import { FaultAnnotations } from '../policy/faults/fault-annotations.ts';
import { type Family, firstFamily, usedFamily } from '../exports/endpoint-slices.ts';
import { ExportView } from '../exports/export-view.ts';
import { MeshPods, type MeshSettings } from './mesh-pods.ts';
import { type FollowedRoutes, KubeRouting } from './kube-routing.ts';
import { ServiceProfiles } from './service-profile-watch.ts';
import { serviceTargets, targetHosts } from './service-targets.ts';
import { type HandMadeSlicesAllowed, isHandMade, NO_HAND_MADE_SLICES } from '../exports/slice-makers.ts';
import type { TargetSource, TargetSpec } from './target-spec.ts';
import { TargetTable } from './target-table.ts';

/**
 * Selectors of the Services that a gateway serves by default: the exports that Links reach through a gateway.
 */
export const DEFAULT_EXPORT_SELECTORS: readonly string[] = [
  exportSelector('gateway'),
  exportSelector('federated'),
];

export interface KubeTargetsOptions {
  readonly client: KubeClient;
  /** Such as `cluster.local`. */
  readonly clusterDomain: string;
  /** Default `DEFAULT_EXPORT_SELECTORS`. */
  readonly exportSelectors?: readonly string[];
  /** The gateway's zone, where endpoints have hints for zones; absent = hints do not matter. */
  readonly zone?: string | undefined;
  /**
   * How to reach pods with a Linkerd proxy (mTLS, as their mesh does); absent = every endpoint is reached
   * without TLS, and no pods are watched.
   */
  readonly mesh?: MeshSettings | undefined;
  /** Where slices made by hand are served; default `NO_HAND_MADE_SLICES`. */
  readonly handMadeSlices?: HandMadeSlicesAllowed;
  /** Whether annotations may inject faults; default false. */
  readonly faultInjection?: boolean;
  /** Whether it is not ready while the Services cannot be read; default true. */
  readonly required?: boolean;
  /**
   * Whether what users write of the requests for these Services (ServiceProfiles, splits, routes) is
   * followed; default true.
   */
  readonly requestRules?: boolean;
  /** Which routes that users have written are followed; default `all`. */
  readonly routes?: FollowedRoutes;
  /**
   * How often the API server is asked whether ServiceProfiles, splits and routes are installed, milliseconds;
   * default 20 s.
   */
  readonly profileLookMs?: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * Targets from the cluster that the gateway stands in: every TCP port of every exported Service and, where
 * that is headless, of each of its pods that has a host name. Starts watching at once. While the API server
 * cannot be reached, the last known targets are served.
 */
export function openKubeTargets(options: KubeTargetsOptions): TargetSource {
  return new KubeTargets(options);
}

/**
 * How long a Service's first address family must have been without endpoints, while the other has some,
 * before the other is used: their slices are written one after the other.
 */
const FAMILY_HOLD_MS = 1000;

class KubeTargets implements TargetSource {
  readonly #options: KubeTargetsOptions;
  readonly #view: ExportView;
  readonly #mesh: MeshPods | undefined;
  readonly #profiles: ServiceProfiles;
  readonly #routing: KubeRouting;
  /** Whether the routing was known once: what is installed later does not make it unknown again. */
  #routed = false;
  readonly #table = new TargetTable();
  /** Keys of the targets that each Service has now. */
  readonly #keys = new Map<string, string[]>();
  /** Host names of each headless Service, as they were last known. */
  readonly #hosts = new Map<string, readonly string[]>();
  /** Services by the addresses of their endpoints, to update them when a pod's proxy changes. */
  readonly #users = new AddressUsers();
  /** Services that use their second address family, or will when the timer fires. */
  readonly #second = new Map<string, { readonly timer: Timer; due: boolean }>();
  readonly #problems: AnnotationProblems;
  readonly #faults: FaultAnnotations;
  readonly #due: DueServices;

  constructor(options: KubeTargetsOptions) {
    const { client, clusterDomain, clock, random, log, mesh } = options;
    this.#options = options;
    this.#faults = new FaultAnnotations(clock, options.faultInjection === true);
    this.#problems = new AnnotationProblems(log);
    const selectors = options.exportSelectors ?? DEFAULT_EXPORT_SELECTORS;
    this.#view = new ExportView({ client, selectors, clock, random, log });
    this.#view.subscribe((key) => this.#update(key));
    if (mesh !== undefined) {
      const onChange = (addresses: readonly string[]) => this.#meshChanged(addresses);
      this.#mesh = new MeshPods({ client, clock, random, log, ...mesh }, onChange);
      this.#mesh.start();
    }
    const look = (key: string) => {
      if (this.#view.services.get(key) !== undefined) this.#update(key);
    };
    this.#due = new DueServices({ clock, look });
    const changed = (key: string) => this.#due.add(key);
    const shared = { client, clock, random, log, clusterDomain, lookMs: options.profileLookMs };
    this.#profiles = new ServiceProfiles(shared, changed);
    this.#routing = new KubeRouting({
      ...shared,
      follow: options.routes ?? 'all',
      statusAs: ROUTE_CONTROLLER,
      view: { zone: options.zone, meshEndpoint: (address, port) => this.#mesh?.endpoint(address, port) },
      served: (namespace, slices) => this.#served(namespace, slices),
      profile: (key) => this.#profiles.routingOf(key),
      onChange: changed,
    });
    this.#view.start();
    this.#routed = options.requestRules === false;
    if (!this.#routed) {
      this.#profiles.start();
      this.#routing.start();
    }
  }

  get(name: string, port: number): TargetSpec | undefined {
    return this.#table.get(name, port);
  }

  keys(): Iterable<string> {
    return this.#table.keys();
  }

  subscribe(listener: (key: string) => void): () => void {
    return this.#table.subscribe(listener);
  }

  get ready(): Health {
    const { synced, error } = this.#view;
    if (!synced) {
      return {
        ok: error !== undefined && this.#options.required === false,
        reason: error === undefined ? 'exported Services are being listed' : messageOf(error),
      };
    }
    this.#routed ||= this.#routing.settled && this.#due.settles();
    if (!this.#routed) return { ok: false, reason: 'splits and routes are being listed' };
    const mesh = this.#mesh?.ready;
    if (mesh?.ok === false || error === undefined) return mesh ?? { ok: true, reason: '' };
    return { ok: true, reason: `serving what was known: ${messageOf(error)}` };
  }

  async close(): Promise<void> {
    for (const { timer } of this.#second.values()) timer.cancel();
    this.#due.stop();
    await Promise.all([this.#view.stop(), this.#mesh?.stop(), this.#profiles.stop(), this.#routing.stop()]);
    this.#table.clear();
  }

  #meshChanged(addresses: readonly string[]): void {
    forEachIsolated('targets at an address', this.#users.of(addresses), (key) => this.#update(key));
  }

  #update(key: string): void {
    const targets = this.#routedTargets(key);
    const keys = this.#table.replace(this.#keys.get(key) ?? [], targets);
    if (keys.length === 0) this.#keys.delete(key);
    else this.#keys.set(key, keys);
    if (this.#mesh === undefined) return;
    this.#users.set(key, new Set(targets.flatMap(addressesOf)));
  }

  /** The targets of a Service, with the routes of its ports. */
  #routedTargets(key: string): readonly TargetSpec[] {
    const service = this.#view.services.get(key);
    if (service === undefined) {
      this.#routing.forget(key);
      return this.#targets(key, []);
    }
    const { ports, problems } = this.#routing.of(service);
    const targets = this.#targets(key, problems);
    if (ports.size === 0) return targets;
    const { name = '', namespace = '' } = service.metadata ?? {};
    const own = `${name}.${namespace}.svc.${this.#options.clusterDomain}`;
    return targets.map((target) => {
      // A host name asks for one pod, and no other will do.
      const routed = target.name === own ? ports.get(target.port) : undefined;
      return routed === undefined ? target : { ...target, routed };
    });
  }

  /** @param problems of its routes, to be told with those of its annotations */
  #targets(key: string, problems: readonly string[]): TargetSpec[] {
    const service = this.#view.services.get(key);
    if (service === undefined) {
      this.#faults.of(key, undefined);
      this.#problems.tell(key, []);
      this.#hosts.delete(key);
      this.#forgetFamily(key);
      return [];
    }
    const slices = this.#slicesOf(key);
    const { clusterDomain, zone } = this.#options;
    const meshEndpoint = (address: string, port: number) => this.#mesh?.endpoint(address, port);
    const family = this.#family(key, service, slices);
    const view = { zone, meshEndpoint, family, policy: this.#policy(key, service, problems) };
    if (this.#view.endpointsKnown(key) && view.family !== undefined) {
      const hosts = targetHosts(service, slices);
      if (hosts.length === 0) this.#hosts.delete(key);
      else this.#hosts.set(key, hosts);
      return serviceTargets(service, slices, clusterDomain, view);
    }
    // While the endpoints are not known (slices relabelled, a watch just begun) the former ones and their
    // host names are kept.
    const lastingHosts = this.#hosts.get(key);
    const targets = serviceTargets(service, slices, clusterDomain, { ...view, lastingHosts });
    return targets.map((target) => ({
      ...target,
      endpoints: this.get(target.name, target.port)?.endpoints ?? [],
    }));
  }

  /** The slices that are served; those made by hand only in namespaces where they are allowed. */
  #slicesOf(key: string): readonly V1EndpointSlice[] {
    return this.#served(key.split('/')[0] ?? '', this.#view.slicesOf(key));
  }

  #served(namespace: string, slices: readonly V1EndpointSlice[]): readonly V1EndpointSlice[] {
    const { handMadeSlices = NO_HAND_MADE_SLICES } = this.#options;
    return handMadeSlices(namespace) ? slices : slices.filter((slice) => !isHandMade(slice));
  }

  #handMadeProblem(key: string): string[] {
    const served = new Set(this.#slicesOf(key));
    const others = this.#view.slicesOf(key).filter((slice) => !served.has(slice));
    const names = others.map(({ metadata }) => metadata?.name ?? '');
    return names.length === 0
      ? []
      : [`slices made by hand are not served here (--hand-made-slices): ${names.slice(0, 5).join(', ')}`];
  }

  /** The address family to use; undefined while a change is pending, when the targets stay as they are. */
  #family(key: string, service: V1Service, slices: readonly V1EndpointSlice[]): Family | undefined {
    const used = usedFamily(service, slices);
    if (used === firstFamily(service)) {
      this.#forgetFamily(key);
      return used;
    }
    const known = this.#second.get(key);
    if (known !== undefined) return known.due ? used : undefined;
    // A new Service has no clients yet, so there is no reason to wait.
    const due = !this.#keys.has(key);
    const state = {
      timer: this.#options.clock.after(due ? 0 : FAMILY_HOLD_MS, () => waited(), { unref: true }),
      due,
    };
    const waited = () => {
      if (state.due) return;
      state.due = true;
      this.#update(key);
    };
    this.#second.set(key, state);
    return due ? used : undefined;
  }

  #forgetFamily(key: string): void {
    this.#second.get(key)?.timer.cancel();
    this.#second.delete(key);
  }

  /** A Service's traffic policy; problems in its annotations and profile are logged, each once. */
  #policy(key: string, { metadata }: V1Service, ofRoutes: readonly string[]): EffectivePolicy {
    const annotations = metadata?.annotations;
    const { policy, refused } = effectivePolicy({
      key,
      annotations,
      faults: this.#faults.of(key, annotations),
      profile: this.#profiles.of(key),
    });
    const problems = refused.map(({ problem }) => problem);
    this.#problems.tell(key, [...this.#handMadeProblem(key), ...problems, ...ofRoutes]);
    return policy;
  }
}

/** The addresses of a target's endpoints, and of those of the backends that its routes lead to. */
function addressesOf({ endpoints, routed }: TargetSpec): string[] {
  const leaves = Object.values(routed?.leaves ?? {});
  return [...endpoints, ...leaves.flatMap((leaf) => leaf.endpoints)].map(({ host }) => host);
}

/** Which Services have an address among their endpoints. */
class AddressUsers {
  readonly #addresses = new Map<string, ReadonlySet<string>>();
  readonly #services = new Map<string, Set<string>>();

  /** Makes `addresses` those of a Service. */
  set(service: string, addresses: ReadonlySet<string>): void {
    const former = this.#addresses.get(service) ?? new Set();
    for (const address of former) if (!addresses.has(address)) removeFrom(this.#services, address, service);
    for (const address of addresses) addTo(this.#services, address, service);
    if (addresses.size === 0) this.#addresses.delete(service);
    else this.#addresses.set(service, addresses);
  }

  /** The Services that have any of these addresses. */
  of(addresses: readonly string[]): Set<string> {
    return new Set(addresses.flatMap((address) => [...(this.#services.get(address) ?? [])]));
  }
}
