import { isDeepStrictEqual } from 'node:util';
import { readAnnotation } from '../api/annotations.ts';
import { FAILOVER_POLICY } from '../api/failover/failover-names.ts';
import { writtenFailover } from '../policy/routing/written-failover.ts';
import { readFailoverPolicy } from '../policy/failover/failover-policy-text.ts';
import { keyOf, type KubeObject } from '../api/kubernetes/resource.ts';
import { POLICY_GROUP } from '../api/linkerd/linkerd-kinds.ts';
import { NotValid } from '../api/routing/read-value.ts';
import { type ReadGrant, readReferenceGrant } from '../api/routing/reference-grant.ts';
import { serviceParents } from '../api/routing/route-spec.ts';
import {
  GATEWAY_API_GROUP,
  type ReferenceGrant,
  type Route,
  SPLIT_GROUP,
  type TrafficSplit,
} from '../api/routing/routing-kinds.ts';
import { type ReadSplit, readTrafficSplit } from '../api/routing/traffic-split.ts';
import { InstalledKinds, type OptionalKind } from '../kube/informer/installed-kinds.ts';
import { WatchedKind, type WatchParts } from '../kube/informer/watched-kind.ts';
import { type ReadRoute, readRoute, type RouteKind } from '../policy/routing/read-route.ts';
import type { Referrer } from '../policy/routing/route-backends.ts';
import type { NamedSplit } from '../policy/routing/service-routing.ts';

export interface RoutingObjectsOptions extends WatchParts {
  /** `profile`: HTTPRoutes and GRPCRoutes are not watched. */
  readonly follow: 'all' | 'profile';
  /** As `InstalledKindsOptions.lookMs`. */
  readonly lookMs?: number | undefined;
  /** Called with the key (`namespace/name`) of each Service that an object which has changed is about. */
  onService(key: string): void;
  /** Called where nothing of a route has changed that is followed: its status was written. */
  onStatus(source: RouteSource, key: string): void;
  /** Called when ReferenceGrants of a namespace have changed. */
  onGrants(namespace: string): void;
  /** Called when `settled` or `complete` may have changed. */
  onState(): void;
}

/** A kind of route, and where it is served. */
export interface RouteSource {
  readonly kind: RouteKind;
  readonly group: string;
  readonly plural: string;
}

const ROUTES: readonly RouteSource[] = [
  { group: GATEWAY_API_GROUP, kind: 'HTTPRoute', plural: 'httproutes' },
  { group: GATEWAY_API_GROUP, kind: 'GRPCRoute', plural: 'grpcroutes' },
  { group: POLICY_GROUP, kind: 'HTTPRoute', plural: 'httproutes' },
];
const BY_SERVICE = 'service';
/**
 * Routes of one Service that are looked at, the oldest first: as each has a match, those behind them could
 * not be accepted. Whoever writes thousands of them keeps no others waiting.
 */
const MAX_ROUTES = 512;
/** What the expressions of a Service's routes may come to (`ReadRoute.effort`): some 20 ms to compile. */
const MAX_EFFORT = 40_000;
/** Of TrafficSplits the oldest that is valid counts; the others are looked at for what is wrong with them. */
const MAX_SPLITS = 16;

/** The routes of a Service. */
export interface RoutesOfService {
  /** The oldest first. */
  readonly routes: readonly StoredRoute[];
  /** One line each. */
  readonly problems: readonly string[];
}

/** A route as it is stored, and as it is read. */
export interface StoredRoute {
  readonly source: RouteSource;
  readonly object: Route;
  readonly read: ReadRoute;
}

/**
 * TrafficSplits, routes and ReferenceGrants of this cluster, as long as their kinds are installed: noticed
 * within `lookMs`, without a restart. A kind that is not installed costs one question each time. While the
 * API server cannot be reached the last known objects hold.
 */
export class RoutingObjects {
  readonly #options: RoutingObjectsOptions;
  readonly #splits: WatchedKind<TrafficSplit>;
  readonly #grants: WatchedKind<ReferenceGrant>;
  readonly #routes: readonly { readonly source: RouteSource; readonly kind: WatchedKind<Route> }[];
  readonly #installed: InstalledKinds;
  readonly #readRoutes = new WeakMap<Route, ReadRoute>();
  readonly #readSplits = new WeakMap<TrafficSplit, ReadSplit | NotValid>();
  readonly #readGrants = new WeakMap<ReferenceGrant, ReadGrant | NotValid>();

