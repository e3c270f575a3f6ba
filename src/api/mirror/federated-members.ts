import { MIRROR_ANNOTATION_GROUPS } from './mirror-keys.ts';
import type { V1Service } from '@kubernetes/client-node';
import { type EgressPorts, readEgressPorts, writeEgressPorts } from '../egress/egress-ports.ts';
import { fqNameOf, linkOf } from './mirror-annotations.ts';
import { clusterOf, isMirrored } from './mirror-labels.ts';
import { readAnnotation } from '../annotations.ts';
import {
  FEDERATED_EGRESS_PORTS_GROUP,
  LOCAL_DISCOVERY,
  MEMBER_LINK_GROUP,
  REMOTE_DISCOVERY,
} from '../names.ts';
import { madeByUs, markedLater } from './ownership.ts';

/** The member of a federated Service that is in the source cluster itself; no cluster can have this name. */
export const LOCAL_MEMBER = '@local';

/** The label value for the local member: no name of a cluster has capitals. */
const LOCAL_LABEL = 'LOCAL';

/** A member's cluster as a label value. */
export function memberLabel(member: string): string {
  return member === LOCAL_MEMBER ? LOCAL_LABEL : member;
}

/** The member that a label value stands for. */
function memberOfLabel(label: string): string {
  return label === LOCAL_LABEL ? LOCAL_MEMBER : label;
}

/** The annotation under which a member's egress ports stand on the federated Service. */
function egressPortsKey(member: string): `${typeof FEDERATED_EGRESS_PORTS_GROUP}/${string}` {
  return `${FEDERATED_EGRESS_PORTS_GROUP}/${memberLabel(member)}`;
}

/** The annotation that records by which Link a member came. */
function memberLinkKey(member: string): `${typeof MEMBER_LINK_GROUP}/${string}` {
  return `${MEMBER_LINK_GROUP}/${memberLabel(member)}`;
}

const FEDERATED_SUFFIX = '-federated';

/** Name of the federated Service that a Service of this name joins: `<svc>-federated`. */
export function federatedName(service: string): string {
  return service + FEDERATED_SUFFIX;
}

/** The member's name behind the name of a federated Service; undefined for any other name. */
export function memberName(federated: string): string | undefined {
  return federated.endsWith(FEDERATED_SUFFIX) && federated.length > FEDERATED_SUFFIX.length
    ? federated.slice(0, -FEDERATED_SUFFIX.length)
    : undefined;
}

/**
 * Whether a Service is a federated one that mirroring made: labelled so, of no single cluster, and with
 * members. One that we made is so too while somebody has edited one of these away or added what a mirror has.
 */
export function isFederated(service: V1Service): boolean {
  if (markedLater(service)) return false;
  const hasMembers = hasMemberList(service) || localMemberOf(service) !== undefined;
  const marked = isMirrored(service) && clusterOf(service) === undefined;
  return (marked && hasMembers) || (madeByUs(service) && isFederatedByRest(service, hasMembers));
}

function isFederatedByRest(service: V1Service, hasMembers: boolean): boolean {
  if (memberName(service.metadata?.name ?? '') === undefined) return false;
  const mirrors = linkOf(service) !== undefined || fqNameOf(service) !== undefined;
  return hasMembers || !mirrors || memberLinkLabels(service).length > 0;
}

/** The `<svc>@<cluster>` entries of a federated Service, in order of joining; malformed ones are left out. */
export function federatedEntries(service: V1Service): string[] {
  const list = readAnnotation(service.metadata?.annotations, REMOTE_DISCOVERY) ?? '';
  return list
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => /^[^@]+@[^@]+$/.test(entry));
}

/** Whether a Service has such a list, even an empty one. */
export function hasMemberList({ metadata }: V1Service): boolean {
  return readAnnotation(metadata?.annotations, REMOTE_DISCOVERY) !== undefined;
}

/** Which part of the shared record an annotation is; undefined: it is no part of it. */
export function sharedPart(annotation: string): 'members' | 'local member' | undefined {
  if (annotation === REMOTE_DISCOVERY) return 'members';
  return annotation === LOCAL_DISCOVERY ? 'local member' : undefined;
}

/** The list of members in other clusters. */
export function entriesAnnotation(entries: readonly string[]): Record<string, string> {
  return { [REMOTE_DISCOVERY]: entries.join(',') };
}

