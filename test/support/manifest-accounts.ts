import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { loadAccess } from '../../src/kube/access.ts';
import { staticAuth } from '../../src/kube/auth.ts';
import { KubeClient, type KubeClientOptions } from '../../src/kube/client.ts';
import type { Cluster } from '../testbed/cluster.ts';

/** The namespace of the manifests that people apply. */
export const MULTICLUSTER = 'linkerd-multicluster';

const KINDS = new Set([
  'Namespace',
  'ServiceAccount',
  'ClusterRole',
  'ClusterRoleBinding',
  'Role',
  'RoleBinding',
]);

/** The namespace, accounts and rules of a manifest that people apply, moved to another namespace if one is named: what they do not grant must not be needed. */
export function manifestAccounts(file: 'source.yaml' | 'target.yaml', namespace = MULTICLUSTER): object[] {
  const text = readFileSync(path.join(import.meta.dirname, '../../manifests', file), 'utf8');
  return parseAllDocuments(text.replaceAll(MULTICLUSTER, namespace))
    .map((document) => document.toJS() as { readonly kind: string })
    .filter(({ kind }) => KINDS.has(kind));
}

/** A client as a service account, with a token as its pods have. */
export async function clientAs(
  cluster: Cluster,
  account: { readonly namespace?: string; readonly name: string },
  options: KubeClientOptions,
): Promise<KubeClient> {
  const token = await cluster.kubectl(
    '-n',
    account.namespace ?? MULTICLUSTER,
    'create',
    'token',
    account.name,
  );
  const access = {
    ...loadAccess({ file: cluster.kubeconfigFile }),
    cert: undefined,
    key: undefined,
    auth: staticAuth(`Bearer ${token.trim()}`),
  };
  return new KubeClient(access, options);
}
