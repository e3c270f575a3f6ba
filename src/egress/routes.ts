import type { V1Service } from '@kubernetes/client-node';
import {
  CLUSTER_NAME_LABEL,
  DATA_PATH,
  EGRESS_PORTS,
  MIRRORED_SERVICE_LABEL,
  REMOTE_SERVICE_FQ_NAME,
} from '../base/names.ts';
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
  /** `namespace/mirror:port`, for logs and metrics. */
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
}

/** The routes that mirrors and Links ask for, by the port they listen on. Pure; whatever is incomplete gives no route. */
export function routesOf(mirrors: readonly V1Service[], links: readonly LinkFields[]): Map<number, Route> {
  const gateways = new Map(links.map((link) => [link.spec?.targetClusterName ?? '', gatewayOf(link)]));
  const routes = new Map<number, Route>();
  // Two mirrors with one port are a matter of moments, until the controller gives one of them another; the older one keeps it.
  const byAge = [...mirrors].sort((a, b) => (ageKey(a) < ageKey(b) ? -1 : 1));
  for (const mirror of byAge) {
    for (const route of mirrorRoutes(mirror, gateways)) {
      if (!routes.has(route.listenPort)) routes.set(route.listenPort, route);
    }
  }
  return routes;
}

function mirrorRoutes(
  mirror: V1Service,
  gateways: ReadonlyMap<string, Route['gateway'] | undefined>,
): Route[] {
  const { labels, annotations } = mirror.metadata ?? {};
  const gateway = gateways.get(labels?.[CLUSTER_NAME_LABEL] ?? '');
  const name = annotations?.[REMOTE_SERVICE_FQ_NAME];
  const relayed = labels?.[MIRRORED_SERVICE_LABEL] === 'true' && annotations?.[DATA_PATH] === 'relay';
  if (!relayed || gateway === undefined || name === undefined) return [];
  return portsOf(annotations).map(([port, listenPort]) => ({
    label: labelOf(mirror, port),
    listenPort,
    name,
    port,
    protocol: protocolOf(mirror, port),
    gateway,
  }));
}

function gatewayOf({ spec }: LinkFields): Route['gateway'] | undefined {
  const addresses = [...new Set((spec?.gatewayAddress ?? '').split(',').map((item) => item.trim()))].filter(
    (item) => item !== '',
  );
  const port = Number(spec?.gatewayPort);
  const identity = spec?.gatewayIdentity ?? '';
  return addresses.length > 0 && port >= 1 && port <= 65_535 && identity !== ''
    ? { addresses, port, identity }
    : undefined;
}

function portsOf(annotations: Readonly<Record<string, string>> | undefined): [number, number][] {
  try {
    const value: unknown = JSON.parse(annotations?.[EGRESS_PORTS] ?? '{}');
    return Object.entries((value ?? {}) as Record<string, unknown>)
      .map(([port, listenPort]): [number, number] => [Number(port), Number(listenPort)])
      .filter(([port, listenPort]) => isPort(port) && isPort(listenPort));
  } catch {
    return [];
  }
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65_535;
}

function labelOf(mirror: V1Service, port: number): string {
  return `${mirror.metadata?.namespace ?? ''}/${mirror.metadata?.name ?? ''}:${port}`;
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

function ageKey({ metadata }: V1Service): string {
  const created = metadata?.creationTimestamp;
  return `${created === undefined ? '~' : new Date(created).toISOString()} ${metadata?.uid ?? ''}`;
}
