import { LOCAL } from '../../api/names.ts';
import type { V1Service } from '@kubernetes/client-node';
import {
  type ApexClaim,
  APEX_MEMBER,
  type EgressClaim,
  type GroupClaim,
  holderOf,
  isApexClaim,
  isGroupClaim,
  isClaim,
  isFreed,
  type RecordEntry,
} from '../../api/egress/egress-record.ts';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import { keyOf } from '../../api/kubernetes/resource.ts';
import { fullyQualifiedName, parseKey } from '../../api/mirror/mirror-names.ts';
import type { RoutedService } from '../../discovery/apex-routing.ts';
import { leafKey } from '../../discovery/target-spec.ts';
import { apexDrains } from '../../policy/failover/federated-group.ts';
import { groupNames } from '../../policy/routing/apex-group.ts';
import type { RouteBackend as RuleBackend } from '../../policy/routing/routing.ts';
import { LOCAL_DOMAIN, routeSettings, whomItLetsIn } from './route-settings.ts';
import {
  type ApexBackend,
  type ApexLead,
  type ApexRoute,
  type GroupRoute,
  memberLabel,
  type RouteBackend,
} from './route.ts';

/**
 * Most backends of all apexes and federated Services of a namespace, counted on each of their ports: `all` in
 * fair parts, but not fewer than `least`.
 */
export const MAX_BACKENDS = { namespace: 1000, all: 10_000, least: 50 } as const;

/** What leads of backends are made from. */
interface LeadFacts {
  /** Whether something is written about a Service (key). */
  readonly isRouted: (key: string) => boolean;
  readonly mirror: (key: string) => V1Service | undefined;
  /** Where a claim of one cluster leads. */
  readonly gateway: (claim: EgressClaim) => RouteBackend | undefined;
  readonly group: (listenPort: number, claim: GroupClaim) => GroupRoute | undefined;
}

/**
 * What is behind the Services that rules name, by the record: a mirror leads where its own port leads, and a
 * federated Service to its members. No annotation decides about that (ADR 0024).
 */
export class ApexLeads {
  readonly #facts: LeadFacts;
  /** How many backends apexes of a namespace may have yet. */
  readonly #room = new Map<string, number>();
  /** Entries of mirrors and of groups, by `namespace/name:port`. */
  readonly #entries = new Map<string, readonly [listenPort: number, entry: EgressClaim | GroupClaim]>();

