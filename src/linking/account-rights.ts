import type { V1ResourceAttributes } from '@kubernetes/client-node';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { keyOf } from '../api/kubernetes/resource.ts';
import { deniedRights, rightText } from '../kube/client/access-review.ts';
import type { AccountRef } from './token.ts';

/**
 * What whoever mirrors must be able to read in the target cluster.
 * @param namespaces where; undefined: everywhere
 */
export function mirroringRights(namespaces: readonly string[] | undefined): V1ResourceAttributes[] {
  const read = (group: string, resource: string): V1ResourceAttributes[] =>
    ['list', 'watch'].flatMap((verb) => inEach(namespaces, { group, resource, verb }));
  return [...read('', 'services'), ...read('discovery.k8s.io', 'endpointslices')];
}

/** A right in each of some namespaces, or everywhere. */
function inEach(
  namespaces: readonly string[] | undefined,
  right: V1ResourceAttributes,
): V1ResourceAttributes[] {
  return namespaces?.map((namespace) => ({ ...right, namespace })) ?? [right];
}

/**
 * What the account of a Link must be able to do in the target cluster; the right to renew its token comes
 * last.
 */
export function neededRights(
  account: AccountRef,
  renewsItself: boolean,
  namespaces?: readonly string[],
): V1ResourceAttributes[] {
  return [
    ...mirroringRights(namespaces),
    ...(renewsItself
      ? [{ resource: 'serviceaccounts', subresource: 'token', verb: 'create', ...account }]
      : []),
  ];
}

/**
 * Asks the target whether an account may do what a Link needs of it, before anything depends on it.
 * @param client of the target, with the account's own token
 * @throws LinkspanError ACCOUNT_RIGHTS_MISSING with everything that it may not, or what the client throws
 * (KUBE_UNAUTHORIZED: the token is no good)
 */
export async function assertRights(
  client: KubeClient,
  account: AccountRef,
  needed: readonly V1ResourceAttributes[],
): Promise<void> {
  const missing = (await deniedRights(client, needed)).map(rightText);
  if (missing.length === 0) return;
  throw new LinkspanError(
    'ACCOUNT_RIGHTS_MISSING',
    `service account ${keyOf(account)} of the target cluster may not ${missing.join(', ')}`,
  );
}