/** The list as a merge patch, which removes the annotation when no member is left. */
export function entriesPatch(entries: readonly string[]): Record<string, string | null> {
  return entries.length === 0 ? { [REMOTE_DISCOVERY]: null } : entriesAnnotation(entries);
}

/** The entry of a cluster's Service. */
export function memberEntry(service: string, cluster: string): string {
  return `${service}@${cluster}`;
}

/** The Service's name in an entry. */
export function serviceOfEntry(entry: string): string {
  return entry.slice(0, entry.indexOf('@'));
}

/** The cluster of an entry. */
export function clusterOfEntry(entry: string): string {
  return entry.slice(entry.indexOf('@') + 1);
}

/** The name of the member that is in the source cluster itself. */
export function localMemberOf(service: V1Service): string | undefined {
  return readAnnotation(service.metadata?.annotations, LOCAL_DISCOVERY);
}

/** The annotation that names it. */
export function localMemberAnnotation(name: string): Record<string, string> {
  return { [LOCAL_DISCOVERY]: name };
}

/** Annotations of a merge patch that remove it. */
export function withoutLocalMember(): Record<string, null> {
  return { [LOCAL_DISCOVERY]: null };
}

/** Whether a Service of that name is a member of a federated Service, by the cluster it is in. */
export function hasMember(federated: V1Service, member: string, name: string): boolean {
  if (member === LOCAL_MEMBER) return localMemberOf(federated) === name;
  return federatedEntries(federated).includes(memberEntry(name, member));
}

/** The clusters of all members, `LOCAL_MEMBER` among them. */
export function memberClusters(service: V1Service): string[] {
  const clusters = new Set(federatedEntries(service).map(clusterOfEntry));
  if (localMemberOf(service) !== undefined) clusters.add(LOCAL_MEMBER);
  return [...clusters];
}

/**
 * What a federated Service records of one member: the Link (`namespace/name`) that it came by, its egress
 * ports.
 */
export interface MemberRecord {
  readonly link?: string | undefined;
  readonly egressPorts?: EgressPorts | undefined;
}

/** The annotations that record it. */
export function memberRecord(member: string, { link, egressPorts }: MemberRecord): Record<string, string> {
  return {
    ...(link === undefined ? {} : { [memberLinkKey(member)]: link }),
    ...(egressPorts === undefined ? {} : { [egressPortsKey(member)]: writeEgressPorts(egressPorts) }),
  };
}

/** Annotations of a merge patch that take a member's record away, as far as it is there. */
export function withoutMemberRecord(service: V1Service, member: string): Record<string, null> {
  const there = service.metadata?.annotations ?? {};
  const keys = [egressPortsKey(member), memberLinkKey(member)].filter((key) => key in there);
  return Object.fromEntries(keys.map((key) => [key, null]));
}

/** The Link (`namespace/name`) that a member came by. */
export function memberLinkOf(service: V1Service, member: string): string | undefined {
  return readAnnotation(service.metadata?.annotations, memberLinkKey(member));
}

/** The egress port of each service port for a member's cluster; empty where none is recorded. */
export function memberEgressPortsOf(service: V1Service, member: string): EgressPorts {
  return readEgressPorts(readAnnotation(service.metadata?.annotations, egressPortsKey(member)));
}

/**
 * All that is recorded of Links, by cluster. The member in the source cluster came by no Link, whatever its
 * record says.
 */
export function memberLinks(service: V1Service): { readonly cluster: string; readonly link: string }[] {
  return memberLinkLabels(service).flatMap((cluster) => {
    const link = cluster === LOCAL_LABEL ? undefined : memberLinkOf(service, cluster);
    return link === undefined ? [] : [{ cluster, link }];
  });
}

function memberLinkLabels({ metadata }: V1Service): string[] {
  const group = `${MEMBER_LINK_GROUP}/`;
  const keys = Object.keys(metadata?.annotations ?? {}).filter((key) => key.startsWith(group));
  return keys.map((key) => key.slice(group.length));
}

/** The member that an annotation is the record of; undefined: it is no such record. */
export function memberOfRecord(annotation: string): string | undefined {
  const [group = '', label = ''] = annotation.split('/');
  return MIRROR_ANNOTATION_GROUPS.includes(group) ? memberOfLabel(label) : undefined;
}
