import { isDeepStrictEqual } from 'node:util';
import type { V1Service } from '@kubernetes/client-node';
import { gatewayOfSpec, type LinkObject, type LinkSpec } from '../../api/link/link-schema.ts';
import { forEachIsolated, reportContained } from '../../base/isolation.ts';
import {
  ANY_MEMBER,
  type ApexClaim,
  type EgressClaim,
  type GroupClaim,
  holderOf,
  isApexClaim,
  isClaim,
  isFreed,
  isGroupClaim,
  type RecordedGateway,
  type RecordEntry,
} from '../../api/egress/egress-record.ts';
import { localMemberOf, memberName } from '../../api/mirror/federated-members.ts';
import { fullyQualifiedName } from '../../api/mirror/mirror-names.ts';
import { LOCAL_DOMAIN, routeSettings } from './route-settings.ts';
import type { RoutedService } from '../../discovery/apex-routing.ts';
import { ApexLeads, apexRoute } from './apex-routes.ts';
import {
  type GroupRoute,
  type LocalService,
  memberLabel,
  type Route,
  type RouteBackend,
  type RouteMember,
  type RouteSettings,
  type SingleRoute,
} from './route.ts';

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
  /**
   * A user's Service that routes, a split or tiers are about, or a federated one with such; undefined: there
   * is none, or nothing is.
   */
  readonly apex?: (key: string) => RoutedService | undefined;
  /** The former route of a port, which is kept where nothing has changed, or making the new one throws. */
  readonly former?: (listenPort: number) => Route | undefined;
}

/**
 * The routes that follow from the record and the Links, by listening port. Annotations of Services open no
 * port and change no destination (ADR 0024). Pure. An incomplete entry gives no route and affects no other; a
 * route whose computation throws stays as it was.
 */
export function routesOf(facts: RouteFacts): Map<number, Route> {
  const routes = new Map<number, Route>();
  const members = membersOf(facts.record);
  const group = (listenPort: number, claim: Pick<GroupClaim, 'mirror' | 'port'>) =>
    groupRoute(listenPort, claim, members, facts);
  let leads: ApexLeads | undefined;
  const apex = (listenPort: number, claim: ApexClaim | GroupClaim) => {
    const { mirror, link } = facts;
    leads ??= new ApexLeads(facts.record, {
      isRouted: (key) => facts.apex?.(key) !== undefined,
      mirror,
      gateway: (one) => backendOf(one, { link }),
      group,
    });
    return apexRoute(listenPort, claim, facts.apex?.(claim.mirror), leads);
  };
  const read = ([listenPort, entry]: [number, RecordEntry]) => {
    let route: Route | undefined;
    if (isClaim(entry)) route = singleRoute(listenPort, entry, facts);
    else if (isApexClaim(entry)) route = apex(listenPort, entry);
    // Rules about a federated Service come before its clusters, to which they may lead.
    else if (isGroupClaim(entry)) route = apex(listenPort, entry) ?? group(listenPort, entry);
    else if (isGroupEntry(entry)) route = group(listenPort, entry);
    if (route === undefined) return;
    // The same object: whoever serves it keeps the one that it has, and both would be kept then.
    const former = facts.former?.(listenPort);
    routes.set(listenPort, former !== undefined && isDeepStrictEqual(route, former) ? former : route);
  };
  // Those of an apex that comes later may be too many for its namespace: always the same ones.
  const apexes = [...facts.record].filter(([, entry]) => isApexClaim(entry)).sort(([a], [b]) => a - b);
  const all = [...[...facts.record].filter(([, entry]) => !isApexClaim(entry)), ...apexes];
  forEachIsolated('routes of the record', all, read, (error, [listenPort]) => {
    reportContained(error, 'routes of the record', { port: String(listenPort) });
    const former = facts.former?.(listenPort);
    if (former !== undefined) routes.set(listenPort, former);
  });
  return routes;
}

/** The route of a mirror of one cluster; undefined where it leads nowhere. */
function singleRoute(listenPort: number, claim: EgressClaim, facts: RouteFacts): SingleRoute | undefined {
  const backend = backendOf(claim, facts);
  if (backend === undefined) return undefined;
  const settings = settingsOf(listenPort, holderOf(claim), claim, facts);
  return { ...settings, ...backend, targetCluster: claim.cluster };
}

/**
 * Whether a port leads to a group, or did until a moment ago. A freed one is kept from others for a while
 * (`FREED_HOLD_MS`), in which it still leads to the member of this cluster, if there is one: its slices lead
 * there until the controller has written them anew.
 */
