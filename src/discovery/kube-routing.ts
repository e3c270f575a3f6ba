import { parseKey } from '../api/mirror/mirror-names.ts';
import type { V1EndpointSlice, V1Service, V1ServicePort } from '@kubernetes/client-node';
import { keyOf } from '../api/kubernetes/resource.ts';
import { type FailoverTexts, writtenTexts } from '../api/mirror/failover-texts.ts';
import { isMirrored } from '../api/mirror/mirror-labels.ts';
import { addTo, removeFrom } from '../base/multimap.ts';
import type { EndpointView } from '../exports/endpoint-slices.ts';
import type { WatchParts } from '../kube/informer/watched-kind.ts';
import { effectivePolicy } from '../policy/effective-policy.ts';
import type { RouteBackend, Routing } from '../policy/routing/routing.ts';
import { serviceVerdicts } from '../policy/routing/route-verdicts.ts';
import {
  MAX_REFERENCES,
  type RouteVerdict,
  type RoutingFacts,
  serviceRouting,
} from '../policy/routing/service-routing.ts';
import { NO_WORD, type ProfileWord, ServiceProfiles } from './service-profile-watch.ts';
import { serviceTargets } from './service-targets.ts';
import { leafKey, type RoutedSpec, type TargetSpec } from './target-spec.ts';
import { LeafView } from './leaf-view.ts';
import { RouteStatusWriter } from './route-status-writer.ts';
import { RoutingObjects, type StoredRoute } from './routing-objects.ts';

/** Which of the routes that users have written a gateway follows. */
export type FollowedRoutes = 'all' | 'profile';

export interface KubeRoutingOptions extends WatchParts {
  /** Such as `cluster.local`. */
  readonly clusterDomain: string;
  readonly follow: FollowedRoutes;
  /** How often the API server is asked which kinds it serves, milliseconds; default 20 s. */
  readonly lookMs?: number | undefined;
  /** How the endpoints of backends are seen. */
  readonly view: Pick<EndpointView, 'zone' | 'meshEndpoint'>;
  /** Those of a namespace's slices that are served. */
  readonly served: (namespace: string, slices: readonly V1EndpointSlice[]) => readonly V1EndpointSlice[];
  /**
   * What the ServiceProfile of a Service says of where its requests go; default: profiles are watched, too,
   * and readiness waits for them.
   */
  readonly profile?: (service: string) => ProfileWord;
  /** What ends the names of ServiceProfiles that are watched here; default: `clusterDomain`. */
  readonly profileDomain?: string | undefined;
  /** The name under which the status of routes is written; undefined: somebody else writes it. */
  readonly statusAs: string | undefined;
  /**
   * Whether tiers and settings of failover on splits, routes and the Services themselves are followed;
   * default false: the weights alone decide.
   */
  readonly failover?: boolean;
  /** Called with the key of each Service whose routes, or whose backends, may have changed. */
  onChange(key: string): void;
  /** Called when `settled` or `complete` may have changed; default: nobody is. */
  onState?(): void;
}

/** A Service as it is watched. */
export type WatchedService = NonNullable<ReturnType<LeafView['service']>>;

/** The routing of the ports of one Service, and what is wrong with what was written. */
export interface ServiceRoutes {
  readonly ports: ReadonlyMap<number, RoutedSpec>;
  /** One line each. */
  readonly problems: readonly string[];
}

const NONE: ServiceRoutes = { ports: new Map(), problems: [] };

/** How the requests for exported Services are routed, from the objects of the gateway's own cluster. */
export class KubeRouting {
  readonly #options: KubeRoutingOptions;
  readonly #objects: RoutingObjects;
  readonly #leaves: LeafView;
  readonly #statuses: RouteStatusWriter | undefined;
  /** Undefined: somebody else reads them. */
  readonly #profiles: ServiceProfiles | undefined;
  /** Services that are watched for themselves. */
  readonly #kept = new Set<string>();
  /** The backends that each Service's routes lead to, and the other way round; keys. */
  readonly #backends = new Map<string, ReadonlySet<string>>();
  readonly #users = new Map<string, Set<string>>();
  /** The namespaces whose ReferenceGrants decide about each Service's routes. */
  readonly #asked = new Map<string, ReadonlySet<string>>();

