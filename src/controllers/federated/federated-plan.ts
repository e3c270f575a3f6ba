import { isMirrorKey } from '../../api/mirror/mirror-keys.ts';
import { effectiveAnnotations, isEffectiveText } from '../../api/mirror/failover-texts.ts';
import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import {
  clusterOfEntry,
  entriesAnnotation,
  entriesPatch,
  federatedEntries,
  federatedName,
  isFederated,
  LOCAL_MEMBER,
  localMemberAnnotation,
  localMemberOf,
  memberEntry,
  memberLabel,
  memberOfRecord,
  memberRecord,
  sharedPart,
  withoutLocalMember,
  withoutMemberRecord,
} from '../../api/mirror/federated-members.ts';
import { mirrorLabels } from '../../api/mirror/mirror-labels.ts';
import {
  bareRules,
  copiedMetadata,
  hasOwnershipLabels,
  isCopyRecord,
  withoutCopyRecord,
} from '../../api/mirror/mirror-metadata.ts';
import { madeByUs } from '../../api/mirror/ownership.ts';
import { followEndpoints, followPods, isPopulated, sayingFacts } from '../reconcile/followed-endpoints.ts';
import {
  createNamespace,
  metadataPatch,
  type RemovableKey,
  specPatch,
  writeSlices,
} from '../reconcile/object-plan.ts';
import { sliceName } from '../objects/mirrored-endpoints.ts';
import { mirroredPorts, servicePorts } from '../objects/mirrored-ports.ts';
import { besideLeaving, deletion, isLeaving, type Step, withoutStranded } from '../reconcile/steps.ts';
import type { MemberVerdict } from './federated-verdict.ts';
import { statusStep } from './failover-status.ts';
import { textsOf } from './federated-texts.ts';
import { isMember, type MemberFacts, type Membership, prefixOf } from './member-facts.ts';

/**
 * The writes of a membership: its entry in the federated Service and its own slices, and where it leads
 * (`MemberFacts.leads`), also the Service's metadata and ports.
 */
export function planMember(facts: MemberFacts, decided: MemberVerdict): Step[] {
  if (decided.action === 'namespace')
    return [createNamespace(facts.key.namespace, memberLabel(facts.member))];
  if (decided.action === 'remove') return leave(facts);
  if (decided.action !== 'join') return keep(facts);
  const { service } = facts.federated;
  const step =
    service === undefined
      ? ({ verb: 'create', kind: 'services', object: newFederated(facts) } as const)
      : joinPatch(facts, service);
  const steps = [
    ...(step === undefined ? [] : [step]),
    ...writeSlices(ownSlices(facts), decided.slices, service),
    ...(facts.leads ? withoutStranded(facts.federated) : []),
  ];
  if (isLeaving(service)) return besideLeaving(steps);
  // One write for each object: what its status should say is written when the rest is as it should be.
  return facts.leads && service !== undefined && step === undefined
    ? [...steps, ...statusStep(service, facts.group)]
    : steps;
}

/** The writes of a membership that is kept as it is: its endpoints still follow what is alive. */
function keep(facts: MemberFacts): Step[] {
  const { union, gateway, egress, remote } = facts;
  const slices = ownSlices(facts);
  const populated = isPopulated(facts);
  const { service } = facts.federated;
  if (union === 'none' || service === undefined || !isFederated(service) || !isMember(facts)) return [];
  const pods = () => (populated === undefined ? [] : followPods(slices, prefixOf(facts), facts));
  const exported = remote !== undefined;
  const steps =
    union === 'pods' && !slices.some((slice) => leadsToEgress(slice, prefixOf(facts)))
      ? pods()
      : followEndpoints({ slices, relay: true, shared: true, populated, gateway, egress, exported });
  return sayingFacts(steps, slices, facts.factsText);
}

/** Whether a slice of ours holds egress pods, by its name: others are named after a slice of the member. */
function leadsToEgress({ metadata }: V1EndpointSlice, prefix: string): boolean {
  return metadata?.name === sliceName(prefix, 'IPv4') || metadata?.name === sliceName(prefix, 'IPv6');
}

/**
 * This member's slices, by the prefix of their names, which no other member has, and by our labels; where
 * those have been edited, `managedFields` says that we made them.
 */
export function ownSlices(facts: Membership): V1EndpointSlice[] {
  const { federated, member } = facts;
  const prefix = `${prefixOf(facts)}-linkspan-`;
  return federated.slices.filter(
    (slice) =>
      slice.metadata?.name?.startsWith(prefix) === true &&
      (hasOwnershipLabels(slice, memberLabel(member)) || madeByUs(slice)),
  );
}

/** Labels, annotations and ports as the leading member wants them. */
function leadMetadata(facts: MemberFacts) {
  const { remote, rules, imports } = facts;
  const copied = copiedMetadata(remote ?? {}, imports.metadataAllowed ? rules : bareRules());
  return {
    labels: { ...copied.labels, ...mirrorLabels({}) },
    annotations: { ...copied.annotations, ...effectiveAnnotations(textsOf(facts)) },
  };
}

