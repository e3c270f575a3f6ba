import type { V1ManagedFieldsEntry, V1ObjectMeta, V1Service } from '@kubernetes/client-node';
import { MANAGER, MIRRORED_SERVICE_LABEL } from '../names.ts';
import { fqNameOf, linkOf } from './mirror-annotations.ts';
import { clusterOf, headlessMirrorNameOf, isMirrored } from './mirror-labels.ts';
import { endpointMirrorName, mirrorName, parseKey } from './mirror-names.ts';

/**
 * Who made an object, by what the API server keeps of each writer (`metadata.managedFields`). Labels and
 * annotations can be edited one by one by whoever may write the object; that it was us who made it stays on
 * record as long as one field is still ours, and a person who only puts our labels on an object of their own
 * does not get there. This does not stop malice, and need not: a user who may write an object may as well
 * delete it and make another (ADR 0024).
 */
const BY_US: V1ManagedFieldsEntry[] = [{ manager: MANAGER }];
/** Stands for a Service that one writer made and another has marked as mirrored. */
const MARKED_LATER: V1ManagedFieldsEntry[] = [{ manager: '' }];

/**
 * Reduces `managedFields` of an object that mirroring reads to one of two constants, or to nothing.
 * Changes the object.
 */
export function keepMaker<T extends { metadata?: V1ObjectMeta }>(object: T): T {
  const { metadata } = object;
  if (metadata?.managedFields === undefined) return object;
  if (madeByUs(object)) metadata.managedFields = BY_US;
  else if (wasMarkedLater(metadata.managedFields)) metadata.managedFields = MARKED_LATER;
  else delete metadata.managedFields;
  return object;
}

/** Whether we made an object, or have written to it since. */
export function madeByUs(object: { metadata?: V1ObjectMeta } | undefined): boolean {
  return (object?.metadata?.managedFields ?? []).some(({ manager }) => manager === MANAGER);
}

/**
 * Whether one writer made an object and another marked it as mirrored, and neither is us: it is a user's own,
 * whatever its labels say.
 */
export function markedLater(object: { metadata?: V1ObjectMeta }): boolean {
  return object.metadata?.managedFields?.[0]?.manager === '';
}

function wasMarkedLater(entries: readonly V1ManagedFieldsEntry[]): boolean {
  const marking = entries.filter(({ fieldsV1 }) =>
    has(fieldsV1, 'f:metadata', 'f:labels', `f:${MIRRORED_SERVICE_LABEL}`),
  );
  const making = entries.filter(({ fieldsV1 }) => has(fieldsV1, 'f:spec', 'f:ports'));
  if (marking.length === 0 || making.length === 0) return false;
  return !marking.some(({ manager }) => making.some((other) => other.manager === manager));
}

/** Whether a field is in a set of fields (KEP-555's FieldsV1). */
function has(fields: unknown, ...path: readonly string[]): boolean {
  let at: unknown = fields;
  for (const step of path) {
    if (typeof at !== 'object' || at === null || !(step in at)) return false;
    at = (at as Readonly<Record<string, unknown>>)[step];
  }
  return true;
}

/** Whose mirrors are meant: those of a target cluster, made for a Link (`namespace/name`). */
export interface MirrorOwner {
  readonly cluster: string;
  readonly link: string;
}

/**
 * What a local Service is to an owner: the mirror of a remote Service, or the endpoint mirror of one host of
 * a headless one.
 */
export interface Origin {
  /** The remote Service, `namespace/name`. */
  readonly key: string;
  /** Undefined for the mirror of a Service. */
  readonly host: string | undefined;
}

/**
 * The remote Service (`namespace/name`) that a local Service is the mirror of; undefined when it is none of
 * this owner.
 */
export function originOf(service: V1Service, owner: MirrorOwner): string | undefined {
  const origin = ownedOrigin(service, owner);
  return origin?.host === undefined ? origin?.key : undefined;
}

/**
 * The host and the remote headless Service that a local Service is the endpoint mirror of, if it is one of
 * this owner.
 */
export function hostOriginOf(
  service: V1Service,
  owner: MirrorOwner,
): { readonly key: string; readonly host: string } | undefined {
  const origin = ownedOrigin(service, owner);
  return origin?.host === undefined ? undefined : { key: origin.key, host: origin.host };
}

/**
 * Label, recorded origin and name must all agree: a copy that somebody made under another name, or a Service
 * of a user that merely has the name `<svc>-<cluster>` or our labels, is not ours and is never changed or
 * deleted (Linkerd deletes those). Of what we made ourselves, any one of them may have been edited by hand:
 * it is still ours, by the marks that are left, and is put right.
 */
function ownedOrigin(service: V1Service, owner: MirrorOwner): Origin | undefined {
  if (markedLater(service) || !isOwned(service, owner)) return undefined;
  const said = recordedOrigin(service, owner);
  if (said !== undefined && agreesWithLabel(service, said, owner)) return said;
  return madeByUs(service) ? (said ?? namedOrigin(service, owner)) : undefined;
}

/** A cluster-name label that somebody changed does not disown a mirror that records our Link. */
function isOwned(service: V1Service, owner: MirrorOwner): boolean {
  if (!isMirrored(service) && !madeByUs(service)) return false;
  return clusterOf(service) === owner.cluster || linkOf(service) === owner.link;
}

/** Whether the label of endpoint mirrors is there for one of these and for nothing else. */
function agreesWithLabel(service: V1Service, { key, host }: Origin, { cluster }: MirrorOwner): boolean {
  const headless = host === undefined ? undefined : mirrorName(parseKey(key).name, cluster);
  return headlessMirrorNameOf(service) === headless;
}

/** The origin that the annotation records, if the Service's name is the one that goes with it. */
function recordedOrigin(service: V1Service, { cluster }: MirrorOwner): Origin | undefined {
  const { name = '', namespace = '' } = service.metadata ?? {};
  const parts = (fqNameOf(service) ?? '').split('.', 4);
  const [first = '', second = ''] = parts;
  const isIn = (rest: readonly string[]) => rest[0] === namespace && rest[1] === 'svc';
  if (isIn(parts.slice(1)) && mirrorName(first, cluster) === name)
    return { key: `${namespace}/${first}`, host: undefined };
  // It has either of two names: which one was free when it was made is not known any more.
  const names = [true, false].map((free) => endpointMirrorName(first, second, cluster, () => free));
  if (!isIn(parts.slice(2)) || !names.includes(name)) return undefined;
  return { key: `${namespace}/${second}`, host: first };
}

/** The origin that name and labels say, where the annotation says nothing that could be. */
function namedOrigin(service: V1Service, { cluster }: MirrorOwner): Origin | undefined {
  const { name = '', namespace = '' } = service.metadata ?? {};
  const before = (text: string) => (text.endsWith(`-${cluster}`) ? text.slice(0, -cluster.length - 1) : '');
  const headless = headlessMirrorNameOf(service);
  if (before(name) === '' || (headless !== undefined && before(headless) === '')) return undefined;
  return headless === undefined
    ? { key: `${namespace}/${before(name)}`, host: undefined }
    : { key: `${namespace}/${before(headless)}`, host: before(name) };
}