  constructor(options: KubeRoutingOptions) {
    this.#options = options;
    const { client, clock, random, log, follow, lookMs, statusAs } = options;
    const parts = { client, clock, random, log };
    this.#leaves = new LeafView({
      ...parts,
      onService: (key) => this.#usersChanged([key]),
      onNamespace: (namespace) => this.#namespaceChanged(namespace),
    });
    this.#objects = new RoutingObjects({
      ...parts,
      follow,
      lookMs,
      onService: (key) => options.onChange(key),
      onStatus: (source, route) => this.#statuses?.changed(source, route),
      onGrants: (namespace) => this.#grantsChanged(namespace),
      onState: () => options.onState?.(),
    });
    if (options.profile === undefined) {
      const clusterDomain = options.profileDomain ?? options.clusterDomain;
      const changed = (key: string) => options.onChange(key);
      const onState = () => options.onState?.();
      this.#profiles = new ServiceProfiles({ ...parts, clusterDomain, lookMs, onState }, changed);
    }
    if (statusAs !== undefined)
      this.#statuses = new RouteStatusWriter({ ...parts, objects: this.#objects, controllerName: statusAs });
  }

  start(): void {
    this.#objects.start();
    this.#profiles?.start();
  }

  async stop(): Promise<void> {
    await Promise.all([
      this.#objects.stop(),
      this.#leaves.stop(),
      this.#statuses?.stop(),
      this.#profiles?.stop(),
    ]);
  }

  /**
   * Whether all that decides is known, or it is known that it cannot be: until then requests might go where
   * they should not.
   */
  get settled(): boolean {
    return this.#objects.settled && this.#leaves.settled && this.#profiles?.settled !== false;
  }

  /** What of it was never read, and why; one line each. */
  get unread(): string[] {
    return [...this.#objects.unread, ...(this.#profiles?.unread ?? []), ...this.#leaves.unread];
  }

  /** Whether everything that may be written about Services has been read, without an error. */
  get complete(): boolean {
    return this.#objects.complete && this.#profiles?.complete !== false;
  }

  /** Whether a split, a route or a profile is about a Service (key), whether that exists or not. */
  isSubject(key: string): boolean {
    return this.#objects.isSubject(key) || this.#profiles?.isSubject(key) === true;
  }

  /**
   * Watches these Services for themselves, and no others: `onChange` tells of them, too. Whoever does not
   * hand in Services from watches of its own says which it wants.
   */
  keep(keys: ReadonlySet<string>): void {
    for (const key of this.#kept) if (!keys.has(key)) this.dropOne(key);
    for (const key of keys) this.keepOne(key);
  }

  /** Watches one more Service for itself. */
  keepOne(key: string): void {
    if (this.#kept.has(key)) return;
    this.#kept.add(key);
    this.#want(key);
  }

  /** Watches a Service for itself no more. */
  dropOne(key: string): void {
    if (this.#kept.delete(key)) this.forget(key);
  }

  /**
   * A Service that is kept, with all of its slices; undefined: there is none. `unknown`: its namespace has
   * not been read yet.
   */
  kept(key: string): WatchedService | 'unknown' | undefined {
    const { namespace, name } = parseKey(key);
    if (!this.#leaves.knows(namespace)) return 'unknown';
    return this.#leaves.service(namespace, name);
  }

  /**
   * The routing of a Service that is served.
   * @param told whether its routes are told in their status; default true
   */
  of(service: V1Service, told = true): ServiceRoutes {
    const { name = '', namespace = '' } = service.metadata ?? {};
    const key = keyOf({ namespace, name });
    const { routes, problems: tooMany } = this.#objects.routesOf(key);
    const { splits, problems: wrongSplits } = this.#objects.splitsOf(key);
    const problems = [...tooMany, ...wrongSplits];
    const profile = this.#profileOf(key);
    const own = this.#failoverOf(service);
    if (routes.length + splits.length === 0 && profile.routing === undefined && own?.tiers === undefined) {
      this.forget(key);
      const wrong = [...problems, ...profile.problems];
      return wrong.length === 0 ? NONE : { ...NONE, problems: wrong };
    }
    const { ports, verdicts } = this.#decide(service, {
      profile: profile.routing,
      routes: routes.map(({ read }) => read),
      splits,
      failover: own,
    });
    if (told) this.#tell(key, { namespace, name }, routes, verdicts);
    else this.#statuses?.set(key, []);
    return { ports, problems: [...problems, ...profile.problems, ...notesOf(routes)] };
  }

  #profileOf(key: string): ProfileWord {
    return this.#options.profile?.(key) ?? this.#profiles?.routingOf(key) ?? NO_WORD;
  }

  /**
   * The tiers and the policy of a federated Service are about its clusters, and not about backends of rules.
   */
  #failoverOf(service: V1Service): FailoverTexts | undefined {
    if (this.#options.failover !== true) return undefined;
    return isMirrored(service) ? {} : writtenTexts(service.metadata?.annotations);
  }

  /** Decides for each port, and follows what was asked for that. */
  #decide(
    service: V1Service,
    said: Pick<RoutingFacts, 'profile' | 'routes' | 'splits' | 'failover'>,
  ): Pick<ServiceRoutes, 'ports'> & { readonly verdicts: readonly RouteVerdict[] } {
    const { name = '', namespace = '' } = service.metadata ?? {};
    const key = keyOf({ namespace, name });
    const backends = new Set<string>();
    const asked = new Set<string>();
    const ports = new Map<number, RoutedSpec>();
    const verdicts: RouteVerdict[] = [];
    let references = MAX_REFERENCES;
    for (const port of tcpPorts(service)) {
      const decided = serviceRouting({
        ...said,
        namespace,
        service: name,
        references,
        port: port.port,
        portName: port.name,
        follow: this.#options.follow,
        knownPort: (of, backend, number) => {
          backends.add(keyOf({ namespace: of, name: backend }));
          return this.#leaves.knownPort(of, backend, number);
        },
        granted: (from, to) => {
          asked.add(to.namespace);
          return this.#objects.granted(from, to);
        },
      });
      references -= decided.references;
      verdicts.push(...decided.verdicts);
      if (decided.routing === undefined) continue;
      for (const backend of validBackends(decided.routing))
        backends.add(keyOf({ namespace: backend.namespace, name: backend.service }));
      ports.set(port.port, { routing: decided.routing, leaves: this.#leavesOf(decided.routing) });
    }
    this.#refer(key, backends);
    if (asked.size === 0) this.#asked.delete(key);
    else this.#asked.set(key, asked);
    return { ports, verdicts };
  }

  /** A Service is not served any more, or has no routes. */
  forget(key: string): void {
    this.#refer(key, new Set());
    this.#asked.delete(key);
    this.#statuses?.set(key, []);
  }

  #tell(
    key: string,
    service: { readonly namespace: string; readonly name: string },
    routes: readonly StoredRoute[],
    verdicts: readonly RouteVerdict[],
  ): void {
    const byRoute = Map.groupBy(verdicts, ({ route }) => route);
    this.#statuses?.set(
      key,
      routes.map(({ source, object, read }) => ({
        source,
        route: keyOf(read),
        generation: object.metadata?.generation ?? 0,
        verdicts: serviceVerdicts(read, service, byRoute.get(read) ?? []),
      })),
    );
  }

  #refer(key: string, backends: ReadonlySet<string>): void {
    const former = this.#backends.get(key) ?? new Set();
    for (const backend of former) if (!backends.has(backend)) removeFrom(this.#users, backend, key);
    for (const backend of backends) addTo(this.#users, backend, key);
    if (backends.size === 0) this.#backends.delete(key);
    else this.#backends.set(key, backends);
    this.#want(key);
  }

  /** Watches the namespaces that a Service needs: those of its backends, and its own if it is kept. */
  #want(key: string): void {
    const namespaces = new Set(
      [...(this.#backends.get(key) ?? [])].map((service) => parseKey(service).namespace),
    );
    if (this.#kept.has(key)) namespaces.add(parseKey(key).namespace);
    this.#leaves.want(key, namespaces);
  }

  #usersChanged(services: readonly string[]): void {
    const users = new Set(services.flatMap((service) => [...(this.#users.get(service) ?? [])]));
    for (const service of services) if (this.#kept.has(service)) users.add(service);
    for (const user of users) this.#options.onChange(user);
  }

  #namespaceChanged(namespace: string): void {
    const known = new Set([...this.#users.keys(), ...this.#kept]);
    this.#usersChanged([...known].filter((service) => parseKey(service).namespace === namespace));
  }

  #grantsChanged(namespace: string): void {
    const users = [...this.#asked].filter(([, namespaces]) => namespaces.has(namespace));
    for (const [key] of users) this.#options.onChange(key);
  }

  #leavesOf(routing: Routing): Record<string, TargetSpec> {
    const leaves: Record<string, TargetSpec> = {};
    for (const backend of validBackends(routing)) {
      const spec = this.#leaf(backend);
      if (spec !== undefined) leaves[leafKey(backend)] = spec;
    }
    return leaves;
  }

  #leaf({ namespace, service: name, port }: RouteBackend): TargetSpec | undefined {
    const found = this.#leaves.service(namespace, name);
    if (found === undefined) return undefined;
    const { clusterDomain, view, served } = this.#options;
    const { annotations } = found.service.metadata ?? {};
    const { policy } = effectivePolicy({ key: keyOf({ namespace, name }), annotations }, ['accrual']);
    const slices = served(namespace, found.slices);
    const fqName = `${name}.${namespace}.svc.${clusterDomain}`;
    return serviceTargets(found.service, slices, clusterDomain, { ...view, policy }).find(
      (target) => target.port === port && target.name === fqName,
    );
  }
}

function validBackends({ rules }: Routing): RouteBackend[] {
  return rules.flatMap(({ backends }) => backends).filter(({ invalid }) => invalid === undefined);
}

function tcpPorts({ spec }: V1Service): readonly V1ServicePort[] {
  return (spec?.ports ?? []).filter(({ protocol }) => (protocol ?? 'TCP') === 'TCP');
}

function notesOf(routes: readonly StoredRoute[]): string[] {
  return routes.flatMap(({ source, read }) =>
    read.notes.map((note) => `${source.kind} ${read.name}: ${note}`),
  );
}
