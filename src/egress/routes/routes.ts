import { keyOf } from '../../api/kubernetes/resource.ts';
import { effectivePolicy, type ResolvedPolicy } from '../../policy/effective-policy.ts';
import { allowedNamespacesText, readAllowedNamespaces } from '../../api/mirror/allowed-namespaces.ts';
import type { V1Service } from '@kubernetes/client-node';
import { gatewayOfSpec, type LinkGateway, type LinkObject } from '../../api/link/link-schema.ts';
import { eachAlone, surface } from '../../base/isolation.ts';
import {
  type EgressClaim,
  holderOf,
  isFreed,
  type RecordedGateway,
  type RecordEntry,
} from '../../api/egress/egress-record.ts';
import type { RequestRules } from '../../policy/requests/request-rules.ts';
import { type PortProtocol, servicePortProtocol } from '../../api/ports/port-protocol.ts';

/** One port of the egress: what arrives on it goes to one port of one Service of one cluster. */
export interface Route {
  /** `namespace/mirror:port`, or `namespace/federated@cluster:port`, for logs and metrics. */
  readonly label: string;
  /** Of the mirror. */
  readonly namespace: string;
  readonly listenPort: number;
  /** What the transport header says. */
  readonly name: string;
  readonly port: number;
  /** What the mirror says that its port speaks; undefined = nothing, each connection is looked at. */
  readonly protocol: PortProtocol | undefined;
  readonly gateway: LinkGateway;
  /** Retries and timeouts that the mirror asks for. */
  readonly requests?: RequestRules;
  /** Namespaces whose clients may use it beside the mirror's own, `*` = all; absent = the egress' default. */
  readonly allowedNamespaces?: readonly string[];
}

/** What the routes are made of. */
export interface RouteFacts {
  /** The controller's record: which port leads where. */
  readonly record: ReadonlyMap<number, RecordEntry>;
  /**
   * The Services that the record names, by `namespace/name`, as far as they are there: what they say of
   * protocols and requests concerns their own clients only.
   */
  readonly mirror: (key: string) => V1Service | undefined;
  /** Links by `namespace/name`; every field may be missing or wrong. */
  readonly link: (key: string) => LinkObject | undefined;
  /** The route that a port had before: for one that cannot be made because of a mistake of ours. */
  readonly former?: (listenPort: number) => Route | undefined;
}

/**
 * The routes that the record and the Links ask for, by the port they listen on. What stands on Services opens
 * no port and leads nowhere else (ADR 0024). Pure; whatever is incomplete gives no route and harms no other.
 * One at which an exception comes stays as it was.
 */
export function routesOf(facts: RouteFacts): Map<number, Route> {
  const routes = new Map<number, Route>();
  const read = ([listenPort, entry]: [number, RecordEntry]) => {
    const route = isFreed(entry) ? undefined : routeOf(listenPort, entry, facts);
    if (route !== undefined) routes.set(listenPort, route);
  };
  eachAlone('routes of the record', facts.record, read, (error, [listenPort]) => {
    surface(error, 'routes of the record', { port: String(listenPort) });
    const former = facts.former?.(listenPort);
    if (former !== undefined) routes.set(listenPort, former);
  });
  return routes;
}

function routeOf(listenPort: number, claim: EgressClaim, { mirror, link }: RouteFacts): Route | undefined {
  const spec = link(claim.link)?.spec;
  // A Link that names another cluster by now knows no gateway of the one that was meant.
  if (spec?.targetClusterName?.trim() !== claim.cluster) return undefined;
  const gateway = claim.gateway === undefined ? gatewayOfSpec(spec) : ownGateway(claim.gateway);
  if (gateway === undefined) return undefined;
  const service = mirror(claim.mirror);
  return {
    label: `${holderOf(claim)}:${claim.port}`,
    namespace: claim.mirror.slice(0, claim.mirror.indexOf('/')),
    listenPort,
    name: claim.target,
    port: claim.port,
    protocol: service === undefined ? undefined : servicePortProtocol(service, claim.port),
    gateway,
    ...saidOfClients(service),
  };
}

/**
 * What a mirror says of its own clients: whoever may write in its namespace decides about them, and about
 * nothing else.
 */
function saidOfClients(mirror: V1Service | undefined): Pick<Route, 'requests' | 'allowedNamespaces'> {
  // Nothing leads here where there is no mirror, and what it, or its Namespace, has said of clients is not
  // known: nobody else is let in.
  if (mirror === undefined) return { allowedNamespaces: [] };
  const annotations = mirror.metadata?.annotations;
  const { requests } = mirrorPolicy(mirror).policy;
  const { namespaces } = readAllowedNamespaces(allowedNamespacesText(annotations));
  return {
    ...(requests === undefined ? {} : { requests }),
    ...(namespaces === undefined ? {} : { allowedNamespaces: namespaces }),
  };
}

/**
 * What a mirror says of the traffic to it, as far as it means something here: where endpoints are ejected,
 * limits kept and faults injected is the gateway.
 */
export function mirrorPolicy(mirror: V1Service): ResolvedPolicy {
  return effectivePolicy({ key: keyOf(mirror), annotations: mirror.metadata?.annotations }, ['requests']);
}

/** The Link's gateway cannot stand in for another one that has no address: it may not serve this export. */
function ownGateway(recorded: RecordedGateway | null): Route['gateway'] | undefined {
  return recorded === null ? undefined : { ...recorded, addresses: [...new Set(recorded.addresses)] };
}
