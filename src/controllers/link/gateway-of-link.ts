import { withoutReadableNamespaces } from '../../api/link/readable-namespaces.ts';
import { ON_NOTHING } from '../../api/names.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import { parseLink, type Link, type LinkObject } from '../../api/link/link-schema.ts';
import { parseSelector } from '../../api/kubernetes/label-selector.ts';

/**
 * The part of an unusable Link that is needed to follow its gateway, so that clients are not sent to a dead
 * one: the cluster, the gateway, how it is probed, the data path and the import policy, which must be valid;
 * nothing else of the Link is read. To be run with `noAccess`: its selectors stand for exports that are not
 * known, not for none.
 * @returns undefined: it names no gateway, or those parts are not valid
 */
export function gatewayOfLink(object: LinkObject): Link | undefined {
  const link = readable(object);
  if (link?.gateway === undefined) return undefined;
  return { ...link, selector: UNKNOWN, remoteDiscoverySelector: UNKNOWN, federatedServiceSelector: UNKNOWN };
}

/**
 * A selector whose list never arrives, because `noAccess` sends no request. Without selectors, a Link is
 * synced at once, and its mirrors would be removed as not exported.
 */
const UNKNOWN = parseSelector({ matchLabels: { [ON_NOTHING]: 'true' } });

function readable(object: LinkObject): Link | undefined {
  const whole = parseLink(object);
  if (whole.ok) return whole.link;
  const { path, port, ...timing } = object.spec?.probeSpec ?? {};
  // Invalid timings of the probes do not matter: the second attempt leaves them to their defaults.
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

/** Access for a Link that cannot be used: each request fails with the reason, and none is sent. */
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
