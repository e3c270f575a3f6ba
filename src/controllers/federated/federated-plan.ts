import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { readAnnotation } from '../../api/annotations.ts';
import { writeEgressPorts } from '../../api/egress/egress-ports.ts';
import {
  clusterOfEntry,
  egressPortsKey,
  federatedEntries,
  federatedName,
  isFederated,
  LOCAL_MEMBER,
  memberLabel,
  memberLinkKey,
} from '../../api/mirror/federated-members.ts';
import {
  COPIED_KEYS,
  IMPORT_QUOTAS,
  LOCAL_DISCOVERY,
  MIRROR_ANNOTATION_GROUPS,
  MIRRORED_SERVICE_LABEL,
  REMOTE_DISCOVERY,
} from '../../api/names.ts';
import { isHeadless } from '../../exports/endpoint-slices.ts';
import { overBudgetOf } from '../../exports/service-size.ts';
import { familyGap } from '../objects/address-families.ts';
import { followEndpoints, followPods, isPopulated } from '../mirror/kept-endpoints.ts';
import {
  desiredSlices,
  podSlices,
  shownAddresses,
  type EndpointsOwner,
} from '../objects/mirrored-endpoints.ts';
import type {
  DataPath,
  LinkFacts,
  LocalPart,
  NamespaceState,
  PathFacts,
  RemoteFacts,
} from '../reconcile/mirror-facts.ts';
import type { ImportNote } from '../imports/import-rules.ts';
import { madeByUs } from '../../api/mirror/ownership.ts';
import { bareRules, copiedMetadata, hasOwnershipLabels } from '../../api/mirror/mirror-metadata.ts';
import { MAX_SERVICE_NAME } from '../../api/mirror/mirror-names.ts';
import {
  createNamespace,
  isMirrorKey,
  metadataPatch,
  type RemovableKey,
  specPatch,
  writeSlices,
} from '../mirror/mirror-plan.ts';
import { mirroredPorts, servicePorts } from '../objects/mirrored-ports.ts';
import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';
import { besideLeaving, deletion, isLeaving, type Step, withoutStranded } from '../reconcile/steps.ts';
import { allRefused, heldBy, importNotes, notMirrorable, pathReason } from '../mirror/mirror-verdict.ts';
import type { TargetSettings } from '../settings/target-settings.ts';

/**
 * What a federated Service gets as endpoints: `none` where Linkerd's destination controller resolves the members from the discovery annotations; `relay`:
 * the egress pods, on a port of each cluster's own; `pods`: the pods' addresses.
 */
export type Union = 'none' | 'relay' | 'pods';

/** Everything that decides about the membership of one Service in `<svc>-federated`. */
export interface MemberFacts extends RemoteFacts, PathFacts {
  /** The member's cluster, or `LOCAL_MEMBER` for the source cluster itself. */
  readonly member: string;
  /** The Link that it came by; undefined for the source cluster's own. */
  readonly link: string | undefined;
  readonly rules: LinkFacts['rules'];
  readonly createNamespaces: boolean;
  readonly union: Union;
  readonly namespace: NamespaceState;
  /** The local Service that has the federated name, with all its slices. */
  readonly federated: LocalPart;
  /** Clusters among the entries that no Link names and no member is on record for: somebody has written them there. */
  readonly strangers: readonly string[];
  /** Whether this member decides labels, annotations and ports: it is local, or its Link is the oldest of all members'. */
  readonly leads: boolean;
}

/** What should be done about one membership. */
export type MemberVerdict = {
  readonly reason: MirrorReason;
  readonly message: string;
  /** What of the member the import policy left out. */
  readonly notes?: readonly ImportNote[];
} & (
  | { readonly action: 'keep' | 'leave' | 'namespace' }
  | { readonly action: 'join'; readonly slices: readonly V1EndpointSlice[] }
);

const verdict = (
  action: 'keep' | 'leave' | 'namespace',
  reason: MirrorReason,
  message = '',
): MemberVerdict => ({ action, reason, message });

