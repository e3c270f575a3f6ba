import type { V1ResourceAttributes } from '@kubernetes/client-node';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { keyOf } from '../api/kubernetes/resource.ts';
import { deniedRights, rightText } from '../kube/client/access-review.ts';
import type { AccountRef } from './token.ts';

/**
 * The rights that mirroring needs in the target cluster.
 * @param namespaces the namespaces to read; undefined: all
 */
export function mirroringRights(namespaces: readonly string[] | undefined): V1ResourceAttributes[] {
  const read = (group: string, resource: string): V1ResourceAttributes[] =>
    ['list', 'watch'].flatMap((verb) => inEach(namespaces, { group, resource, verb }));
  return [...read('', 'services'), ...read('discovery.k8s.io', 'endpointslices')];
}

/** One right, for each of some namespaces or for the whole cluster. */
function inEach(
  namespaces: readonly string[] | undefined,
  right: V1ResourceAttributes,
): V1ResourceAttributes[] {
  return namespaces?.map((namespace) => ({ ...right, namespace })) ?? [right];
}

/** The rights that a Link's account needs in the target cluster; the right to renew its token comes last. */
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
 * Checks by access reviews in the target that an account has the rights that a Link needs, before the Link is
 * made.
 * @param client of the target, with the account's own token
 * @throws LinkspanError ACCOUNT_RIGHTS_MISSING with every missing right, or what the client throws
 * (KUBE_UNAUTHORIZED: the token is not accepted)
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
