import { isDeepStrictEqual } from 'node:util';
import { GroupLeaf } from '../../proxy/routing/group-leaf.ts';
import type { LeafBackend } from '../../proxy/routing/leaf-target.ts';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { GatewayEndpoint } from '../gateways/gateway-pool-options.ts';
import { RouteGateway, type RouteGatewayOptions } from '../gateways/route-gateway.ts';
import { GroupGateways } from '../gateways/route-gateways.ts';
import type { ApexBackend, RouteMember } from '../routes/route.ts';

/** What serves the requests for one backend of an apex. */
export interface Lead {
  /** By the session protocol of the client; the same ones for as long as it lives. */
  readonly targets: Readonly<Record<SessionProtocol, LeafBackend>>;
  /** Gateways' currently known addresses. */
  readonly endpoints: GatewayEndpoint[];
  readonly namesClients: boolean;
  /** As `RouteGateways.provenMs`. */
  provenMs(cluster: string): number | undefined;
  start(): void;
  stop(): void;
  /** Takes over what is said of the backend now; false: that is something else, and needs another lead. */
  follow(backend: ApexBackend): boolean;
  /** Releases the connection pools; only when no flow is left that may need a new connection. */
  release(): void;
  /** Sends nothing new; flows that are under way go on. */
  close(): void;
}

/** @returns undefined: pods of this cluster, of which nothing is known in this egress */
export function openLead(backend: ApexBackend, options: RouteGatewayOptions): Lead | undefined {
  const { to, label } = backend;
  if ('group' in to) return groupLead(new GroupGateways(to.group, options));
  if ('gateway' in to) {
    // It is one of several, as a member of a group is: a drill may take its cluster for dead.
    const member: RouteMember = { ...to.gateway, cluster: to.cluster };
    return gatewayLead(backend, new RouteGateway(member, label, options));
  }
  // The protocol is what the Service itself declares: no other stands before it.
  const pods = options.local?.open(to.local, label, undefined);
  if (pods === undefined) return undefined;
  const { target } = pods;
  return {
    targets: { http1: target, http2: target, opaque: target },
    endpoints: [],
    namesClients: false,
    provenMs: () => undefined,
    start: () => undefined,
    stop: () => undefined,
    follow: (now) => isDeepStrictEqual(now.to, to),
    release: () => pods.close(),
    close: () => pods.close(),
  };
}

/** To the gateway of one cluster. */
function gatewayLead({ to }: ApexBackend, gateway: RouteGateway): Lead {
  // Retries and timeouts are those of the rules.
  gateway.follow(undefined);
  return lead(gateway, gateway.targets, {
    provenMs: () => undefined,
    follow: (now) => isDeepStrictEqual(now.to, to),
  });
}

/** To the clusters of a federated Service. */
function groupLead(gateways: GroupGateways): Lead {
  const { http1, http2, opaque } = gateways.targets;
  const targets = {
    http1: new GroupLeaf(http1),
    http2: new GroupLeaf(http2),
    opaque: new GroupLeaf(opaque),
  };
  return lead(gateways, targets, {
    provenMs: (cluster) => gateways.provenMs(cluster),
    follow: ({ to }) => {
      if (!('group' in to)) return false;
      gateways.follow(to.group);
      return true;
    },
  });
}

function lead(
  gateways: Pick<RouteGateway, 'endpoints' | 'namesClients' | 'start' | 'stop' | 'release' | 'close'>,
  targets: Lead['targets'],
  own: Pick<Lead, 'provenMs' | 'follow'>,
): Lead {
  return {
    ...own,
    targets,
    get endpoints() {
      return gateways.endpoints;
    },
    get namesClients() {
      return gateways.namesClients;
    },
    start: () => gateways.start(),
    stop: () => gateways.stop(),
    release: () => gateways.release(),
    close: () => gateways.close(),
  };
}
