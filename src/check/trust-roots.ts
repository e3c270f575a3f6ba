import { boundAnchorsIn, bundleIn, LINKERD_TRUST_CONFIG_MAP } from '../api/credentials/trust-config-maps.ts';
import { ANCHORS_CONFIG_MAP, TRUST_CONFIG_MAP } from '../api/names.ts';
import { parseCertificates } from '../identity/x509/certificate.ts';
import { isForbidden, isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { configMaps } from '../api/kubernetes/resource.ts';
import type { CheckFacts } from './check-facts.ts';

/** ConfigMaps, with the key, in which clusters publish their trust anchors. */
const PLACES = (where: { readonly namespace: string; readonly linkerdNamespace: string }) => [
  { namespace: where.namespace, name: TRUST_CONFIG_MAP },
  { namespace: where.linkerdNamespace, name: LINKERD_TRUST_CONFIG_MAP },
];

/** Fingerprints of a cluster's trust anchors; undefined where none are published, or they may not be read. */
export async function trustRoots(
  client: KubeClient,
  where: { readonly namespace: string; readonly linkerdNamespace: string },
): Promise<ReadonlySet<string> | undefined> {
  for (const ref of PLACES(where)) {
    const text = await anchorsIn(client, ref);
    if (text !== undefined)
      return new Set(parseCertificates(text, ref.name).map(({ x509 }) => x509.fingerprint256));
  }
  return undefined;
}

/**
 * Fingerprints of this cluster's anchors that are bound to other trust domains. Those that do not parse are
 * reported by the check `linkspan-trust-domains`.
 */
export async function boundRoots(facts: CheckFacts): Promise<readonly string[]> {
  const found = await facts.configMap({ namespace: facts.namespace, name: ANCHORS_CONFIG_MAP });
  return boundAnchorsIn(found).flatMap(({ pem }) => {
    try {
      return parseCertificates(pem, ANCHORS_CONFIG_MAP).map(({ x509 }) => x509.fingerprint256);
    } catch {
      return [];
    }
  });
}

async function anchorsIn(
  client: KubeClient,
  ref: { namespace: string; name: string },
): Promise<string | undefined> {
  try {
    return bundleIn(await client.get(configMaps, ref))?.pem;
  } catch (error) {
    if (isNotFound(error) || isForbidden(error)) return undefined;
    throw error;
  }
}
