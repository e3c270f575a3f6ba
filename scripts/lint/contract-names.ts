/**
 * Which text of `src/` names something of the contract that only `src/api` may spell: labels, annotations,
 * API groups and other names under `linkerd.io`, `l5d.io` and `linkspan.dev`, those of the Multi-Cluster
 * Services API, Linkerd's header fields `l5d-…`, the form of its identities, and texts that are nothing but
 * the name of an object or port that others look for. Addresses of web pages are none.
 */

import { IDENTITY_MARK } from '../../src/api/linkerd/identity-form.ts';
import {
  ADMIN_PORT_NAME,
  ANCHORS_CONFIG_MAP,
  CONTROLLER_NAME,
  DEFAULT_EGRESS_NAME,
  DEFAULT_GATEWAY_NAME,
  DEFAULT_NAMESPACE,
  GATEWAY_PORT_NAME,
  PROBE_PORT_NAME,
  REMOTE_ACCESS_ACCOUNT,
  SIGNER_DEPLOYMENT,
  TRUST_CONFIG_MAP,
} from '../../src/api/names.ts';

/** Names of objects and ports by which our processes, Linkerd's and people find each other. */
const OBJECT_NAMES: ReadonlySet<string> = new Set([
  ADMIN_PORT_NAME,
  ANCHORS_CONFIG_MAP,
  CONTROLLER_NAME,
  DEFAULT_EGRESS_NAME,
  DEFAULT_GATEWAY_NAME,
  DEFAULT_NAMESPACE,
  GATEWAY_PORT_NAME,
  PROBE_PORT_NAME,
  REMOTE_ACCESS_ACCOUNT,
  SIGNER_DEPLOYMENT,
  TRUST_CONFIG_MAP,
]);

/** Domains, and all below them, whose names belong to the contract. */
const DOMAINS = ['linkerd.io', 'l5d.io', 'linkspan.dev', 'multicluster.x-k8s.io'] as const;

/** What `l5d-…` is besides a header field: the ids of Linkerd's checks, which stand where the checks do. */
const CHECK_IDS = ['l5d-multicluster-', 'l5d-smc-'] as const;

/** What a text is split at into words: whatever a key, a host name or an address cannot have in it. */
const BETWEEN_WORDS = /[^\w./:-]/;

/**
 * The first such name in a text.
 * @returns undefined where there is none
 */
export function contractName(text: string): string | undefined {
  if (OBJECT_NAMES.has(text)) return text;
  if (text.includes(IDENTITY_MARK)) return IDENTITY_MARK;
  for (const word of text.split(BETWEEN_WORDS)) {
    if (word.includes('://')) continue;
    if (isProxyField(word)) return word.split(':')[0];
    const parts = word.split('/');
    const at = parts.findIndex((part) =>
      DOMAINS.some((domain) => part === domain || part.endsWith(`.${domain}`)),
    );
    if (at >= 0) return parts.slice(at).join('/');
  }
  return undefined;
}

function isProxyField(word: string): boolean {
  return word.startsWith('l5d-') && !CHECK_IDS.some((id) => word.startsWith(id));
}
