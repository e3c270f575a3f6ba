import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { endpointSlices, services } from '../../api/kubernetes/resource.ts';
import { MIRRORED_SELECTOR } from '../../api/mirror/mirror-labels.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';

/** Mirrors, federated Services and what leads elsewhere, as it stands in the cluster. */
export interface MirrorObjects {
  readonly services: readonly V1Service[];
  readonly slices: readonly V1EndpointSlice[];
}

/** Reads it. @param namespace undefined: of all namespaces */
export async function readMirrorObjects(
  client: KubeClient,
  namespace: string | undefined,
): Promise<MirrorObjects> {
  const where = { labelSelector: MIRRORED_SELECTOR, ...(namespace === undefined ? {} : { namespace }) };
  const [found, slices] = await Promise.all([
    client.list(services, where),
    client.list(endpointSlices, where),
  ]);
  return { services: found.items, slices: slices.items };
}
