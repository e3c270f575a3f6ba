import { loadAccess } from '../../src/kube/access.ts';
import { staticAuth } from '../../src/kube/auth.ts';
import { KubeClient, type KubeClientOptions } from '../../src/kube/client.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { MULTICLUSTER } from './chart.ts';

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
