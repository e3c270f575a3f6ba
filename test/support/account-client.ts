import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { loadAccess } from '../../src/kube/client/access.ts';
import { staticAuth } from '../../src/kube/client/auth.ts';
import { KubeClient, type KubeClientOptions } from '../../src/kube/client/kube-client.ts';
import { requestToken } from '../../src/linking/token.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { clientOf } from './cluster-objects.ts';
import { MULTICLUSTER } from './chart.ts';

/** As long as kubectl's are. */
const TOKEN_TTL_MS = 3_600_000;

/** A service account of a cluster. */
interface Account {
  readonly namespace?: string;
  readonly name: string;
}

/** A client as a service account, with a token as its pods have. */
export async function clientAs(
  cluster: Cluster,
  account: Account,
  options: KubeClientOptions,
): Promise<KubeClient> {
  const access = {
    ...loadAccess({ file: cluster.kubeconfigFile }),
    cert: undefined,
    key: undefined,
    auth: staticAuth(`Bearer ${await tokenOf(cluster, account)}`),
  };
  return new KubeClient(access, options);
}

/** Writes a kubeconfig of a service account, for what is started with a file. */
export async function kubeconfigAs(cluster: Cluster, account: Account, file: string): Promise<void> {
  const { server, ca = '' } = loadAccess({ file: cluster.kubeconfigFile });
  const name = account.name;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name, cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } },
    ],
    users: [{ name, user: { token: await tokenOf(cluster, account) } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  };
  writeFileSync(file, stringify(config), { mode: 0o600 });
}

function tokenOf(cluster: Cluster, { namespace = MULTICLUSTER, name }: Account): Promise<string> {
  return requestToken(clientOf(cluster), { namespace, name }, TOKEN_TTL_MS);
}
