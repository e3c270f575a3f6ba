import { withoutReadableNamespaces } from '../../api/link/readable-namespaces.ts';
import { ON_NOTHING } from '../../api/names.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import { parseLink, type Link, type LinkObject } from '../../api/link/link-schema.ts';
import { parseSelector } from '../../api/kubernetes/label-selector.ts';

/**
 * As much of a Link as is needed to know whether its gateway is dead, where it cannot be used as it is: the
 * cluster, the gateway, how it is probed, the data path and the import policy must be right; nothing else of
 * it is read. Fit for following a gateway's life only, with `noAccess`: what is exported is not known, which
 * is another thing than that nothing is.
 * @returns undefined: it names no gateway, or nobody knows which
 */
export function gatewayOfLink(object: LinkObject): Link | undefined {
  const link = readable(object);
  if (link?.gateway === undefined) return undefined;
  return { ...link, selector: UNKNOWN, remoteDiscoverySelector: UNKNOWN, federatedServiceSelector: UNKNOWN };
}

/**
 * A Link without selectors is synced at once, and its mirrors would go: this one waits for a list that never
 * comes.
 */
const UNKNOWN = parseSelector({ matchLabels: { [ON_NOTHING]: 'true' } });

function readable(object: LinkObject): Link | undefined {
  const whole = parseLink(object);
  if (whole.ok) return whole.link;
  const { path, port, ...timing } = object.spec?.probeSpec ?? {};
  // What says how often is worth nothing against whether at all.
  for (const probeSpec of [
    { path, port, ...timing },
    { path, port },
  ]) {
    const part = parseLink(reduced(object, probeSpec));
    if (part.ok) return part.link;
  }
  return undefined;
}

function reduced({ metadata, spec, ...rest }: LinkObject, probeSpec: object): LinkObject {
  const annotations = withoutReadableNamespaces(metadata?.annotations);
  const { targetClusterName, gatewayAddress, gatewayPort, gatewayIdentity } = spec ?? {};
  const kept = { targetClusterName, gatewayAddress, gatewayPort, gatewayIdentity };
  return {
    ...rest,
    metadata: { ...metadata, annotations },
    spec: { ...kept, clusterCredentialsSecret: 'none', probeSpec },
  } as LinkObject;
}

/** The API server of a Link that cannot be used: each request fails with why, and none is sent. */
export function noAccess(problem: Error): ClusterAccess {
  return {
    server: 'https://none.invalid',
    source: 'a Link that cannot be used',
    ca: undefined,
    cert: undefined,
    key: undefined,
    tlsServerName: undefined,
    skipVerify: false,
    auth: { authorization: () => Promise.reject(problem) },
    bearer: undefined,
  };
}
