import type { V1Service } from '@kubernetes/client-node';
import { readAnnotation } from '../base/annotations.ts';
import { readEgressPorts } from '../base/egress-ports.ts';
import {
  ALLOWED_NAMESPACES,
  CLUSTER_NAME_LABEL,
  DATA_PATH,
  DEFAULT_CLUSTER_DOMAIN,
  EGRESS_PORTS,
  FEDERATED_EGRESS_PORTS_GROUP,
  MIRROR_GATEWAY,
  MIRRORED_SERVICE_LABEL,
  REMOTE_DISCOVERY,
  REMOTE_SERVICE_FQ_NAME,
} from '../base/names.ts';
import type { RequestRules } from '../base/request-rules.ts';
import { servicePortProtocol } from '../discovery/port-protocol.ts';
import { readRequestAnnotations } from '../discovery/request-annotations.ts';
import type { PortProtocol } from '../base/protocol.ts';
import { readAllowedNamespaces } from './clients/relay-rule.ts';

/** A Link as far as the egress reads it; every field may be missing or wrong. */
export interface LinkFields {
  readonly metadata?: { readonly name?: string };
  readonly spec?: {
    readonly targetClusterName?: string;
    readonly targetClusterDomain?: string;
    readonly gatewayAddress?: string;
    readonly gatewayPort?: string;
    readonly gatewayIdentity?: string;
  };
}

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
  readonly gateway: {
    readonly addresses: readonly string[];
    readonly port: number;
    readonly identity: string;
  };
  /** Retries and timeouts that the mirror asks for. */
  readonly requests?: RequestRules;
  /** Namespaces whose clients may use it beside the mirror's own, `*` = all; absent = the egress' default. */
  readonly allowedNamespaces?: readonly string[];
}

/** A target cluster as its Link describes it. */
interface TargetCluster {
  readonly domain: string;
  /** Undefined where the Link names none, or not completely. */
  readonly gateway: Route['gateway'] | undefined;
}

type TargetClusters = ReadonlyMap<string, TargetCluster>;

/**
 * The routes that mirrors, endpoint mirrors, federated Services and Links ask for, by the port they listen on. Pure; whatever is incomplete gives
 * no route and harms no other.
 */
export function routesOf(mirrors: readonly V1Service[], links: readonly LinkFields[]): Map<number, Route> {
  const clusters = clustersOf(links);
  const routes = new Map<number, Route>();
  // Two mirrors with one port are a matter of moments, until the controller gives one of them another; the older one keeps it.
  const byAge = [...mirrors].sort((a, b) => (ageKey(a) < ageKey(b) ? -1 : 1));
  for (const mirror of byAge) {
    for (const route of serviceRoutes(mirror, clusters)) {
      if (!routes.has(route.listenPort)) routes.set(route.listenPort, route);
    }
  }
  return routes;
}

function clustersOf(links: readonly LinkFields[]): TargetClusters {
  const clusters = new Map<string, TargetCluster>();
  for (const { spec } of links) {
    const name = spec?.targetClusterName ?? '';
    const gateway = gatewayOf(spec);
    // Of two Links for one cluster, the incomplete one takes nothing from the other.
    if (name === '' || (gateway === undefined && clusters.has(name))) continue;
    clusters.set(name, { domain: spec?.targetClusterDomain || DEFAULT_CLUSTER_DOMAIN, gateway });
  }
  return clusters;
}

function serviceRoutes(service: V1Service, clusters: TargetClusters): Route[] {
  const labels = service.metadata?.labels;
  if (labels?.[MIRRORED_SERVICE_LABEL] !== 'true') return [];
  const cluster = labels[CLUSTER_NAME_LABEL];
  return cluster === undefined
    ? federatedRoutes(service, clusters)
    : mirrorRoutes(service, clusters.get(cluster));
}