type Check = (facts: MemberFacts) => MemberVerdict | undefined;

const checks: readonly Check[] = [
  ({ federated, remote, key }) => {
    if (federated.service === undefined || isFederated(federated.service)) return undefined;
    const name = `${key.namespace}/${federatedName(key.name)}`;
    return remote === undefined
      ? verdict('keep', 'NotExported')
      : verdict('keep', 'NameConflict', `Service ${name} is not ours`);
  },
  ({ imports: { refusal } }) =>
    refusal === undefined ? undefined : verdict('leave', refusal.reason, refusal.message),
  (facts) => (facts.remote === undefined && !facts.synced ? verdict('keep', 'NotSynced') : undefined),
  ({ remote }) => {
    const why = overBudgetOf(remote);
    return why === undefined ? undefined : verdict('keep', 'OverBudgetService', why);
  },
  (facts) => (facts.remote === undefined ? leaving(facts, 'NotExported') : undefined),
  ({ namespace, createNamespaces, imports }) => {
    if (namespace === 'present') return undefined;
    if (namespace === 'absent' && createNamespaces && !imports.namespaceAllowed)
      return verdict('keep', 'ImportQuotaExceeded', `no further namespace may be made: ${IMPORT_QUOTAS}`);
    const create = namespace === 'absent' && createNamespaces;
    return verdict(create ? 'namespace' : 'keep', 'MissingNamespace', 'Namespace does not exist');
  },
  (facts) => {
    const why = isHeadless(facts.remote)
      ? 'Headless service cannot join federated service'
      : notMirrorable(facts.remote);
    return why === undefined ? undefined : leaving(facts, 'InvalidService', why);
  },
  (facts) =>
    facts.imports.overQuota === undefined
      ? undefined
      : leaving(facts, 'ImportQuotaExceeded', facts.imports.overQuota),
  ({ emptiedGraceMs }) => (emptiedGraceMs > 0 ? verdict('keep', 'Mirrored') : undefined),
  ({ removalsHeld, remoteReady }) =>
    removalsHeld && remoteReady === 0 ? verdict('keep', 'DropHeld') : undefined,
  ({ key }) =>
    federatedName(key.name).length > MAX_SERVICE_NAME ? verdict('keep', 'NameTooLong') : undefined,
  (facts) =>
    facts.union === 'relay' && facts.gateway === undefined ? leaving(facts, 'NoGateway') : undefined,
  ({ union, gateway, remoteReady }) => {
    const uncertain = gateway?.path === 'unknown' || gateway?.path === 'resolving';
    return union === 'relay' && remoteReady !== 0 && uncertain
      ? verdict('keep', 'GatewayUnknown')
      : undefined;
  },
  ({ union, egressPorts, egressUnrecorded, key }) =>
    union === 'relay' && !egressPorts.has(federatedName(key.name))
      ? verdict('keep', egressUnrecorded ? 'EgressPortsUnrecorded' : 'EgressPortsExhausted')
      : undefined,
];

/** Decides about one membership. Pure. */
export function decideMember(facts: MemberFacts): MemberVerdict {
  for (const check of checks) {
    const found = check(facts);
    if (found !== undefined) return found;
  }
  return join(facts);
}

function join(facts: MemberFacts): MemberVerdict {
  const path = unionReason(facts);
  const slices = unionSlices(facts, path);
  const { service } = facts.federated;
  const gap = path === 'Mirrored' ? familyGap([{ service, slices }]) : undefined;
  const reason = isLeaving(service) ? 'BeingDeleted' : gap === undefined ? path : 'AddressFamilyMismatch';
  const pods = { ...facts, flat: facts.union === 'pods', link: { rules: facts.rules, flatEndpoints: true } };
  const notes = facts.remote === undefined ? [] : importNotes(pods, facts.remote);
  const message = [
    ...(reason === 'BeingDeleted' ? [heldBy(service)] : []),
    ...(gap === undefined ? [] : [gap]),
    ...(reason === facts.gateway?.refusal?.reason ? [facts.gateway.refusal.message] : []),
    ...notes.map(({ text }) => text),
  ];
  return {
    action: 'join',
    reason,
    message: message.join('; '),
    ...(notes.length === 0 ? {} : { notes }),
    slices,
  };
}

