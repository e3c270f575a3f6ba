import type { V1Service } from '@kubernetes/client-node';
import { createHash } from 'node:crypto';
import { readAnnotation } from '../base/annotations.ts';
import {
  CLUSTER_NAME_LABEL,
  HEADLESS_MIRROR_LABEL,
  LINK_ANNOTATION,
  LOCAL_DISCOVERY,
  MIRRORED_SERVICE_LABEL,
  REMOTE_DISCOVERY,
  REMOTE_SERVICE_FQ_NAME,
} from '../base/names.ts';
import { withoutEnd } from '../base/text.ts';

/** Longest name of a Service (an RFC 1035 label). */
export const MAX_SERVICE_NAME = 63;
const FEDERATED_SUFFIX = '-federated';

/** A Service in a target cluster. */
export interface RemoteKey {
  readonly namespace: string;
  readonly name: string;
}

/** Whose mirrors are meant: those of a target cluster, made for a Link (`namespace/name`). */
export interface MirrorOwner {
  readonly cluster: string;
  readonly link: string;
}

/** Splits `namespace/name`. */
export function parseKey(key: string): RemoteKey {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** `namespace/name` of an object. */
export function keyOfObject({
  metadata,
}: {
  metadata?: { namespace?: string | undefined; name?: string | undefined };
}): string {
  return `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
}

/** Name of the mirror of `service` for a cluster: `<svc>-<cluster>`. May be longer than a Service name can be. */
export function mirrorName(service: string, cluster: string): string {
  return `${service}-${cluster}`;
}

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
 * Name of the endpoint mirror of one host of a headless Service: Linkerd's `<host>-<cluster>` where that is free; where two headless Services of one
 * namespace have pods of the same host name, the later one gets `<host>-<hash of its name>-<cluster>`, the same each time.
 * Clients never see it: they use `<host>.<svc>-<cluster>`.
 */
export function endpointMirrorName(
  host: string,
  service: string,
  cluster: string,
  free: (name: string) => boolean,
): string {
  const plain = mirrorName(host, cluster);
  if (plain.length <= MAX_SERVICE_NAME && free(plain)) return plain;
  const hash = createHash('sha256').update(`${host}.${service}`).digest('hex').slice(0, 8);
  const room = MAX_SERVICE_NAME - cluster.length - hash.length - 2;
  return `${withoutEnd(host.slice(0, Math.max(1, room)), '-')}-${hash}-${cluster}`;
}

/** `<svc>.<ns>.svc.<target cluster's domain>`: the name by which the gateway knows the Service. */
export function fullyQualifiedName(key: RemoteKey, clusterDomain: string): string {
  return `${key.name}.${key.namespace}.svc.${clusterDomain}`;
}

/**
 * Where a local Service says it came from (`namespace/name` of the remote Service), or undefined when it is not a mirror of this owner.
 *
 * The label, the recorded origin and the name must all agree: a copy that somebody made under another name, or a Service of a
 * user that merely has the name `<svc>-<cluster>`, is not ours and is never changed or deleted (Linkerd deletes those). A cluster-name label that somebody changed by
 * hand does not disown a mirror that records our Link: it is put right.
 */
export function originOf(service: V1Service, owner: MirrorOwner): string | undefined {
  const { name, namespace } = service.metadata ?? {};
  if (!isOwned(service, owner) || service.metadata?.labels?.[HEADLESS_MIRROR_LABEL] !== undefined)
    return undefined;
  const [remoteName, remoteNamespace, svc] = originParts(service);
  if (remoteName === undefined || remoteNamespace !== namespace || svc !== 'svc') return undefined;
  return mirrorName(remoteName, owner.cluster) === name ? `${remoteNamespace}/${remoteName}` : undefined;
}

/** The host and the remote headless Service that a local Service is the endpoint mirror of, if it is one of this owner. */
export function hostOriginOf(
  service: V1Service,
  owner: MirrorOwner,
): { readonly key: string; readonly host: string } | undefined {
  const { namespace, labels } = service.metadata ?? {};
  if (!isOwned(service, owner)) return undefined;
  const [host, remoteName, remoteNamespace, svc] = originParts(service);
  if (host === undefined || remoteName === undefined || remoteNamespace !== namespace || svc !== 'svc')
    return undefined;
  if (labels?.[HEADLESS_MIRROR_LABEL] !== mirrorName(remoteName, owner.cluster)) return undefined;
  return { key: `${remoteNamespace}/${remoteName}`, host };
}

function isOwned(service: V1Service, owner: MirrorOwner): boolean {
  const { labels, annotations } = service.metadata ?? {};
  if (labels?.[MIRRORED_SERVICE_LABEL] !== 'true') return false;
  return (
    labels[CLUSTER_NAME_LABEL] === owner.cluster ||
    readAnnotation(annotations, LINK_ANNOTATION) === owner.link
  );
}

function originParts(service: V1Service): string[] {
  return (readAnnotation(service.metadata?.annotations, REMOTE_SERVICE_FQ_NAME) ?? '').split('.');
}

/** Whether a Service is a federated one that mirroring made: labelled so, of no single cluster, and with members. */
export function isFederated(service: V1Service): boolean {
  const { labels, annotations } = service.metadata ?? {};
  if (labels?.[MIRRORED_SERVICE_LABEL] !== 'true' || labels[CLUSTER_NAME_LABEL] !== undefined) return false;
  return ([REMOTE_DISCOVERY, LOCAL_DISCOVERY] as const).some(
    (name) => readAnnotation(annotations, name) !== undefined,
  );
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
