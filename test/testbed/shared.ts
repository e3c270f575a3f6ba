import { after } from 'mocha';
import { type Cluster, startCluster } from './cluster.ts';

/** The two clusters that the integration tests share; tests keep apart by namespace. */
export interface SharedClusters {
  readonly east: Cluster;
  readonly west: Cluster;
}

let clusters: Promise<SharedClusters> | undefined;
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
  return { east, west };
}

// At the top level of a module that test files import, this is a hook of the root suite.
after('stop the shared clusters', async () => {
  const running = await clusters?.catch(() => undefined);
  await Promise.all([running?.east.stop(), running?.west.stop()]);
  clusters = undefined;
});

/** Creates a namespace that no other test of this process has, `<prefix>-<n>`, and returns its name. */
export async function createNamespace(cluster: Cluster, prefix: string): Promise<string> {
  const name = `${prefix}-${++namespaces}`;
  await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  return name;
}
