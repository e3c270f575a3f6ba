import { readableNamespacesAnnotation } from '../api/link/readable-namespaces.ts';
import { accountTokenSecret } from '../api/credentials/account-token.ts';
import { remoteAccessLabels } from '../api/installed-labels.ts';
import type { V1PolicyRule } from '@kubernetes/client-node';
import { POLICY_GROUP } from '../api/linkerd/linkerd-kinds.ts';
import { EXTENSION_LABELS } from '../api/names.ts';
import type { KubeObject } from '../api/kubernetes/resource.ts';
import type { AccountRef } from './token.ts';

const READ = ['get', 'list', 'watch'];

/**
 * What a source cluster may do in a target: read what is exported, nothing else. Endpoints are in it for
 * Linkerd's mirror controller, which lists them and exits after 60 s if it may not
 * (test/integration/linkerd-programs.test.ts).
 */
export const MIRROR_RULES: readonly V1PolicyRule[] = [
  { apiGroups: [''], resources: ['services', 'endpoints'], verbs: READ },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ },
];

/**
 * Further rights for a source that runs Linkerd: its destination controller for flat mirrors, its `check` for
 * the trust anchors (linkerd2
 * `multicluster/charts/linkerd-multicluster/templates/remote-access-service-mirror-rbac.yaml`, without the
 * right to write Events, so that the account only reads).
 */
export const LINKERD_RULES: readonly V1PolicyRule[] = [
  { apiGroups: [''], resources: ['pods'], verbs: READ },
  { apiGroups: ['apps'], resources: ['replicasets'], verbs: READ },
  { apiGroups: ['batch'], resources: ['jobs'], verbs: READ },
  { apiGroups: [POLICY_GROUP], resources: ['servers'], verbs: READ },
  { apiGroups: [''], resources: ['configmaps'], resourceNames: ['linkerd-config'], verbs: ['get'] },
];
/** The right to read the Service whose UID identifies the cluster (`clusterUid`). */
const IDENTITY_RULES: readonly V1PolicyRule[] = [
  { apiGroups: [''], resources: ['services'], resourceNames: ['kubernetes'], verbs: ['get'] },
];

/** The account of one source cluster. */
export interface RemoteAccess {
  readonly account: AccountRef;
  /** Whether it has `LINKERD_RULES` too; these are cluster-wide, so not together with `namespaces`. */
  readonly linkerd: boolean;
  /**
   * Whether it gets tokens of limited life, which it may renew itself, instead of a token Secret that never
   * expires.
   */
  readonly boundTokens: boolean;
  /** Namespaces that it may read, with a Role in each; undefined: all. */
  readonly namespaces?: readonly string[] | undefined;
  readonly version: string;
}

/** Name of the long-lived token's Secret. */
export function tokenSecretName(account: string): string {
  return `${account}-token`;
}

/** The objects in the target cluster that let one source cluster read its exports. */
export function remoteAccessManifests(access: RemoteAccess): KubeObject[] {
  const { account, linkerd, boundTokens, version, namespaces } = access;
  const { name, namespace } = account;
  // The labels of the chart's own accounts.
  const labels = remoteAccessLabels(version);
  const bind = (kind: 'Role' | 'ClusterRole', role: string, where: { namespace?: string }): object => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: `${kind}Binding`,
    metadata: { name: role, ...where, labels },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: role },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  });
  const role = (
    kind: 'Role' | 'ClusterRole',
    named: string,
    where: { namespace?: string },
    rules: readonly V1PolicyRule[],
  ): object => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind,
    metadata: { name: named, ...where, labels },
    rules,
  });
  const rules = linkerd ? [...MIRROR_RULES, ...LINKERD_RULES] : MIRROR_RULES;
  // The same Roles as the chart's with scope.namespaces.
  const scope = namespaces === undefined ? undefined : [...new Set([...namespaces, namespace])];
  const roles = scope?.flatMap((one) => [
    role('Role', `${name}-scope`, { namespace: one }, rules),
    bind('Role', `${name}-scope`, { namespace: one }),
  ]);
  const annotations = scope && { annotations: readableNamespacesAnnotation(scope) };
  const objects: object[] = [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace, labels: EXTENSION_LABELS },
    },
    ...(roles === undefined
      ? [role('ClusterRole', name, {}, rules)]
      : [
          ...roles,
          role('Role', `${name}-cluster`, { namespace: 'default' }, IDENTITY_RULES),
          bind('Role', `${name}-cluster`, { namespace: 'default' }),
        ]),
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace, labels, ...annotations } },
    ...(roles === undefined ? [bind('ClusterRole', name, {})] : []),
    ...(boundTokens ? renewal(account, labels, bind) : [tokenSecret(account, labels)]),
  ];
  return objects as KubeObject[];
}

function tokenSecret({ name, namespace }: AccountRef, labels: Record<string, string>): object {
  return accountTokenSecret(name, { name: tokenSecretName(name), namespace, labels });
}

/** The right to request tokens for this account only. */
function renewal(
  { name, namespace }: AccountRef,
  labels: Record<string, string>,
  bind: (kind: 'Role', role: string, where: { namespace: string }) => object,
): object[] {
  return [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name, namespace, labels },
      rules: [
        { apiGroups: [''], resources: ['serviceaccounts/token'], resourceNames: [name], verbs: ['create'] },
      ],
    },
    bind('Role', name, { namespace }),
  ];
}
