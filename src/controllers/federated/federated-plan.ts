import { isMirrorKey } from '../../api/mirror/mirror-keys.ts';
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
import { followEndpoints, followPods, isPopulated } from '../reconcile/followed-endpoints.ts';
import {
  createNamespace,
  metadataPatch,
  type RemovableKey,
  specPatch,
  writeSlices,
} from '../reconcile/object-plan.ts';
import { mirroredPorts, servicePorts } from '../objects/mirrored-ports.ts';
import { besideLeaving, deletion, isLeaving, type Step, withoutStranded } from '../reconcile/steps.ts';
import type { MemberVerdict } from './federated-verdict.ts';
import { isMember, type MemberFacts, type Membership, prefixOf } from './member-facts.ts';

/**
 * The writes of a membership: its entry and, where it leads, the Service's metadata and ports; and its own
 * slices.
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
  return isLeaving(service) ? besideLeaving(steps) : steps;
}

/** For a membership that is kept as it is: no client is sent to dead endpoints. */
function keep(facts: MemberFacts): Step[] {
  const { union, gateway, egress, remote } = facts;
  const slices = ownSlices(facts);
  const populated = isPopulated(facts);
  const { service } = facts.federated;
  if (union === 'none' || service === undefined || !isFederated(service) || !isMember(facts)) return [];
  if (union === 'pods') return populated === undefined ? [] : followPods(slices, prefixOf(facts), facts);
  return followEndpoints({ slices, relay: true, populated, gateway, egress, exported: remote !== undefined });
}

/** By their names, of which each member has its own; labels may have been edited on what we made. */
function ownSlices(facts: Membership): V1EndpointSlice[] {
  const { federated, member } = facts;
  const prefix = `${prefixOf(facts)}-linkspan-`;
  return federated.slices.filter(
    (slice) =>
      slice.metadata?.name?.startsWith(prefix) === true &&
      (hasOwnershipLabels(slice, memberLabel(member)) || madeByUs(slice)),
  );
}

/** Labels, annotations and ports as the leading member wants them. */
function leadMetadata({ remote, rules, imports }: MemberFacts) {
  const copied = copiedMetadata(remote ?? {}, imports.metadataAllowed ? rules : bareRules());
  return {
    labels: { ...copied.labels, ...mirrorLabels({}) },
    annotations: copied.annotations,
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
 * An entry that nobody stands for: of a cluster that no Link names and none is on record for, or of this
 * member's own under another name.
 */
function isStranger({ member, key, strangers }: MemberFacts, entry: string): boolean {
  const cluster = clusterOfEntry(entry);
  return strangers.includes(cluster) || (cluster === member && entry !== memberEntry(key.name, member));
}

/** Whether a key on a federated Service is one that no member has put there, or this one no longer wants. */
function isRemovable({ federated, member, key, strangers }: MemberFacts): RemovableKey {
  const members = new Set(
    (federated.service === undefined ? [] : federatedEntries(federated.service))
      .map(clusterOfEntry)
      .filter((cluster) => !strangers.includes(cluster)),
  );
  return (name, where) => {
    if (where === 'labels' || !isMirrorKey(name, where)) return isMirrorKey(name, where);
    // The record of the keys that the leader copied is the leader's.
    const shared = sharedPart(name);
    if (shared === 'members' || isCopyRecord(name)) return false;
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
  // Who does not lead takes nothing back that the leader copied.
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

/** Takes a member out of its federated Service, with its slices; the last one takes the Service along. */
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
