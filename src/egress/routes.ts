import type { V1Service } from '@kubernetes/client-node';
import {
  type EgressClaim,
  holderOf,
  isFreed,
  type RecordedGateway,
  type RecordEntry,
} from '../base/egress-record.ts';
import type { RequestRules } from '../base/request-rules.ts';
import { readRequestAnnotations } from '../discovery/request-annotations.ts';
import type { SessionProtocol } from '../proxy/transport-header.ts';

/** A Link as far as the egress reads it; every field may be missing or wrong. */
export interface LinkFields {
  readonly metadata?: { readonly name?: string };
  readonly spec?: {
    readonly targetClusterName?: string;
    readonly gatewayAddress?: string;
    readonly gatewayPort?: string;
    readonly gatewayIdentity?: string;
  };
}

/** One port of the egress: what arrives on it goes to one port of one Service of one cluster. */
export interface Route {
  /** `namespace/mirror:port`, or `namespace/federated@cluster:port`, for logs and metrics. */
  readonly label: string;
  readonly listenPort: number;
  /** What the transport header says. */
  readonly name: string;
  readonly port: number;
  /** Undefined: looked at on each connection. */
  readonly protocol: SessionProtocol | undefined;
  readonly gateway: {
    readonly addresses: readonly string[];
    readonly port: number;
    readonly identity: string;
  };
  /** Retries and timeouts that the mirror asks for. */
  readonly requests?: RequestRules;
}

/** What the routes are made of. */
export interface RouteFacts {
  /** The controller's record: which port leads where. */
  readonly record: ReadonlyMap<number, RecordEntry>;
  /** The Services that the record names, by `namespace/name`, as far as they are there: what they say of protocols and requests concerns their own clients only. */
  readonly mirror: (key: string) => V1Service | undefined;
  /** Links by `namespace/name`. */
  readonly link: (key: string) => LinkFields | undefined;
}

/**
 * The routes that the record and the Links ask for, by the port they listen on. What stands on Services opens no port and leads nowhere else (ADR 0024). Pure; whatever is incomplete gives
 * no route and harms no other.
 */
export function routesOf(facts: RouteFacts): Map<number, Route> {
  const routes = new Map<number, Route>();
  for (const [listenPort, entry] of facts.record) {
    const route = isFreed(entry) ? undefined : routeOf(listenPort, entry, facts);
    if (route !== undefined) routes.set(listenPort, route);
  }
  return routes;
}

function routeOf(listenPort: number, claim: EgressClaim, { mirror, link }: RouteFacts): Route | undefined {
  const spec = link(claim.link)?.spec;
  // A Link that names another cluster by now knows no gateway of the one that was meant.
  if (spec?.targetClusterName?.trim() !== claim.cluster) return undefined;
  const gateway = claim.gateway === undefined ? gatewayOf(spec) : ownGateway(claim.gateway);
  if (gateway === undefined) return undefined;
  const service = mirror(claim.mirror);
  const { requests } = readRequestAnnotations(service?.metadata?.annotations);
  return {
    label: `${holderOf(claim)}:${claim.port}`,
    listenPort,
    name: claim.target,
    port: claim.port,
    protocol: service === undefined ? undefined : protocolOf(service, claim.port),
    gateway,
    ...(requests === undefined ? {} : { requests }),
  };
}

/** The Link's gateway cannot stand in for another one that has no address: it may not serve this export. */
function ownGateway(recorded: RecordedGateway | null): Route['gateway'] | undefined {
  return recorded === null
    ? undefined
    : completeGateway(recorded.addresses, recorded.port, recorded.identity);
}

function gatewayOf(spec: LinkFields['spec']): Route['gateway'] | undefined {
  const addresses = (spec?.gatewayAddress ?? '').split(',').map((item) => item.trim());
  return completeGateway(addresses, Number(spec?.gatewayPort), spec?.gatewayIdentity);
}

function completeGateway(
  hosts: readonly string[],
  port: number,
  identity: string | undefined,
): Route['gateway'] | undefined {
  const addresses = [...new Set(hosts)].filter((host) => host !== '');
  if (addresses.length === 0 || !isPort(port) || identity === undefined || identity === '') return undefined;
  return { addresses, port, identity };
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65_535;
}

const PROTOCOLS: ReadonlyMap<string, SessionProtocol> = new Map([
  ['http', 'http1'],
  ['kubernetes.io/ws', 'http1'],
  ['tcp', 'opaque'],
  ['https', 'opaque'],
  ['tls', 'opaque'],
  ['linkerd.io/opaque', 'opaque'],
]);

/** `appProtocol` decides where it says something; opaque ports are those of Linkerd's annotation. */
function protocolOf(mirror: V1Service, port: number): SessionProtocol | undefined {
  const opaque = mirror.metadata?.annotations?.['config.linkerd.io/opaque-ports'] ?? '';
  if (opaque.split(',').some((item) => item.trim() === String(port))) return 'opaque';
  const appProtocol = mirror.spec?.ports?.find((candidate) => candidate.port === port)?.appProtocol;
  return PROTOCOLS.get(appProtocol ?? '');
}