function leaving(facts: MemberFacts, reason: MirrorReason, message = ''): MemberVerdict {
  return facts.removalsHeld && isMember(facts)
    ? verdict('keep', 'DropHeld')
    : verdict('leave', reason, message);
}

function unionReason(facts: MemberFacts): MirrorReason {
  if (facts.union === 'none') return 'Mirrored';
  if (facts.remoteReady === 0) return 'NoReadyEndpoints';
  if (facts.union === 'pods') return allRefused(facts) ? 'ImportAddressRefused' : 'Mirrored';
  return pathReason({ ...facts, link: { dataPath: 'relay' } as LinkFacts }) ?? 'Mirrored';
}

/** Each member writes its own slices: kube-proxy makes the union, and no member can harm another's. */
function unionSlices(facts: MemberFacts, path: MirrorReason): V1EndpointSlice[] {
  const { key, member, union, remote } = facts;
  if (union === 'none' || remote === undefined) return [];
  const service = federatedName(key.name);
  const owner: EndpointsOwner = {
    namespace: key.namespace,
    service,
    prefix: prefixOf(facts),
    cluster: memberLabel(member),
    fqName: undefined,
    gatewayIdentity: undefined,
    notReady: path === 'Mirrored' ? undefined : path,
  };
  if (union === 'pods')
    return podSlices(owner, facts.remoteSlices, { zoneHints: false, refusal: facts.imports.podRefusal });
  const ports = facts.egressPorts.get(service) ?? {};
  return desiredSlices({
    ...owner,
    ...shownAddresses(path, facts.egress),
    ports: mirroredPorts(remote),
    portOf: (port) => ports[port.port] ?? 0,
  });
}

function isMember({ federated, member, key }: MemberFacts): boolean {
  if (federated.service === undefined) return false;
  if (member === LOCAL_MEMBER)
    return readAnnotation(federated.service.metadata?.annotations, LOCAL_DISCOVERY) === key.name;
  return federatedEntries(federated.service).includes(`${key.name}@${member}`);
}

