import { LinkspanError } from '../base/errors.ts';
import type { KubeClient } from '../kube/client.ts';
import { clusterRoleBindings, keyOf, serviceAccounts } from '../kube/resource.ts';
import { find } from './join.ts';
import type { AccountRef } from './token.ts';

/**
 * Makes sure that an account is new: a second consumer with the account of the first could not be told from it, nor be cut off alone. Its cluster-wide binding is
 * looked at too: with one name in two namespaces the second would take the rights of the first away.
 * @throws LinkspanError SERVICE_ACCOUNT_EXISTS
 */
export async function assertNewAccount(client: KubeClient, account: AccountRef): Promise<void> {
  const { name } = account;
  const [existing, binding] = await Promise.all([
    find(client, serviceAccounts, account),
    find(client, clusterRoleBindings, { name }),
  ]);
  if (existing !== undefined)
    throw new LinkspanError('SERVICE_ACCOUNT_EXISTS', `service account ${keyOf(account)} already exists`);
  if (binding === undefined) return;
  const owner = binding.subjects?.find((subject) => subject.kind === 'ServiceAccount');
  const whose = owner === undefined ? '' : ` (of ${owner.namespace ?? ''}/${owner.name})`;
  throw new LinkspanError(
    'SERVICE_ACCOUNT_EXISTS',
    `there is a ClusterRoleBinding "${name}" already${whose}`,
  );
}
