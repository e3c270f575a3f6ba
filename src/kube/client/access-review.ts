import type { V1ResourceAttributes } from '@kubernetes/client-node';
import { inParallel } from '../../base/in-parallel.ts';
import { MAX_CONNECTIONS } from './agents.ts';
import type { KubeClient } from './kube-client.ts';
import { selfSubjectAccessReviews } from '../../api/kubernetes/resource.ts';

/** Asks the API server which of these the client's user may not do; nothing is stored. */
export async function deniedRights(
  client: KubeClient,
  needed: readonly V1ResourceAttributes[],
): Promise<V1ResourceAttributes[]> {
  const denied = await inParallel(needed, MAX_CONNECTIONS, async (attributes) => {
    const review = await client.create(selfSubjectAccessReviews, {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: attributes },
    });
    return review.status?.allowed === true ? [] : [attributes];
  });
  return denied.flat();
}

/** `create deployments.apps`, as `kubectl auth can-i` takes it. */
export function rightText({ group, resource = '', subresource, verb = '' }: V1ResourceAttributes): string {
  const kind = subresource === undefined ? resource : `${resource}/${subresource}`;
  return `${verb} ${group === undefined || group === '' ? kind : `${kind}.${group}`}`;
}