/** The writes of a membership: its entry and, where it leads, the Service's metadata and ports; and its own slices. */
export function planMember(facts: MemberFacts, decided: MemberVerdict): Step[] {
  if (decided.action === 'namespace')
    return [createNamespace(facts.key.namespace, memberLabel(facts.member))];
  if (decided.action === 'leave') return leave(facts);
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

/** Whatever keeps a membership as it is: nobody is sent to what is dead. */
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
function ownSlices(facts: MemberFacts): V1EndpointSlice[] {
  const { federated, member } = facts;
  const prefix = `${prefixOf(facts)}-linkspan-`;
  return federated.slices.filter(
    (slice) =>
      slice.metadata?.name?.startsWith(prefix) === true &&
      (hasOwnershipLabels(slice, memberLabel(member)) || madeByUs(slice)),
  );
}

/** A cluster's name has no dot, so the source cluster's own slices have a name that no other can have. */
function prefixOf({ key, member }: MemberFacts): string {
  const service = federatedName(key.name);
  return member === LOCAL_MEMBER ? `${service}.local` : `${service}-${member}`;
}

/** Labels, annotations and ports as the leading member wants them. */
function leadMetadata({ remote, rules, imports }: MemberFacts) {
  const copied = copiedMetadata(remote ?? {}, imports.metadataAllowed ? rules : bareRules());
  return {
    labels: { ...copied.labels, [MIRRORED_SERVICE_LABEL]: 'true' },
    annotations: copied.annotations,
  };
}

function entryAnnotations(facts: MemberFacts): Record<string, string> {
  const { member, key, federated, union } = facts;
  const present = federated.service === undefined ? [] : federatedEntries(federated.service);
  const entries = present.filter((one) => !isStranger(facts, one));
  const entry = `${key.name}@${member}`;
  const discovery =
    member === LOCAL_MEMBER
      ? { [LOCAL_DISCOVERY]: key.name }
      : { [REMOTE_DISCOVERY]: (entries.includes(entry) ? entries : [...entries, entry]).join(',') };
  const ports = facts.egressPorts.get(federatedName(key.name)) ?? {};
  return {
    ...discovery,
    ...(facts.link === undefined ? {} : { [memberLinkKey(member)]: facts.link }),
    ...(union === 'relay' ? { [egressPortsKey(member)]: writeEgressPorts(ports) } : {}),
  };
}

/** An entry that nobody stands for: of a cluster that no Link names and none is on record for, or of this member's own under another name. */
function isStranger({ member, key, strangers }: MemberFacts, entry: string): boolean {
  const cluster = clusterOfEntry(entry);
  return strangers.includes(cluster) || (cluster === member && entry !== `${key.name}@${member}`);
}

/** Whether a key on a federated Service is one that no member has put there, or this one no longer wants. */
function isRemovable({ federated, member, key, strangers }: MemberFacts): RemovableKey {
  const annotations = federated.service?.metadata?.annotations ?? {};
  const members = new Set(
    (federated.service === undefined ? [] : federatedEntries(federated.service))
      .map(clusterOfEntry)
      .filter((cluster) => !strangers.includes(cluster)),
  );
  return (name, where) => {
    if (where === 'labels' || !isMirrorKey(name, where)) return isMirrorKey(name, where);
    const [group = '', cluster = ''] = name.split('/');
    // The record of the keys that the leader copied is the leader's.
    if (name === REMOTE_DISCOVERY || name === COPIED_KEYS) return false;
    if (name === LOCAL_DISCOVERY) return readAnnotation(annotations, LOCAL_DISCOVERY) !== key.name;
    if (!MIRROR_ANNOTATION_GROUPS.includes(group)) return true;
    return (
      cluster === memberLabel(member) || (!members.has(cluster) && cluster !== memberLabel(LOCAL_MEMBER))
    );
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
    labels: { ...lead.labels, [MIRRORED_SERVICE_LABEL]: 'true' },
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
  const { [COPIED_KEYS]: _, ...annotations } = metadata?.annotations ?? {};
  return { ...metadata, annotations };
}

function leave(facts: MemberFacts): Step[] {
  const { federated, member, key } = facts;
  const slices = ownSlices(facts).flatMap((slice) => deletion('endpointSlices', slice));
  const { service } = federated;
  if (service === undefined || !isMember(facts)) return slices;
  const annotations = service.metadata?.annotations ?? {};
  const left = federatedEntries(service).filter((entry) => entry !== `${key.name}@${member}`);
  const local = member === LOCAL_MEMBER ? undefined : readAnnotation(annotations, LOCAL_DISCOVERY);
  if (left.length === 0 && local === undefined) return [...deletion('services', service), ...slices];
  const patch = {
    metadata: {
      annotations: {
        [REMOTE_DISCOVERY]: left.length === 0 ? null : left.join(','),
        ...(member === LOCAL_MEMBER ? { [LOCAL_DISCOVERY]: null } : {}),
        ...Object.fromEntries(
          [egressPortsKey(member), memberLinkKey(member)]
            .filter((name) => name in annotations)
            .map((name) => [name, null]),
        ),
      },
    },
  };
  return [{ verb: 'patch', kind: 'services', target: service, patch }, ...slices];
}

/** Where federated Services get their endpoints from. */
export function unionFor(settings: Pick<TargetSettings, 'flatEndpoints'>, dataPath: DataPath): Union {
  if (settings.flatEndpoints) return 'pods';
  return dataPath === 'relay' ? 'relay' : 'none';
}