  constructor(options: RoutingObjectsOptions) {
    this.#options = options;
    this.#splits = this.#kind<TrafficSplit>(
      { group: SPLIT_GROUP, kind: 'TrafficSplit', plural: 'trafficsplits' },
      (split) => this.#splitServices(split),
    );
    this.#grants = this.#kind<ReferenceGrant>({
      group: GATEWAY_API_GROUP,
      kind: 'ReferenceGrant',
      plural: 'referencegrants',
    });
    this.#grants.store.subscribe('routing: ReferenceGrants', ({ object }) =>
      options.onGrants(object.metadata?.namespace ?? ''),
    );
    const sources = options.follow === 'all' ? ROUTES : [];
    this.#routes = sources.map((source) => ({
      source,
      kind: this.#kind<Route>(source, routeServices, (key) => options.onStatus(source, key)),
    }));
    this.#installed = new InstalledKinds({
      ...options,
      kinds: this.#kinds(),
      onLook: () => options.onState(),
    });
  }

  start(): void {
    this.#installed.start();
  }

  async stop(): Promise<void> {
    await this.#installed.stop();
  }

  /** As `InstalledKinds.settled`. */
  get settled(): boolean {
    return this.#installed.settled;
  }

  /** As `InstalledKinds.unread`. */
  get unread(): string[] {
    return this.#installed.unread;
  }

  /** Whether all objects are known, of all kinds that there may be, and none only as before an error. */
  get complete(): boolean {
    return this.#installed.answered && this.#kinds().every((kind) => kind.synced && kind.error === undefined);
  }

  /** Whether a split or a route is about a Service (key). */
  isSubject(service: string): boolean {
    const kinds = [this.#splits, ...this.#routes.map(({ kind }) => kind)];
    return kinds.some(({ store }) => store.byIndex(BY_SERVICE, service).length > 0);
  }

  /** The routes of its own namespace that have a Service among their parents. */
  routesOf(service: string): RoutesOfService {
    const found = this.#routes
      .flatMap(({ source, kind }) =>
        kind.store.byIndex(BY_SERVICE, service).map((object) => ({ source, object, age: createdAt(object) })),
      )
      .sort((a, b) => a.age - b.age || compareNames(a.object, b.object));
    const routes: StoredRoute[] = [];
    let effort = 0;
    for (const { source, object } of found) {
      if (routes.length >= MAX_ROUTES || effort >= MAX_EFFORT) break;
      const read = this.#read(source, object);
      effort += read.effort;
      routes.push({ source, object, read });
    }
    const left = found.length - routes.length;
    const many = `it has ${found.length} routes, of which the ${left} youngest are left out: they are too many`;
    return { routes, problems: left === 0 ? [] : [many] };
  }

  /** The route of a key, as `RouteStatusWriter` has it. */
  route(source: RouteSource, key: string): Route | undefined {
    return this.#routes.find((one) => one.source === source)?.kind.store.get(key);
  }

  /** The version in which the API server serves a kind of routes; undefined: it does not. */
  versionOf(source: RouteSource): string | undefined {
    return this.#routes.find((one) => one.source === source)?.kind.resource?.version;
  }

  /** The TrafficSplits of a Service, and what is wrong with those that cannot be read. */
  splitsOf(service: string): {
    readonly splits: readonly NamedSplit[];
    readonly problems: readonly string[];
  } {
    const splits: NamedSplit[] = [];
    const problems: string[] = [];
    const found = this.#splits.store
      .byIndex(BY_SERVICE, service)
      .map((object) => ({ object, created: createdAt(object) }))
      .sort((a, b) => a.created - b.created || compareNames(a.object, b.object));
    for (const { object, created } of found.slice(0, MAX_SPLITS)) {
      const { name = '', annotations } = object.metadata ?? {};
      const failover = writtenFailover(object);
      const read = this.#readSplit(object);
      if (read instanceof NotValid) {
        problems.push(`TrafficSplit ${name} is not valid (${read.message}), it is left out`);
        continue;
      }
      const { policy, problems: wrong } = readFailoverPolicy(readAnnotation(annotations, FAILOVER_POLICY));
      problems.push(...wrong.map((one) => `TrafficSplit ${name}: ${one}`));
      const failUnavailable = policy.onUnavailable === 'fail';
      splits.push({ ...read, name, created, failUnavailable, ...(failover && { failover }) });
    }
    return { splits, problems };
  }

  /** Whether a ReferenceGrant of the Service's namespace lets an object refer to it. */
  granted(from: Referrer, service: { readonly namespace: string; readonly name: string }): boolean {
    return this.#grants.in(service.namespace).some((object) => {
      const grant = this.#readGrant(object);
      if (grant instanceof NotValid) return false;
      return (
        grant.from.some(
          ({ group, kind, namespace }) =>
            group === from.group && kind === from.kind && namespace === from.namespace,
        ) &&
        grant.to.some(
          ({ group, kind, name }) =>
            (group === '' || group === 'core') &&
            kind === 'Service' &&
            (name === undefined || name === service.name),
        )
      );
    });
  }

  #kinds(): readonly OptionalKind[] {
    return [this.#splits, this.#grants, ...this.#routes.map(({ kind }) => kind)];
  }

  /**
   * @param services the Services that an object is about; absent: it is looked up otherwise
   * @param onStatus instead of `onService` where nothing of an object has changed that is followed
   */
  #kind<T extends KubeObject>(
    resource: { readonly group: string; readonly kind: string; readonly plural: string },
    services?: (object: T) => string[],
    onStatus?: (key: string) => void,
  ): WatchedKind<T> {
    const kind = new WatchedKind<T>(
      this.#options,
      { ...resource, namespaced: true },
      {
        onSynced: () => this.#options.onState(),
        // Routes of ingress gateways are none of ours, however many there are.
        transform: (object) => (services?.(object).length === 0 ? undefined : object),
        ...(services === undefined ? {} : { indexes: { [BY_SERVICE]: services } }),
      },
    );
    if (services !== undefined)
      kind.store.subscribe(`routing: ${resource.plural}.${resource.group}`, (change) => {
        const { key: own, object, previous } = change;
        if (onStatus !== undefined && change.type === 'updated' && isSameWord(object, previous))
          return onStatus(own);
        const about = new Set([...services(object), ...(previous === undefined ? [] : services(previous))]);
        for (const key of about) this.#options.onService(key);
      });
    return kind;
  }

  #splitServices(split: TrafficSplit): string[] {
    // One that cannot be read is still found by its Service, so that what is wrong is said there.
    const { service } = (split.spec ?? {}) as { readonly service?: unknown };
    return typeof service === 'string'
      ? [keyOf({ namespace: split.metadata?.namespace ?? '', name: service })]
      : [];
  }

  #read({ kind, group }: RouteSource, object: Route): ReadRoute {
    let read = this.#readRoutes.get(object);
    if (read === undefined) this.#readRoutes.set(object, (read = readRoute(kind, group, object)));
    return read;
  }

  #readSplit(object: TrafficSplit): ReadSplit | NotValid {
    let read = this.#readSplits.get(object);
    if (read === undefined)
      this.#readSplits.set(object, (read = orProblem(() => readTrafficSplit(object.spec))));
    return read;
  }

  #readGrant(object: ReferenceGrant): ReadGrant | NotValid {
    let read = this.#readGrants.get(object);
    if (read === undefined)
      this.#readGrants.set(object, (read = orProblem(() => readReferenceGrant(object.spec))));
    return read;
  }
}

