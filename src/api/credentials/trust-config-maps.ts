import type { V1ConfigMap } from '@kubernetes/client-node';
import { TRUST_CONFIG_MAP } from '../names.ts';

/**
 * ConfigMaps with trust anchors: the signer's `linkspan-trust`, Linkerd's `linkerd-identity-trust-roots`, and
 * `linkspan-anchors` with those of other domains. Written and read here alone.
 */

/** Linkerd's, in its own namespace. */
export const LINKERD_TRUST_CONFIG_MAP = 'linkerd-identity-trust-roots';

const OUR_BUNDLE = 'ca.crt';
/** Keys that may hold the bundle, ours and Linkerd's: the first that is there counts. */
export const BUNDLE_KEYS = [OUR_BUNDLE, 'ca-bundle.crt'] as const;
/** Key beside the bundle: the trust domain whose identities the signer gives. */
const DOMAIN_KEY = 'trust-domain';
/** The ending of keys of `linkspan-anchors`: `west.cluster.local.crt` has those of `west.cluster.local`. */
const BOUND_ENDING = '.crt';

/** What the signer publishes. */
export interface PublishedTrust {
  /** PEM. */
  readonly bundle: string;
  readonly trustDomain: string;
}

/** The ConfigMap that publishes it. */
export function trustConfigMap(namespace: string, { bundle, trustDomain }: PublishedTrust): V1ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace, name: TRUST_CONFIG_MAP },
    data: { [OUR_BUNDLE]: bundle, [DOMAIN_KEY]: trustDomain },
  };
}

/** The bundle of such a ConfigMap, ours or Linkerd's, and under which key it stands. */
export function bundleIn(
  found: V1ConfigMap | undefined,
): { readonly key: string; readonly pem: string } | undefined {
  for (const key of BUNDLE_KEYS) {
    const pem = found?.data?.[key];
    if (pem !== undefined) return { key, pem };
  }
  return undefined;
}

/** The trust domain that a ConfigMap of the signer names. */
export function trustDomainIn(found: V1ConfigMap | undefined): string | undefined {
  return found?.data?.[DOMAIN_KEY];
}

/** Anchors of other domains: each domain as its key names it, and the PEM text. Neither is checked. */
export function boundAnchorsIn(
  found: V1ConfigMap | undefined,
): { readonly key: string; readonly domain: string; readonly pem: string }[] {
  return Object.entries(found?.data ?? {})
    .filter(([key]) => key.endsWith(BOUND_ENDING))
    .map(([key, pem]) => ({ key, domain: key.slice(0, -BOUND_ENDING.length), pem }));
}
