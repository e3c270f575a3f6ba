import { isDeepStrictEqual } from 'node:util';
import { GroupLeaf } from '../../proxy/routing/group-leaf.ts';
import type { LeafBackend } from '../../proxy/routing/leaf-target.ts';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { GatewayEndpoint } from '../gateways/gateway-pool-options.ts';
import { PerProtocol } from '../gateways/per-protocol.ts';
import { RouteGateway, type RouteGatewayOptions } from '../gateways/route-gateway.ts';
import { GroupGateways } from '../gateways/route-gateways.ts';
import type { ApexBackend, RouteMember } from '../routes/route.ts';

/** What serves the requests for one backend of an apex. */
export interface Lead {
  /** By the session protocol of the client; the same one for as long as it lives. */
  target(protocol: SessionProtocol): LeafBackend;
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
    // It is one of several, as a member of a group is (`isMember`).
    const member: RouteMember = { ...to.gateway, cluster: to.cluster, label };
    return gatewayLead(backend, new RouteGateway(member, options));
  }
  // The protocol is what the Service itself declares: no other stands before it.
  const pods = options.local?.open(to.local, label, undefined);
  if (pods === undefined) return undefined;
  const { target } = pods;
  return {
    target: () => target,
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
  return lead(gateway, (protocol) => gateway.target(protocol), {
    provenMs: () => undefined,
    follow: (now) => isDeepStrictEqual(now.to, to),
  });
}

/** To the clusters of a federated Service. */
function groupLead(gateways: GroupGateways): Lead {
  const leaves = new PerProtocol<GroupLeaf>();
  const leaf = (protocol: SessionProtocol) => new GroupLeaf(gateways.target(protocol));
  return lead(gateways, (protocol) => leaves.of(protocol, leaf), {
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
  target: Lead['target'],
  own: Pick<Lead, 'provenMs' | 'follow'>,
): Lead {
  return {
    ...own,
    target,
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
