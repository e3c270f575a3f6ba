import { REMOTE_ACCESS_SELECTOR } from '../api/installed-labels.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { type KubeClient, orUndefined } from '../kube/client/kube-client.ts';
import { titleOf } from '../manifests/manifests.ts';
import {
  clusterRoleBindings,
  type KubeObject,
  keyOf,
  roleBindings,
  serviceAccounts,
} from '../api/kubernetes/resource.ts';
import type { AccountRef } from './token.ts';

/**
 * Checks that an account is new: two consumers with one account could not be told apart, nor be cut off
 * separately. Its cluster-wide binding is checked too: for an account of the same name in another namespace
 * it would be overwritten.
 * @throws LinkspanError SERVICE_ACCOUNT_EXISTS
 */
export async function assertNewAccount(client: KubeClient, account: AccountRef): Promise<void> {
  const { name } = account;
  const [existing, binding] = await Promise.all([
    orUndefined(client.get(serviceAccounts, account)),
    orUndefined(client.get(clusterRoleBindings, { name })),
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

/**
 * The role bindings and roles of an earlier run of `allow` that the account should not have any more, so that
 * a narrower `allow` takes rights away. Cluster-wide ones too, when the account is restricted to some
 * namespaces.
 * @param manifests the objects of the current run
 * @returns bindings first, then their roles; empty where there is nothing to take back
 */
export async function formerRights(
  client: KubeClient,
  account: AccountRef,
  manifests: readonly KubeObject[],
): Promise<KubeObject[]> {
  const labelSelector = REMOTE_ACCESS_SELECTOR;
  const [inNamespaces, inCluster] = await Promise.all([
    client.list(roleBindings, { labelSelector }),
    client.list(clusterRoleBindings, { labelSelector }),
  ]);
  const kept = new Set(manifests.map(titleOf));
  return [
    ...inNamespaces.items.map((binding) => ({ ...binding, kind: 'RoleBinding' })),
    ...inCluster.items.map((binding) => ({ ...binding, kind: 'ClusterRoleBinding' })),
  ]
    .filter(({ subjects }) =>
      subjects?.some(({ kind, name, namespace }) => {
        return kind === 'ServiceAccount' && name === account.name && namespace === account.namespace;
      }),
    )
    .flatMap(({ kind, metadata, roleRef }) => {
      const { name = '', namespace, uid } = metadata ?? {};
      const common = { apiVersion: 'rbac.authorization.k8s.io/v1' };
      const binding = { ...common, kind, metadata: { name, namespace, uid } };
      const role = { ...common, kind: roleRef.kind, metadata: { name: roleRef.name, namespace } };
      // `allow` makes one role for each binding, of the same name; a role of another name is somebody else's.
      const own = roleRef.name === name && `${roleRef.kind}Binding` === kind;
      return (own ? [binding, role] : [binding]) as KubeObject[];
    })
    .filter((object) => !kept.has(titleOf(object)));
}
