import { LOCAL } from '../../api/names.ts';
import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import type { FailoverFacts } from '../../api/failover/failover-facts.ts';
import { serviceDrain } from '../../api/mirror/service-drain.ts';
import { failoverTexts } from '../../api/mirror/failover-texts.ts';
import {
  isFederated,
  LOCAL_MEMBER,
  memberClusters,
  memberLabel,
} from '../../api/mirror/federated-members.ts';
import { clusterOf } from '../../api/mirror/mirror-labels.ts';
import { factsOf } from '../../api/mirror/slice-facts.ts';
import type { Backend, Weighing } from './backend.ts';
import type { FailoverPolicy } from './failover-policy.ts';
import { readFailoverPolicy } from './failover-policy-text.ts';
import { type LinkDefaults, placeBackends, type Placement } from './placement.ts';
import { readTiers, type Tiers } from './tiers.ts';

/** What the Link of one cluster says about failover. */
export interface LinkSays {
  readonly defaults: LinkDefaults;
  /** The drains of the cluster; they hold for all its Services. */
  readonly drains: readonly FailoverDrain[];
}

/** Those among whom the requests of a federated Service, or of a rule, are divided, and how. */
export interface FederatedGroup {
  readonly backends: readonly Backend[];
  readonly policy: FailoverPolicy;
  readonly placement: Placement;
  /** Default `graded`. */
  readonly weighing?: Weighing;
}

/** A member's cluster as tiers and policies call it. */
export function backendName(member: string): string {
  return member === LOCAL_MEMBER ? LOCAL : member;
}

/** What a federated Service itself says of its group. */
export interface SaidByService {
  /** The labels of members' slices, by the names that tiers call the members. */
  readonly members: ReadonlyMap<string, string>;
  readonly policy: FailoverPolicy;
  readonly tiers: Tiers | undefined;
  /** Drains of this Service alone, by the same names. */
  readonly drains: ReadonlyMap<string, FailoverDrain>;
}

/** Reads it. Pure. */
export function saidByService(service: V1Service): SaidByService {
  const texts = failoverTexts(service.metadata?.annotations);
  const names = memberClusters(service).map((member) => [backendName(member), memberLabel(member)] as const);
  const drains = new Map<string, FailoverDrain>();
  for (const [name] of names) {
    const drain = serviceDrain(service.metadata?.annotations, name);
    if (drain !== undefined) drains.set(name, drain);
  }
  return {
    members: new Map(names.sort(([a], [b]) => (a < b ? -1 : 1))),
    drains,
    policy: readFailoverPolicy(texts.policy).policy,
    tiers: readTiers(texts.tiers).tiers,
  };
}

/**
 * The group of a federated Service, from what is published. Pure: whoever reads the same objects has the same
 * group, and by `decide` the same shares.
 * @param slices all slices of the Service
 * @param links what Links say, by cluster
 */
export function federatedGroup(
  service: V1Service,
  slices: readonly V1EndpointSlice[],
  links: ReadonlyMap<string, LinkSays>,
): FederatedGroup {
  const said = saidByService(service);
  const placement = placementOf(said, links);
  const facts = (label: string) => factsOf(slices.filter((slice) => clusterOf(slice) === label));
  return { backends: backendsOf(placement, said, facts, links), policy: said.policy, placement };
}

/** Where the tiers of the Service and what Links say place its members. Pure. */
export function placementOf(
  { members, tiers }: SaidByService,
  links: ReadonlyMap<string, LinkSays>,
): Placement {
  const defaults = new Map<string, LinkDefaults>();
  for (const [cluster, said] of links) defaults.set(cluster, said.defaults);
  return placeBackends([...members.keys()], tiers, defaults);
}

/** The backends at these places. Pure. @param facts of a member, by the label of its slices */
export function backendsOf(
  { places }: Placement,
  said: SaidByService,
  facts: (label: string) => FailoverFacts | undefined,
  links: ReadonlyMap<string, LinkSays>,
): Backend[] {
  return places.map(({ name, tier, weight, factor }) => ({
    name,
    tier,
    factor,
    ...(weight === undefined ? {} : { weight }),
    facts: facts(said.members.get(name) ?? name),
    drains: drainsOf(name, said, links),
  }));
}

/** The drains of a member: of its cluster, by its Link, and of this Service alone; undefined: none. Pure. */
export function drainsOf(
  name: string,
  { drains }: SaidByService,
  links: ReadonlyMap<string, LinkSays>,
): readonly FailoverDrain[] | undefined {
  return withServiceDrain(name === LOCAL ? undefined : links.get(name)?.drains, drains.get(name));
}

/**
 * Reads the drains that a Service without selector says of clusters to which its backends lead; undefined:
 * none. Each is read once: a thousand backends may lead to one cluster. Those of a federated Service are
 * about its members, and not about rules.
 * @returns the drain of a cluster, `local` for pods of this one
 */
export function apexDrains(service: V1Service): (cluster: string) => FailoverDrain | undefined {
  const read = new Map<string, FailoverDrain | undefined>();
  return (cluster) => {
    if (isFederated(service)) return undefined;
    if (!read.has(cluster)) read.set(cluster, serviceDrain(service.metadata?.annotations, cluster));
    return read.get(cluster);
  };
}

/** The drains of a cluster, and the one of a Service alone. Pure. */
export function withServiceDrain(
  byLink: readonly FailoverDrain[] | undefined,
  byService: FailoverDrain | undefined,
): readonly FailoverDrain[] | undefined {
  return byService === undefined ? byLink : [...(byLink ?? []), byService];
}
