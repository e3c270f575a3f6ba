import { keyOf } from '../../api/kubernetes/resource.ts';
import {
  effectivePolicy,
  POLICY_PARTS,
  type PolicyPart,
  type ResolvedPolicy,
} from '../../policy/effective-policy.ts';
import { allowedNamespacesText, readAllowedNamespaces } from '../../api/mirror/allowed-namespaces.ts';
import type { V1Service } from '@kubernetes/client-node';
import { gatewayOfSpec, type LinkGateway, type LinkObject } from '../../api/link/link-schema.ts';
import { forEachIsolated, reportContained } from '../../base/isolation.ts';
import {
  type EgressClaim,
  holderOf,
  isFreed,
  type RecordedGateway,
  type RecordEntry,
} from '../../api/egress/egress-record.ts';
import type { RequestRules } from '../../policy/requests/request-rules.ts';
import { type PortProtocol, servicePortProtocol } from '../../api/ports/port-protocol.ts';

/** One port of the egress, which leads to one port of one Service in one cluster. */
export interface Route {
  /** `namespace/mirror:port`, or `namespace/federated@cluster:port`, for logs and metrics. */
  readonly label: string;
  /** Namespace of the mirror. */
  readonly namespace: string;
  readonly listenPort: number;
  /** Service name and port for the transport header. */
  readonly name: string;
  readonly port: number;
  /**
   * Protocol that the mirror declares for its port; undefined = none, so it is detected for each connection.
   */
  readonly protocol: PortProtocol | undefined;
  readonly gateway: LinkGateway;
  /** Retries and timeouts that the mirror asks for. */
  readonly requests?: RequestRules;
  /**
   * Further namespaces whose clients may use it, beside the mirror's own, `*` = all; absent = the Namespace's
   * annotation, or the egress' default.
   */
  readonly allowedNamespaces?: readonly string[];
}

/** The facts that routes are made from. */
export interface RouteFacts {
  /** The controller's record of egress ports, by port. */
  readonly record: ReadonlyMap<number, RecordEntry>;
  /**
   * The existing mirrors by `namespace/name`, for their settings of protocols and requests, which concern
   * their own clients only.
   */
  readonly mirror: (key: string) => V1Service | undefined;
  /** Links by `namespace/name`; every field may be missing or wrong. */
  readonly link: (key: string) => LinkObject | undefined;
  /** The former route of a port, which is kept where making the new one throws. */
  readonly former?: (listenPort: number) => Route | undefined;
}

/**
 * The routes that follow from the record and the Links, by listening port. Annotations of Services open no
 * port and change no destination (ADR 0024). Pure. An incomplete entry gives no route and affects no other; a
 * route whose computation throws stays as it was.
 */
export function routesOf(facts: RouteFacts): Map<number, Route> {
  const routes = new Map<number, Route>();
  const read = ([listenPort, entry]: [number, RecordEntry]) => {
    const route = isFreed(entry) ? undefined : routeOf(listenPort, entry, facts);
    if (route !== undefined) routes.set(listenPort, route);
  };
  forEachIsolated('routes of the record', facts.record, read, (error, [listenPort]) => {
    reportContained(error, 'routes of the record', { port: String(listenPort) });
    const former = facts.former?.(listenPort);
    if (former !== undefined) routes.set(listenPort, former);
  });
  return routes;
}

function routeOf(listenPort: number, claim: EgressClaim, { mirror, link }: RouteFacts): Route | undefined {
  const spec = link(claim.link)?.spec;
  // The Link has been changed to another cluster, so its gateway is not the recorded cluster's.
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

/** A mirror's settings for its own clients, which are for those to decide who may write in its namespace. */
function saidOfClients(mirror: V1Service | undefined): Pick<Route, 'requests' | 'allowedNamespaces'> {
  // Without the mirror its rules about clients are not known, so only its own namespace is admitted.
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
 * What of a mirror's traffic policy means something at the egress: endpoints are ejected, limits kept and
 * faults injected at the gateway. What is followed here has a field in `Route`.
 */
const FOLLOWED: { readonly [P in PolicyPart]: P extends keyof Route ? true : false } = {
  accrual: false,
  limits: false,
  faults: false,
  requests: true,
};
const PARTS = POLICY_PARTS.filter((part) => FOLLOWED[part]);

/** A mirror's traffic policy, as far as it means something at the egress. */
export function mirrorPolicy(mirror: V1Service): ResolvedPolicy {
  return effectivePolicy({ key: keyOf(mirror), annotations: mirror.metadata?.annotations }, PARTS);
}

/**
 * The gateway of its own that an export names; undefined where that has no address. The Link's gateway is no
 * substitute, as it may not serve this export.
 */
function ownGateway(recorded: RecordedGateway | null): Route['gateway'] | undefined {
  return recorded === null ? undefined : { ...recorded, addresses: [...new Set(recorded.addresses)] };
}
