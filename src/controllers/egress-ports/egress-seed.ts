import { keyOf } from '../../api/kubernetes/resource.ts';
import type { V1Service } from '@kubernetes/client-node';
import { egressPortsOf, isRelayed, ownGatewayOf } from '../../api/mirror/mirror-annotations.ts';
import { clusterOf } from '../../api/mirror/mirror-labels.ts';
import type { EgressPorts, PortRange } from '../../api/egress/egress-ports.ts';
import { type EgressClaim, holderOf } from '../../api/egress/egress-record.ts';
import {
  clusterOfEntry,
  memberEgressPortsOf,
  federatedEntries,
  isFederated,
  memberName,
} from '../../api/mirror/federated-members.ts';
import { isOlder, parseLink, type Link, type LinkObject } from '../../api/link/link-schema.ts';
import { distanceFromHome } from './port-choice.ts';
import { fullyQualifiedName, parseKey } from '../../api/mirror/mirror-names.ts';
import { hostOriginOf, originOf } from '../../api/mirror/ownership.ts';

/**
 * Ports that are further than this from the one that the controller tries first were not chosen by it: with
 * half of the range in use it never had to go that far.
 */
const MAX_DISTANCE = 256;

/**
 * A claim made of a mirror's annotation, and how far its port is from the one that the controller tries
 * first.
 */
interface Claimed {
  readonly port: number;
  readonly distance: number;
  readonly claim: EgressClaim;
}

/**
 * The claims with which the record begins in an installation that has none: the ports that mirrors'
 * annotations name, as far as the controller itself could have chosen them. Whoever may write a Service could
 * have written the annotation. So where a claim leads follows from the name of the mirror and the Link, and
 * is never read; a port that several name goes to the mirror whose first choice is nearest to it, so that
 * nobody takes another's port by naming it; and a gateway of the export's own is left unknown until the
 * target names it. Pure.
 */
export function seedClaims(
  services: readonly V1Service[],
  links: readonly LinkObject[],
  range: PortRange,
): Map<number, EgressClaim> {
  const byCluster = linksByCluster(links);
  const claimed = services.flatMap((service) => claimsOf(service, byCluster, range));
  claimed.sort((a, b) => a.distance - b.distance || (holderOf(a.claim) < holderOf(b.claim) ? -1 : 1));
  const found = new Map<number, EgressClaim>();
  for (const { port, claim } of claimed) if (!found.has(port)) found.set(port, claim);
  return found;
}

/** The Link of each cluster; of several the oldest, as the controller has it (`link/rivals.ts`). */
function linksByCluster(links: readonly LinkObject[]): Map<string, Link> {
  const found = new Map<string, Link>();
  for (const object of links) {
    const parsed = parseLink(object);
    if (!parsed.ok) continue;
    const { link } = parsed;
    const other = found.get(link.targetClusterName);
    if (other === undefined || isOlder(link, other)) found.set(link.targetClusterName, link);
  }
  return found;
}

function claimsOf(service: V1Service, links: ReadonlyMap<string, Link>, range: PortRange): Claimed[] {
  const cluster = clusterOf(service);
  if (cluster !== undefined) return mirrorClaims(service, links.get(cluster), range);
  if (!isFederated(service)) return [];
  return federatedEntries(service).flatMap((entry) => memberClaims(service, entry, links, range));
}

function mirrorClaims(service: V1Service, link: Link | undefined, range: PortRange): Claimed[] {
  if (link === undefined || !isRelayed(service)) return [];
  const owner = { cluster: link.targetClusterName, link: `${link.namespace}/${link.name}` };
  const key = originOf(service, owner);
  const host = key === undefined ? hostOriginOf(service, owner) : undefined;
  const exported = key ?? host?.key;
  if (exported === undefined) return [];
  const fqName = fullyQualifiedName(parseKey(exported), link.targetClusterDomain);
  const claim = {
    ...owner,
    export: exported,
    target: host === undefined ? fqName : `${host.host}.${fqName}`,
    ...(ownGatewayOf(service) === undefined ? {} : { gateway: null }),
  };
  return claimedPorts(service, egressPortsOf(service), claim, range);
}

function memberClaims(
  service: V1Service,
  entry: string,
  links: ReadonlyMap<string, Link>,
  range: PortRange,
): Claimed[] {
  const { namespace = '', name = '' } = service.metadata ?? {};
  const cluster = clusterOfEntry(entry);
  const link = links.get(cluster);
  const member = memberName(name);
  if (link === undefined || member === undefined || entry !== `${member}@${cluster}`) return [];
  const claim = {
    member: cluster,
    cluster,
    link: `${link.namespace}/${link.name}`,
    export: `${namespace}/${member}`,
    target: fullyQualifiedName({ namespace, name: member }, link.targetClusterDomain),
  };
  return claimedPorts(service, memberEgressPortsOf(service, cluster), claim, range);
}

/**
 * The claims of one mirror: for each of its Service's ports whose egress port the controller may have chosen.
 */
function claimedPorts(
  service: V1Service,
  recorded: EgressPorts,
  partial: Omit<EgressClaim, 'mirror' | 'port'>,
  range: PortRange,
): Claimed[] {
  const mirror = keyOf(service);
  return (service.spec?.ports ?? []).flatMap(({ port: servicePort }) => {
    const port = recorded[servicePort];
    if (port === undefined) return [];
    const claim = { ...partial, mirror, port: servicePort };
    const distance = distanceFromHome(holderOf(claim), servicePort, port, range);
    return distance === undefined || distance > MAX_DISTANCE ? [] : [{ port, distance, claim }];
  });
}
