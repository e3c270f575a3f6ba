import type { V1Service } from '@kubernetes/client-node';
import { fqNameOf, linkOf } from './mirror-annotations.ts';
import { clusterOf, headlessMirrorNameOf, isMirrored } from './mirror-labels.ts';
import { createHash } from 'node:crypto';
import { withoutEnd } from '../../base/text.ts';
import { madeByUs, markedLater } from './ownership.ts';

/** Longest name of a Service (an RFC 1035 label). */
export const MAX_SERVICE_NAME = 63;

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

/**
 * Name of the mirror of `service` for a cluster: `<svc>-<cluster>`. May be longer than a Service name can be.
 */
export function mirrorName(service: string, cluster: string): string {
  return `${service}-${cluster}`;
}

/**
 * Name of the endpoint mirror of one host of a headless Service: Linkerd's `<host>-<cluster>` where that is
 * free and can be a Service's name; where two headless Services of one namespace have pods of the same host
 * name, where a host's begins with a digit (pods' may, RFC 1123; Services' may not, RFC 1035), and where it
 * would be too long, a name with a hash, the same each time: `<host>-<hash>-<cluster>`, or without a host or
 * a cluster that leave no room. Clients never see it: they use `<host>.<svc>-<cluster>`.
 */
export function endpointMirrorName(
  host: string,
  service: string,
  cluster: string,
  free: (name: string) => boolean,
): string {
  const plain = mirrorName(host, cluster);
  if (plain.length <= MAX_SERVICE_NAME && /^[a-z]/.test(plain) && free(plain)) return plain;
  const hash = createHash('sha256').update(`${host}.${service}`).digest('hex').slice(0, 8);
  const head = /^[a-z]/.test(host) ? host : `h${host}`;
  const room = MAX_SERVICE_NAME - cluster.length - hash.length - 2;
  if (room >= 1) return `${withoutEnd(head.slice(0, room), '-')}-${hash}-${cluster}`;
  const whole = createHash('sha256').update(`${host}.${service}.${cluster}`).digest('hex');
  return `h-${whole.slice(0, 16)}`;
}

/** `<svc>.<ns>.svc.<target cluster's domain>`: the name by which the gateway knows the Service. */
export function fullyQualifiedName(key: RemoteKey, clusterDomain: string): string {
  return `${key.name}.${key.namespace}.svc.${clusterDomain}`;
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
  const names = [true, false].map((free) => endpointMirrorName(first, second, cluster, () => free));
  if (!isIn(parts.slice(2)) || !names.includes(name)) return undefined;
  return { key: `${namespace}/${second}`, host: first };
}

/** The origin by name and labels, where the annotation has no plausible one. */
function namedOrigin(service: V1Service, { cluster }: MirrorOwner): Origin | undefined {
  const { name = '', namespace = '' } = service.metadata ?? {};
  const before = (text: string) => (text.endsWith(`-${cluster}`) ? text.slice(0, -cluster.length - 1) : '');
  const headless = headlessMirrorNameOf(service);
  if (before(name) === '' || (headless !== undefined && before(headless) === '')) return undefined;
  return headless === undefined
    ? { key: `${namespace}/${before(name)}`, host: undefined }
    : { key: `${namespace}/${before(headless)}`, host: before(name) };
}