  constructor(record: ReadonlyMap<number, RecordEntry>, facts: LeadFacts) {
    this.#facts = facts;
    // In the order of egress ports, so that of two entries for one port the lower one counts, as elsewhere.
    for (const [listenPort, entry] of [...record].sort(([a], [b]) => b - a)) {
      if (isApexClaim(entry) || (isGroupClaim(entry) && facts.isRouted(entry.mirror)))
        this.#room.set(parseKey(entry.mirror).namespace, 0);
      if (isFreed(entry) || isApexClaim(entry) || (isClaim(entry) && entry.member !== undefined)) continue;
      this.#entries.set(`${entry.mirror}:${entry.port}`, [listenPort, entry]);
    }
    const fair = Math.floor(MAX_BACKENDS.all / Math.max(1, this.#room.size));
    const most = Math.min(MAX_BACKENDS.namespace, Math.max(MAX_BACKENDS.least, fair));
    for (const namespace of this.#room.keys()) this.#room.set(namespace, most);
  }

  /**
   * Whether an apex may have one backend more. Each costs some 10 KB and is prepared whether requests come or
   * not; who may make Services must not be able to take the memory of all.
   * @param isOwn it is the clusters of the federated Service itself, which have a port without rules, too
   */
  take(apex: string, isOwn: boolean): boolean {
    if (isOwn) return true;
    const { namespace } = parseKey(apex);
    const room = this.#room.get(namespace) ?? 0;
    this.#room.set(namespace, room - 1);
    return room > 0;
  }

  /** What is behind a port of a Service; undefined: a mirror whose gateway is not known. */
  of({ namespace, service: name, port }: RuleBackend): ApexLead | undefined {
    const [listenPort = 0, entry] = this.#entries.get(`${keyOf({ namespace, name })}:${port}`) ?? [];
    if (entry === undefined)
      return { local: { name: fullyQualifiedName({ namespace, name }, LOCAL_DOMAIN), port } };
    if (isClaim(entry)) {
      const gateway = this.#facts.gateway(entry);
      return gateway === undefined ? undefined : { cluster: entry.cluster, gateway };
    }
    const group = this.#facts.group(listenPort, entry);
    return group === undefined ? undefined : { group };
  }

  /** The Service as whoever mirrors it has it, if it is a mirror or federated. */
  mirror(key: string): V1Service | undefined {
    return this.#facts.mirror(key);
  }
}

/**
 * The route of one port of a user's Service, or of a federated one about which rules are written; undefined
 * where nothing is written about it, or that is not known yet. Pure.
 */
export function apexRoute(
  listenPort: number,
  { mirror: apex, port }: Pick<ApexClaim | GroupClaim, 'mirror' | 'port'>,
  routed: RoutedService | undefined,
  leads: ApexLeads,
): ApexRoute | undefined {
  const routing = routed?.ports.get(port);
  if (routed === undefined || routing === undefined) return undefined;
  const holder = holderOf({ mirror: apex, member: APEX_MEMBER });
  const settings = routeSettings(routed.service, { listenPort, holder, key: apex, port });
  const label = `${apex}:${port}`;
  const backends = new Map<string, ApexBackend>();
  const left = new Set<string>();
  const drainOf = ownDrains(routed);
  for (const backend of routing.rules.flatMap((rule) => rule.backends)) {
    const key = leafKey(backend);
    if (backend.invalid !== undefined || backends.has(key) || left.has(key)) continue;
    const to = leads.of(backend);
    if (to === undefined) continue;
    // Its part of the requests is refused, as if it had no endpoints.
    if (!leads.take(apex, key === label)) left.add(key);
    else backends.set(key, backendOf(backend, { key, label, to, routed, leads, drainOf }));
  }
  const leftOut = left.size === 0 ? {} : { leftOut: left.size };
  // The last rule of a federated Service is its clusters, whose shares have its own name.
  const { isFederated = false } = routed;
  const rules = routing.rules.length - Number(isFederated);
  const groups = groupNames(apex, { port, ports: routed.ports.size, rules, isFederated });
  return { ...settings, label, apex, routing, groups, backends: [...backends.values()], ...leftOut };
}

/** Those of a federated Service are of its clusters. */
function ownDrains({ service, isFederated }: RoutedService): ReturnType<typeof apexDrains> {
  return isFederated === true ? () => undefined : apexDrains(service);
}

function backendOf(
  { namespace, service: name, port }: RuleBackend,
  {
    key,
    label: apex,
    to,
    routed,
    leads,
    drainOf,
  }: {
    readonly key: string;
    readonly label: string;
    readonly to: ApexLead;
    readonly routed: RoutedService;
    readonly leads: ApexLeads;
    readonly drainOf: (cluster: string) => FailoverDrain | undefined;
  },
): ApexBackend {
  const service = keyOf({ namespace, name });
  // The clusters of a federated Service with rules keep the names that they have without.
  const isOwn = apex === `${service}:${port}`;
  const label = isOwn ? apex : memberLabel(apex, apex.endsWith(`:${port}`) ? name : `${name}.${port}`);
  const object = 'local' in to ? routed.backends.get(service) : leads.mirror(service);
  const cluster = 'local' in to ? LOCAL : 'cluster' in to ? to.cluster : undefined;
  const drain = cluster === undefined ? undefined : drainOf(cluster);
  return {
    key,
    label,
    service,
    namespace,
    ...(drain === undefined ? {} : { drain }),
    // Whose rules are not known lets in nobody else.
    ...(object === undefined ? { allowedNamespaces: [] } : whomItLetsIn(object)),
    to: 'group' in to ? { group: behindRule(to.group, label) } : to,
  };
}

/**
 * The clusters of a federated Service under the label of a backend. Retries and timeouts are those of the
 * rule, or of the apex, over all of its backends.
 */
function behindRule({ requests: _requests, ...route }: GroupRoute, label: string): GroupRoute {
  const members = route.members.map((one) => ({ ...one, label: memberLabel(label, one.cluster) }));
  return { ...route, label, members };
}
