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
 * Makes sure that an account is new: a second consumer with the account of the first could not be told from
 * it, nor be cut off alone. Its cluster-wide binding is looked at too: with one name in two namespaces the
 * second would take the rights of the first away.
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
 * The rights that an earlier run of `allow` gave an account, and this one does not: narrower means narrower.
 * Also those of the whole cluster, when it reads some namespaces only from now on.
 * @param manifests what it has from now on
 * @returns bindings first, then what they bind; empty where there is nothing to take back
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
      // `allow` makes a role for each binding, of the same name; whatever else somebody binds is not ours.
      const own = roleRef.name === name && `${roleRef.kind}Binding` === kind;
      return (own ? [binding, role] : [binding]) as KubeObject[];
    })
    .filter((object) => !kept.has(titleOf(object)));
}
