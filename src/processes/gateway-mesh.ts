import { messageOf } from '../api/errors/linkspan-error.ts';
import type { MeshSettings } from '../discovery/mesh-pods.ts';
import { meshNameOf } from '../identity/names/trust-domain.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { nodes } from '../api/kubernetes/resource.ts';
import type { Logger } from '../telemetry/log.ts';

const ZONE_LABEL = 'topology.kubernetes.io/zone';

/** Time to learn the gateway's zone, milliseconds; afterwards it serves without. */
const ZONE_TIMEOUT_MS = 5000;

/**
 * Which pods are reached by mTLS through their mesh proxy; undefined = none. With `auto` not for an identity
 * from our own signer, which Linkerd's proxies do not trust unless somebody has arranged it (`on`).
 */
export function meshSettings(
  settings: {
    /** Whether pods are watched for mesh proxies; `auto`: where the gateway has an identity of that mesh. */
    readonly mesh: 'auto' | 'on' | 'off';
    /** Where the gateway's own identity comes from. */
    readonly identity: 'dir' | 'linkerd' | 'csr';
    readonly controlNamespace: string;
    readonly trustDomain: string;
  },
  identity: IdentitySource,
): MeshSettings | undefined {
  const { mesh, controlNamespace, trustDomain } = settings;
  if (mesh === 'off' || (mesh === 'auto' && settings.identity === 'csr')) return undefined;
  const own = meshNameOf(identity.current()?.name ?? '') ?? { controlNamespace, trustDomain };
  return { ...own, detect: mesh === 'auto' };
}

/**
 * The zone of the node that `NODE_NAME` names (downward API `spec.nodeName`); undefined where that is not
 * known.
 */
export async function ownZone(
  client: KubeClient,
  env: NodeJS.ProcessEnv,
  log: Logger,
): Promise<string | undefined> {
  const name = env['NODE_NAME'];
  if (name === undefined || name === '') return undefined;
  try {
    const node = await client.get(nodes, { name }, { signal: AbortSignal.timeout(ZONE_TIMEOUT_MS) });
    return node.metadata?.labels?.[ZONE_LABEL];
  } catch (error) {
    log.warn({ node: name, reason: messageOf(error) }, 'zone of the node not known, hints not followed');
    return undefined;
  }
}
