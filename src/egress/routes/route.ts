import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import type { LinkGateway } from '../../api/link/link-schema.ts';
import { LOCAL } from '../../api/names.ts';
import type { PortProtocol } from '../../api/ports/port-protocol.ts';
import { targetKey } from '../../api/ports/target-key.ts';
import type { Routing } from '../../policy/routing/routing.ts';
import type { TargetPlace } from '../../proxy/metrics/exposition-labels.ts';
import type { RequestRules } from '../../policy/requests/request-rules.ts';

/** One port of one Service in one cluster, and the gateway through which it is reached. */
export interface RouteBackend {
  /** Service name and port for the transport header. */
  readonly name: string;
  readonly port: number;
  readonly gateway: LinkGateway;
}

/** What a port of the egress has, whether it leads to one cluster or to several. */
export interface RouteSettings {
  /**
   * `namespace/mirror:port`, `namespace/federated@cluster:port` or, for all members,
   * `namespace/federated:port`; for logs and metrics.
   */
  readonly label: string;
  /** Namespace of the mirror. */
  readonly namespace: string;
  readonly listenPort: number;
  /**
   * Protocol that the mirror declares for its port; undefined = none, so it is detected for each connection.
   */
  readonly protocol: PortProtocol | undefined;
  /** Retries and timeouts that the mirror asks for. */
  readonly requests?: RequestRules;
  /**
   * Further namespaces whose clients may use it, beside the mirror's own, `*` = all; absent = the Namespace's
   * annotation, or the egress' default.
   */
  readonly allowedNamespaces?: readonly string[];
}

/** One port of the egress, which leads to one port of one Service in one cluster. */
export interface SingleRoute extends RouteSettings, RouteBackend {
  /** Name of the cluster; not called as in `RouteMember`, because it is not one of several. */
  readonly targetCluster: string;
}

/** The cluster that a backend is in. */
export function clusterOf(backend: SingleRoute | RouteMember): string {
  return 'cluster' in backend ? backend.cluster : backend.targetCluster;
}

/** One of several: a cluster of a group, or a mirror behind the rules of an apex. */
export interface RouteMember extends RouteBackend {
  readonly cluster: string;
  /** As `memberLabel` makes it, or that of the backend of an apex; for logs and metrics. */
  readonly label: string;
}

/** Whether a backend is one of several, so that another can be turned to when it is lost. */
export function isMember(backend: RouteBackend | RouteMember): backend is RouteMember {
  return 'cluster' in backend;
}

/** One port of a Service of the egress' own cluster. */
export interface LocalService {
  /** Fully qualified, as `TargetSpec.name`. */
  readonly name: string;
  readonly port: number;
}

/** One port of the egress, which leads to the same port of one Service in several clusters (ADR 0036). */
export interface GroupRoute extends RouteSettings {
  /** The federated Service, `namespace/name`. */
  readonly service: string;
  /** One for each cluster, sorted by the clusters' names. */
  readonly members: readonly RouteMember[];
  /** The member of the egress' own cluster; absent: there is none. */
  readonly local?: LocalService;
}

/** A Service that the rules of an apex lead to. */
export interface ApexBackend {
  /** Its `leafKey`. */
  readonly key: string;
  /** `namespace/apex@backend:port`, for logs and metrics. */
  readonly label: string;
  /** Its `namespace/name`. */
  readonly service: string;
  readonly namespace: string;
  /** As `RouteSettings.allowedNamespaces`: whom it lets in, beside those whom the apex does. */
  readonly allowedNamespaces?: readonly string[];
  readonly to: ApexLead;
  /** The drain that the apex alone says of where it leads; absent: none. */
  readonly drain?: FailoverDrain;
}

/**
 * What is behind a backend of an apex: another cluster by its mirror, the clusters of a federated Service, or
 * pods of the egress' own cluster.
 */
export type ApexLead =
  | { readonly cluster: string; readonly gateway: RouteBackend }
  | { readonly group: GroupRoute }
  | { readonly local: LocalService };

/** One port of the egress, which leads where the rules of a user's Service lead (ADR 0040). */
export interface ApexRoute extends RouteSettings {
  /** The Service, `namespace/name`. */
  readonly apex: string;
  readonly routing: Routing;
  /** What the groups of its rules are called, in their order (`groupNames`); for metrics. */
  readonly groups: readonly string[];
  /** One for each Service in the rules whose reference is right. */
  readonly backends: readonly ApexBackend[];
  /** How many more there would be, were they not too many for its namespace; absent: none. */
  readonly leftOut?: number;
}

/** Where the connections that arrive at one port of the egress are relayed to. */
export type Route = SingleRoute | GroupRoute | ApexRoute;

/** Whether a route leads where rules say. */
export function isApex(route: Route): route is ApexRoute {
  return 'apex' in route;
}

/** Whether a route leads to several clusters. */
export function isGroup(route: Route): route is GroupRoute {
  return 'members' in route;
}

/** The label of one member of a group, `namespace/federated@cluster:port`. */
export function memberLabel(label: string, member: string): string {
  const at = label.lastIndexOf(':');
  // Joined, so that it is one piece of memory: there is one for each cluster of each Service.
  return [label.slice(0, at), '@', member, label.slice(at)].join('');
}

/** A label under which flows are counted, and where they go; undefined: not to one other cluster. */
type Labelled = readonly [label: string, place: TargetPlace | undefined];

/** All labels under which a route's requests and connections are counted. */
export function labelsOf(route: Route): Labelled[] {
  const { label } = route;
  if (isApex(route)) return [[label, undefined], ...route.backends.flatMap(labelsOfBackend)];
  if (!isGroup(route)) return [[label, { cluster: route.targetCluster, name: route.name }]];
  const members = route.members.map((one): Labelled => [one.label, one]);
  const local: Labelled[] = route.local === undefined ? [] : [[memberLabel(label, LOCAL), undefined]];
  return [[label, undefined], ...members, ...local];
}

function labelsOfBackend({ label, to }: ApexBackend): Labelled[] {
  if ('group' in to) return labelsOf(to.group);
  return [[label, 'gateway' in to ? { cluster: to.cluster, name: to.gateway.name } : undefined]];
}

/** The targets of a route as `name:port`, for logs. */
export function targetsOf(route: Route): string {
  if (isApex(route)) return route.backends.map(({ key }) => key).join(', ');
  const backends: readonly LocalService[] = isGroup(route)
    ? [...(route.local === undefined ? [] : [route.local]), ...route.members]
    : [route];
  return backends.map(({ name, port }) => targetKey(name, port)).join(', ');
}