/** A mirror of one cluster's Service, or of one host of a headless Service: the annotation says which. */
function mirrorRoutes(mirror: V1Service, cluster: TargetCluster | undefined): Route[] {
  const annotations = mirror.metadata?.annotations;
  const own = readAnnotation(annotations, MIRROR_GATEWAY);
  // The Link's gateway cannot stand in for another one that is unreadable or has no address: it may not serve this export.
  const gateway = own === undefined ? cluster?.gateway : readGateway(own);
  const name = readAnnotation(annotations, REMOTE_SERVICE_FQ_NAME);
  if (cluster === undefined || gateway === undefined || !name) return [];
  if (readAnnotation(annotations, DATA_PATH) !== 'relay') return [];
  return portRoutes(mirror, readAnnotation(annotations, EGRESS_PORTS), { name, gateway, suffix: '' });
}

/** A federated Service has, for each cluster that it is relayed to, ports of that cluster's own. */
function federatedRoutes(service: V1Service, clusters: TargetClusters): Route[] {
  const { namespace = '', annotations = {} } = service.metadata ?? {};
  return [...membersOf(readAnnotation(annotations, REMOTE_DISCOVERY) ?? '')].flatMap(
    ([clusterName, member]) => {
      const cluster = clusters.get(clusterName);
      if (cluster?.gateway === undefined) return [];
      return portRoutes(
        service,
        readAnnotation(annotations, `${FEDERATED_EGRESS_PORTS_GROUP}/${clusterName}`),
        {
          name: `${member}.${namespace}.svc.${cluster.domain}`,
          gateway: cluster.gateway,
          suffix: `@${clusterName}`,
        },
      );
    },
  );
}

/** Cluster → name of its member, of a list `<svc>@<cluster>,…`; of two members of one cluster the one that joined first. */
function membersOf(list: string): Map<string, string> {
  const members = new Map<string, string>();
  for (const entry of list.split(',')) {
    const [, member, cluster] = /^([^@]+)@([^@]+)$/.exec(entry.trim()) ?? [];
    if (member !== undefined && cluster !== undefined && !members.has(cluster)) members.set(cluster, member);
  }
  return members;
}

function portRoutes(
  service: V1Service,
  egressPorts: string | undefined,
  to: { readonly name: string; readonly gateway: Route['gateway']; readonly suffix: string },
): Route[] {
  const { namespace = '', name = '', annotations } = service.metadata ?? {};
  const { requests } = readRequestAnnotations(annotations);
  const { namespaces: allowedNamespaces } = readAllowedNamespaces(annotations?.[ALLOWED_NAMESPACES]);
  return Object.entries(readEgressPorts(egressPorts)).map(([text, listenPort]) => {
    const port = Number(text);
    return {
      label: `${namespace}/${name}${to.suffix}:${port}`,
      namespace,
      listenPort,
      name: to.name,
      port,
      protocol: servicePortProtocol(service, port),
      gateway: to.gateway,
      ...(requests === undefined ? {} : { requests }),
      ...(allowedNamespaces === undefined ? {} : { allowedNamespaces }),
    };
  });
}

function gatewayOf(spec: LinkFields['spec']): Route['gateway'] | undefined {
  const addresses = (spec?.gatewayAddress ?? '').split(',').map((item) => item.trim());
  return completeGateway(addresses, Number(spec?.gatewayPort), spec?.gatewayIdentity);
}

/** A gateway that a mirror names itself. */
function readGateway(text: string): Route['gateway'] | undefined {
  try {
    const value = JSON.parse(text) as { addresses?: unknown; port?: unknown; identity?: unknown } | null;
    const { addresses, port, identity } = value ?? {};
    return Array.isArray(addresses) ? completeGateway(addresses, port, identity) : undefined;
  } catch {
    return undefined;
  }
}

function completeGateway(
  hosts: readonly unknown[],
  port: unknown,
  identity: unknown,
): Route['gateway'] | undefined {
  if (!hosts.every((host) => typeof host === 'string')) return undefined;
  const addresses = [...new Set(hosts)].filter((host) => host !== '');
  if (addresses.length === 0 || !isPort(port) || typeof identity !== 'string' || identity === '')
    return undefined;
  return { addresses, port, identity };
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

function ageKey({ metadata }: V1Service): string {
  const created = metadata?.creationTimestamp;
  return `${created === undefined ? '~' : new Date(created).toISOString()} ${metadata?.uid ?? ''}`;
}
