import { createHash } from 'node:crypto';
import { withoutEnd } from '../../base/text.ts';

/** Longest name of a Service (an RFC 1035 label). */
export const MAX_SERVICE_NAME = 63;

/** A Service in a target cluster. */
export interface RemoteKey {
  readonly namespace: string;
  readonly name: string;
}

/** Splits `namespace/name`; a key without a slash is a name without a namespace, as with client-go. */
export function parseKey(key: string): RemoteKey {
  const slash = key.indexOf('/');
  if (slash < 0) return { namespace: '', name: key };
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/**
 * Name of the mirror of `service` for a cluster: `<svc>-<cluster>`. May be longer than a Service name can be.
 */
export function mirrorName(service: string, cluster: string): string {
  return `${service}-${cluster}`;
}

/**
 * Name of the endpoint mirror of one host of a headless Service. It is Linkerd's `<host>-<cluster>` where
 * that can be a Service's name and is free. Else it has a hash, the same each time:
 * `<host>-<hash>-<cluster>`, or without a host or a cluster that leave no room. That is so
 * - where two headless Services of one namespace have pods of the same host name;
 * - where the host's name begins with a digit: pods' may (RFC 1123), Services' may not (RFC 1035);
 * - where it would be too long.
 *
 * Clients never see it: they use `<host>.<svc>-<cluster>`.
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