/**
 * Keys of the Services of its own namespace that are parents of a route. Others are for clients in the
 * route's namespace (consumer routes, GEP-1324), and those of a gateway are in another cluster.
 */
function routeServices({ spec, metadata }: Route): string[] {
  const own = metadata?.namespace ?? '';
  const parents = serviceParents(spec, own).filter(({ namespace }) => namespace === own);
  return [...new Set(parents.map(keyOf))];
}

/** Whether an object says the same as before: API servers count the versions of a `spec` (`generation`). */
function isSameWord({ metadata: now }: KubeObject, before: KubeObject | undefined): boolean {
  const then = before?.metadata;
  return (
    now?.generation !== undefined &&
    now.generation === then?.generation &&
    now.uid === then.uid &&
    isDeepStrictEqual(now.annotations, then.annotations)
  );
}

/** Milliseconds since the epoch; 0: it does not say. */
function createdAt({ metadata }: KubeObject): number {
  const created = metadata?.creationTimestamp;
  return created === undefined ? 0 : new Date(created).getTime() || 0;
}

function compareNames({ metadata: a }: KubeObject, { metadata: b }: KubeObject): number {
  const [left, right] = [a?.name ?? '', b?.name ?? ''];
  return left < right ? -1 : Number(left > right);
}

function orProblem<T>(read: () => T): T | NotValid {
  try {
    return read();
  } catch (error) {
    if (error instanceof NotValid) return error;
    throw error;
  }
}