function entryAnnotations(facts: MemberFacts): Record<string, string> {
  const { member, key, federated, union } = facts;
  const present = federated.service === undefined ? [] : federatedEntries(federated.service);
  const entries = present.filter((one) => !isStranger(facts, one));
  const entry = memberEntry(key.name, member);
  const discovery =
    member === LOCAL_MEMBER
      ? localMemberAnnotation(key.name)
      : entriesAnnotation(entries.includes(entry) ? entries : [...entries, entry]);
  const ports = facts.egressPorts.get(federatedName(key.name)) ?? {};
  const egressPorts = union === 'relay' ? ports : undefined;
  return { ...discovery, ...memberRecord(member, { link: facts.link, egressPorts }) };
}

/**
 * Whether an entry belongs to no member: its cluster has neither a Link nor a record on the Service, or it is
 * this member's cluster under another Service name.
 */
function isStranger({ member, key, strangers }: MemberFacts, entry: string): boolean {
  const cluster = clusterOfEntry(entry);
  return strangers.includes(cluster) || (cluster === member && entry !== memberEntry(key.name, member));
}

/**
 * Which keys on a federated Service this member may remove: its own that it no longer wants, and those of
 * nobody.
 */
function isRemovable({ federated, member, key, strangers, leads }: MemberFacts): RemovableKey {
  const members = new Set(
    (federated.service === undefined ? [] : federatedEntries(federated.service))
      .map(clusterOfEntry)
      .filter((cluster) => !strangers.includes(cluster)),
  );
  return (name, where) => {
    if (where === 'labels' || !isMirrorKey(name, where)) return isMirrorKey(name, where);
    // The record of which keys were copied is the leading member's.
    const shared = sharedPart(name);
    if (shared === 'members' || isCopyRecord(name)) return false;
    if (isEffectiveText(name)) return leads;
    if (shared === 'local member')
      return federated.service === undefined || localMemberOf(federated.service) !== key.name;
    const recorded = memberOfRecord(name);
    if (recorded === undefined || recorded === member) return true;
    return !members.has(recorded) && recorded !== LOCAL_MEMBER;
  };
}

function newFederated(facts: MemberFacts): V1Service {
  const { key, remote } = facts;
  const lead = leadMetadata(facts);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: federatedName(key.name),
      namespace: key.namespace,
      labels: lead.labels,
      annotations: { ...lead.annotations, ...entryAnnotations(facts) },
    },
    spec: { type: 'ClusterIP', ports: servicePorts(mirroredPorts(remote ?? {})) },
  };
}

function joinPatch(facts: MemberFacts, service: V1Service): Step | undefined {
  const lead = facts.leads ? leadMetadata(facts) : { labels: {}, annotations: {} };
  const desired = {
    labels: { ...lead.labels, ...mirrorLabels({}) },
    annotations: { ...lead.annotations, ...entryAnnotations(facts) },
  };
  // A member that does not lead removes nothing that the leading one copied.
  const before = facts.leads ? service.metadata : withoutRecord(service);
  const metadata = metadataPatch(before, desired, isRemovable(facts));
  const spec = facts.leads
    ? specPatch(service.spec, { type: 'ClusterIP', ports: servicePorts(mirroredPorts(facts.remote ?? {})) })
    : undefined;
  if (metadata === undefined && spec === undefined) return undefined;
  const patch = { ...(metadata === undefined ? {} : { metadata }), ...(spec === undefined ? {} : { spec }) };
  return { verb: 'patch', kind: 'services', target: service, patch };
}

function withoutRecord({ metadata }: V1Service): NonNullable<V1Service['metadata']> {
  return { ...metadata, annotations: withoutCopyRecord(metadata?.annotations) };
}

/**
 * Takes a member out of its federated Service and deletes its slices; with the last one the Service is
 * deleted.
 */
export function leave(facts: Membership): Step[] {
  const { federated, member, key } = facts;
  const slices = ownSlices(facts).flatMap((slice) => deletion('endpointSlices', slice));
  const { service } = federated;
  if (service === undefined || !isMember(facts)) return slices;
  const left = federatedEntries(service).filter((entry) => entry !== memberEntry(key.name, member));
  const local = member === LOCAL_MEMBER ? undefined : localMemberOf(service);
  if (left.length === 0 && local === undefined) return [...deletion('services', service), ...slices];
  const patch = {
    metadata: {
      annotations: {
        ...entriesPatch(left),
        ...(member === LOCAL_MEMBER ? withoutLocalMember() : {}),
        ...withoutMemberRecord(service, member),
      },
    },
  };
  return [{ verb: 'patch', kind: 'services', target: service, patch }, ...slices];
}
