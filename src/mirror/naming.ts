import type { V1Service } from '@kubernetes/client-node';
import { CLUSTER_NAME_LABEL, MIRRORED_SERVICE_LABEL, REMOTE_SERVICE_FQ_NAME } from '../base/names.ts';

/** Longest name of a Service (an RFC 1035 label). */
export const MAX_SERVICE_NAME = 63;

/** A Service in a target cluster. */
export interface RemoteKey {
  readonly namespace: string;
  readonly name: string;
}

/** Splits `namespace/name`. */
export function parseKey(key: string): RemoteKey {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** Name of the mirror of `service` for a cluster: `<svc>-<cluster>`. May be longer than a Service name can be. */
export function mirrorName(service: string, cluster: string): string {
  return `${service}-${cluster}`;
}

/** `<svc>.<ns>.svc.<target cluster's domain>`: the name by which the gateway knows the Service. */
export function fullyQualifiedName(key: RemoteKey, clusterDomain: string): string {
  return `${key.name}.${key.namespace}.svc.${clusterDomain}`;
}

/**
 * Where a local Service says it came from, or undefined when it is not a mirror of `cluster`.
 *
 * Both the labels and the recorded origin must name exactly this object: a copy that somebody made under another name, or a Service of a
 * user that merely has the name `<svc>-<cluster>`, is not ours and is never changed or deleted (Linkerd deletes those).
 */
export function originOf(service: V1Service, cluster: string): string | undefined {
  const { name, namespace, labels, annotations } = service.metadata ?? {};
  if (labels?.[MIRRORED_SERVICE_LABEL] !== 'true' || labels[CLUSTER_NAME_LABEL] !== cluster) return undefined;
  const [remoteName, remoteNamespace, svc] = (annotations?.[REMOTE_SERVICE_FQ_NAME] ?? '').split('.');
  if (remoteName === undefined || remoteNamespace !== namespace || svc !== 'svc') return undefined;
  return mirrorName(remoteName, cluster) === name ? `${remoteNamespace}/${remoteName}` : undefined;
}
