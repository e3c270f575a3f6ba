import { ALL_NAMESPACES } from '../../api/mirror/allowed-namespaces.ts';
import { ALLOWED_NAMESPACES } from '../../api/names.ts';
import type { Client, UnknownReason } from './client.ts';

/**
 * Who may use mirrors without an annotation about it: all clients of the cluster, or those of the mirror's
 * own namespace.
 */
export type RelayPolicy = 'all' | 'namespace';

/**
 * The namespaces whose clients may use a route; undefined = all. The mirror's own is always one of them,
 * since those who may write there could name it anyway. Pure.
 * @param allowed from the mirror's annotation, or else its Namespace's; undefined = neither has one
 */
export function allowedNamespaces(
  namespace: string,
  allowed: readonly string[] | undefined,
  policy: RelayPolicy,
): ReadonlySet<string> | undefined {
  if (allowed === undefined) return policy === 'all' ? undefined : new Set([namespace]);
  return allowed.includes(ALL_NAMESPACES) ? undefined : new Set([namespace, ...allowed]);
}

/** Why a client may not use a route: it is of another namespace, or its namespace is not known. */
export type RelayRefusal = 'namespace' | UnknownReason;

/**
 * Why a client may not use a route; undefined = it may. An unknown client may use only routes that are open
 * to all. Pure.
 */
export function relayRefusalOf(
  namespaces: ReadonlySet<string> | undefined,
  client: Client,
): RelayRefusal | undefined {
  if (namespaces === undefined) return undefined;
  if (client.kind === 'unknown') return client.reason;
  return namespaces.has(client.namespace) ? undefined : 'namespace';
}

/**
 * A refusal in words, without naming the namespaces that are allowed, which are not for the refused client to
 * know. Pure.
 */
export function refusalText(label: string, refusal: RelayRefusal, client: Client, address: string): string {
  const rule = `only clients of some namespaces may use it (${ALLOWED_NAMESPACES})`;
  if (client.kind === 'pod')
    return `${label}: ${rule}, and ${client.namespace}/${client.name} is of none of them`;
  return `${label}: ${rule}, and it is not known who ${address} is: ${WHY[refusal]}`;
}

/** Ends of the text for a client that is not known; `namespace` is not used there. */
const WHY: Readonly<Record<RelayRefusal, string>> = {
  namespace: 'of another namespace',
  unwatched: 'the egress does not look at pods (--clients off)',
  'no pod': 'no pod of this cluster has the address',
  node: 'the address is that of a node',
  'several pods': 'several pods have the address',
};
