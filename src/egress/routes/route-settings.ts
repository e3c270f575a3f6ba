import { parseKey } from '../../api/mirror/mirror-names.ts';
import type { V1Service } from '@kubernetes/client-node';
import { keyOf } from '../../api/kubernetes/resource.ts';
import { allowedNamespacesText, readAllowedNamespaces } from '../../api/mirror/allowed-namespaces.ts';
import { servicePortProtocol } from '../../api/ports/port-protocol.ts';
import {
  effectivePolicy,
  POLICY_PARTS,
  type PolicyPart,
  type ResolvedPolicy,
} from '../../policy/effective-policy.ts';
import type { RouteSettings } from './route.ts';

/**
 * The DNS domain in the names of local Services: it stands in no request, only in names of `discovery` here.
 */
export const LOCAL_DOMAIN = 'cluster.local';

/** What a route has of the Service whose clients use it; undefined: it is not there. */
export function routeSettings(
  service: V1Service | undefined,
  {
    listenPort,
    holder,
    key,
    port,
  }: {
    readonly listenPort: number;
    /** Of its port (`holderOf`). */
    readonly holder: string;
    /** `namespace/name` of the Service. */
    readonly key: string;
    readonly port: number;
  },
): RouteSettings {
  return {
    label: `${holder}:${port}`,
    namespace: parseKey(key).namespace,
    listenPort,
    protocol: service === undefined ? undefined : servicePortProtocol(service, port),
    ...saidOfClients(service),
  };
}

/** A mirror's settings for its own clients, which are for those to decide who may write in its namespace. */
function saidOfClients(mirror: V1Service | undefined): Pick<RouteSettings, 'requests' | 'allowedNamespaces'> {
  // Without the mirror its rules about clients are not known, so only its own namespace is admitted.
  if (mirror === undefined) return { allowedNamespaces: [] };
  const { requests } = mirrorPolicy(mirror).policy;
  return { ...(requests === undefined ? {} : { requests }), ...whomItLetsIn(mirror) };
}

/** Which clients a Service lets in, as its own annotation says. */
export function whomItLetsIn({ metadata }: V1Service): Pick<RouteSettings, 'allowedNamespaces'> {
  const { namespaces } = readAllowedNamespaces(allowedNamespacesText(metadata?.annotations));
  return namespaces === undefined ? {} : { allowedNamespaces: namespaces };
}

/**
 * What of a mirror's traffic policy means something at the egress: endpoints are ejected, limits kept and
 * faults injected at the gateway. What is followed here has a field in `Route`.
 */
const FOLLOWED: { readonly [P in PolicyPart]: P extends keyof RouteSettings ? true : false } = {
  accrual: false,
  limits: false,
  faults: false,
  requests: true,
};
const PARTS = POLICY_PARTS.filter((part) => FOLLOWED[part]);

/** A mirror's traffic policy, as far as it means something at the egress. */
export function mirrorPolicy(mirror: V1Service): ResolvedPolicy {
  return effectivePolicy({ key: keyOf(mirror), annotations: mirror.metadata?.annotations }, PARTS);
}
