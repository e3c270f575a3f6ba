import { rmSync, writeFileSync } from 'node:fs';
import { after } from 'mocha';
import { type Cluster, startCluster } from './cluster.ts';

const BARE = 'testbed-bare';

/** The two clusters that the integration tests share; tests keep apart by namespace. */
export interface SharedClusters {
  readonly east: Cluster;
  readonly west: Cluster;
}

let clusters: Promise<SharedClusters> | undefined;
/** Makes the shared clusters as they were when they had just been started. */
const fresh = new Map<Cluster, () => Promise<void>>();
/** Clusters without a controller manager that nobody uses now, as they were when they had been started. */
const idle: Cluster[] = [];
let namespaces = 0;

/**
 * East and west, with controller managers, booted once per mocha process and stopped after its last test.
 * Call it in a `before` hook; chaos (`signal`, `restart`) is for clusters of a test's own.
 */
export function sharedClusters(): Promise<SharedClusters> {
  clusters ??= start();
  return clusters;
}

async function start(): Promise<SharedClusters> {
  const [east, west] = await Promise.all(
    ['east', 'west'].map((name) => startCluster({ name, controllerManager: true })),
  );
  if (east === undefined || west === undefined) throw new Error('two clusters were asked for');
  for (const cluster of [east, west]) fresh.set(cluster, await cluster.remember());
  return { east, west };
}

/**
 * East and west for a file that wants them for itself, with nothing in them: to start two more takes five
 * seconds of CPU. What tests before it have left there goes, and so does what it leaves.
 */
export async function ownClusters(): Promise<SharedClusters & { giveBack(): Promise<void> }> {
  const shared = await sharedClusters();
  const giveBack = async () => {
    await Promise.all([...fresh.values()].map((putBack) => putBack()));
  };
  await giveBack();
  return { ...shared, giveBack };
}

/**
 * A cluster without a controller manager and with nothing in it, which `stop()` gives back for the next file.
 * `restart` with `wipe` is for clusters of a test's own.
 * @param name of the kubeconfig's context, cluster and user
 */
export async function bareCluster(name: string): Promise<Cluster> {
  const cluster = idle.pop() ?? (await startCluster({ name: BARE }));
  const putBack = await cluster.remember();
  const kubeconfig = cluster.kubeconfig.replaceAll(BARE, name);
  const kubeconfigFile = `${cluster.kubeconfigFile}-${name}`;
  writeFileSync(kubeconfigFile, kubeconfig, { mode: 0o600 });
  const stop = async () => {
    rmSync(kubeconfigFile, { force: true });
    try {
      await putBack();
      idle.push(cluster);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  };
  return { ...cluster, name, kubeconfig, kubeconfigFile, stop };
}

// At the top level of a module that test files import, this is a hook of the root suite.
after('stop the shared clusters', async () => {
  const running = await clusters?.catch(() => undefined);
  const shared = running === undefined ? [] : [running.east, running.west];
  await Promise.all([...shared, ...idle.splice(0)].map((cluster) => cluster.stop()));
  clusters = undefined;
  fresh.clear();
});

/** Creates a namespace that no other test of this process has, `<prefix>-<n>`, and returns its name. */
export async function createNamespace(cluster: Pick<Cluster, 'apply'>, prefix: string): Promise<string> {
  const name = `${prefix}-${++namespaces}`;
  await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  return name;
}
