import type { V1Service } from '@kubernetes/client-node';
import { clusterOf, isMirrored } from './mirror-labels.ts';
import { readAnnotation } from '../annotations.ts';
import {
  FEDERATED_EGRESS_PORTS_GROUP,
  LINK_ANNOTATION,
  LOCAL_DISCOVERY,
  MEMBER_LINK_GROUP,
  REMOTE_DISCOVERY,
  REMOTE_SERVICE_FQ_NAME,
} from '../names.ts';
import { madeByUs, markedLater } from './ownership.ts';

/** The member of a federated Service that is in the source cluster itself; no cluster can have this name. */
export const LOCAL_MEMBER = '@local';

/** A member's cluster as a label value; a cluster cannot be named with capitals. */
export function memberLabel(member: string): string {
  return member === LOCAL_MEMBER ? 'LOCAL' : member;
}

/** The annotation under which a member's egress ports stand on the federated Service. */
export function egressPortsKey(member: string): `${typeof FEDERATED_EGRESS_PORTS_GROUP}/${string}` {
  return `${FEDERATED_EGRESS_PORTS_GROUP}/${memberLabel(member)}`;
}

/** The annotation that records by which Link a member came. */
export function memberLinkKey(member: string): `${typeof MEMBER_LINK_GROUP}/${string}` {
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
 * Whether a Service is a federated one that mirroring made: labelled so, of no single cluster, and with members. One that we made is so too while somebody has edited one of these away or added what a mirror
 * has.
 */
export function isFederated(service: V1Service): boolean {
  const { annotations = {} } = service.metadata ?? {};
  if (markedLater(service)) return false;
  const hasMembers =
    readAnnotation(annotations, REMOTE_DISCOVERY) !== undefined ||
    readAnnotation(annotations, LOCAL_DISCOVERY) !== undefined;
  const marked = isMirrored(service) && clusterOf(service) === undefined;
  return (marked && hasMembers) || (madeByUs(service) && isFederatedByRest(service, hasMembers));
}

function isFederatedByRest({ metadata }: V1Service, hasMembers: boolean): boolean {
  const { name = '', annotations = {} } = metadata ?? {};
  if (memberName(name) === undefined) return false;
  const mirrors =
    readAnnotation(annotations, LINK_ANNOTATION) !== undefined ||
    readAnnotation(annotations, REMOTE_SERVICE_FQ_NAME) !== undefined;
  return hasMembers || !mirrors || hasMemberRecord(annotations);
}

function hasMemberRecord(annotations: Readonly<Record<string, string>>): boolean {
  return Object.keys(annotations).some((key) => key.startsWith(`${MEMBER_LINK_GROUP}/`));
}

/** The `<svc>@<cluster>` entries of a federated Service, in order of joining; malformed ones are left out. */
export function federatedEntries(service: V1Service): string[] {
  const list = readAnnotation(service.metadata?.annotations, REMOTE_DISCOVERY) ?? '';
  return list
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => /^[^@]+@[^@]+$/.test(entry));
}

/** The cluster of an entry. */
export function clusterOfEntry(entry: string): string {
  return entry.slice(entry.indexOf('@') + 1);
}