function isGroupEntry(entry: RecordEntry): boolean {
  return isGroupClaim(entry) || (isFreed(entry) && entry.member === ANY_MEMBER);
}

/** The route of a group, to those of its members whose gateway is known; undefined where there are none. */
function groupRoute(
  listenPort: number,
  claim: Pick<GroupClaim, 'mirror' | 'port'>,
  claims: ReadonlyMap<string, readonly EgressClaim[]>,
  facts: RouteFacts,
): GroupRoute | undefined {
  const members = new Map<string, RouteMember>();
  const { mirror: service } = claim;
  const settings = settingsOf(listenPort, service, claim, facts);
  for (const one of claims.get(groupKey(claim)) ?? []) {
    const { cluster } = one;
    const backend = backendOf(one, facts);
    // A record that somebody has edited may have two ports for one cluster: the lower one counts.
    if (backend !== undefined && !members.has(cluster))
      members.set(cluster, { cluster, label: memberLabel(settings.label, cluster), ...backend });
  }
  const local = localService(claim, facts);
  if (members.size === 0 && local === undefined) return undefined;
  const sorted = [...members.values()].sort((a, b) => (a.cluster < b.cluster ? -1 : 1));
  return {
    ...settings,
    service,
    members: sorted,
    ...(local === undefined ? {} : { local }),
  };
}

/**
 * The member of this cluster, where the federated Service says that it has one: the Service that gave it its
 * name, and no other.
 */
function localService(
  { mirror: key, port }: Pick<GroupClaim, 'mirror' | 'port'>,
  { mirror }: RouteFacts,
): LocalService | undefined {
  const service = mirror(key);
  const [namespace = '', federated = ''] = key.split('/');
  const name = memberName(federated);
  if (service === undefined || name === undefined || localMemberOf(service) !== name) return undefined;
  return { name: fullyQualifiedName({ namespace, name }, LOCAL_DOMAIN), port };
}

/** The claims of single clusters that are members of federated Services, by `groupKey`. */
function membersOf(record: ReadonlyMap<number, RecordEntry>): Map<string, EgressClaim[]> {
  const found = new Map<string, EgressClaim[]>();
  // In the order of egress ports, so that the result does not depend on the order of the record.
  for (const [, entry] of [...record].sort(([a], [b]) => a - b)) {
    if (!isClaim(entry) || entry.member === undefined) continue;
    const key = groupKey(entry);
    const claims = found.get(key);
    if (claims === undefined) found.set(key, [entry]);
    else claims.push(entry);
  }
  return found;
}

function groupKey({ mirror, port }: Pick<EgressClaim, 'mirror' | 'port'>): string {
  return `${mirror}:${port}`;
}

/**
 * Where a claim leads; undefined where its Link is gone or leads to another cluster, or its gateway has no
 * address.
 */
function backendOf(claim: EgressClaim, { link }: Pick<RouteFacts, 'link'>): RouteBackend | undefined {
  const spec = link(claim.link)?.spec;
  // The Link has been changed to another cluster, so its gateway is not the recorded cluster's.
  if (spec?.targetClusterName?.trim() !== claim.cluster) return undefined;
  const gateway = claim.gateway === undefined ? gatewayOf(spec) : ownGateway(claim.gateway);
  return gateway === undefined ? undefined : { name: claim.target, port: claim.port, gateway };
}

/** Specs of a store never change, and thousands of routes lead to the gateway of one. */
const GATEWAYS = new WeakMap<LinkSpec, { readonly gateway: RouteBackend['gateway'] | undefined }>();

function gatewayOf(spec: LinkSpec): RouteBackend['gateway'] | undefined {
  const known = GATEWAYS.get(spec) ?? { gateway: gatewayOfSpec(spec) };
  GATEWAYS.set(spec, known);
  return known.gateway;
}

/** What a route has of its mirror. @param holder of its port (`holderOf`) */
function settingsOf(
  listenPort: number,
  holder: string,
  { mirror: key, port }: Pick<EgressClaim, 'mirror' | 'port'>,
  { mirror }: RouteFacts,
): RouteSettings {
  return routeSettings(mirror(key), { listenPort, holder, key, port });
}

/**
 * The gateway of its own that an export names; undefined where that has no address. The Link's gateway is no
 * substitute, as it may not serve this export.
 */
function ownGateway(recorded: RecordedGateway | null): RouteBackend['gateway'] | undefined {
  return recorded === null ? undefined : { ...recorded, addresses: [...new Set(recorded.addresses)] };
}
