import { ALL_NAMESPACES } from '../../api/mirror/allowed-namespaces.ts';
import { ALLOWED_NAMESPACES } from '../../api/names.ts';
import type { Client, Unknown } from './client.ts';

/**
 * Whose clients may use mirrors that say nothing: everybody's, or only those of the mirror's own namespace.
 */
export type RelayPolicy = 'all' | 'namespace';

/**
 * The namespaces whose clients may use a route; undefined = everybody. The mirror's own is always one of
 * them: whoever may write there could name it anyway. Pure.
 * @param allowed what the mirror says, or else its Namespace; undefined = nothing
 */
export function allowedNamespaces(
  namespace: string,
  allowed: readonly string[] | undefined,
  policy: RelayPolicy,
): ReadonlySet<string> | undefined {
  if (allowed === undefined) return policy === 'all' ? undefined : new Set([namespace]);
  return allowed.includes(ALL_NAMESPACES) ? undefined : new Set([namespace, ...allowed]);
}

/** Why a client may not use a route: it is of another namespace, or nobody knows of which. */
export type RelayRefusal = 'namespace' | Unknown;

/**
 * Whether a client may use a route. One that is not known may use only what everybody may. Pure.
 * @returns why not
 */
export function relayRefusalOf(
  namespaces: ReadonlySet<string> | undefined,
  client: Client,
): RelayRefusal | undefined {
  if (namespaces === undefined) return undefined;
  if (client.kind === 'unknown') return client.reason;
  return namespaces.has(client.namespace) ? undefined : 'namespace';
}

/** A refusal in words, without saying who else would be let in: that is not for whoever is not. Pure. */
export function refusalText(label: string, refusal: RelayRefusal, client: Client, address: string): string {
  const rule = `only clients of some namespaces may use it (${ALLOWED_NAMESPACES})`;
  if (client.kind === 'pod')
    return `${label}: ${rule}, and ${client.namespace}/${client.name} is of none of them`;
  return `${label}: ${rule}, and it is not known who ${address} is: ${WHY[refusal]}`;
}

const WHY: Readonly<Record<RelayRefusal, string>> = {
  namespace: 'of another namespace',
  unwatched: 'the egress does not look at pods (--clients off)',
  'no pod': 'no pod of this cluster has the address',
  node: 'the address is that of a node',
  'several pods': 'several pods have the address',
};
