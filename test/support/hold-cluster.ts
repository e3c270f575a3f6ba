/**
 * Starts a cluster, prints where it is as one JSON line, and holds it until this process is killed. For the
 * test of the clean-up.
 */
import path from 'node:path';
import { startCluster } from '../testbed/cluster.ts';

const cluster = await startCluster({ name: 'held', controllerManager: true });
process.stdout.write(
  `${JSON.stringify({ directory: path.dirname(cluster.kubeconfigFile), marker: cluster.marker })}\n`,
);
setInterval(() => {}, 60_000);
