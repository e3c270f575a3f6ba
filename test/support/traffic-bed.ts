import type { Closed } from './closed-in.ts';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { EgressProcess } from './egress-process.ts';
import { eventually } from './eventually.ts';
import { GatewayProcess } from './gateway-process.ts';
import { keptAuthority } from './kept-authority.ts';
import { MemoryCluster } from './memory-cluster.ts';
import { http1Origin } from './origins.ts';

export const NAMESPACE = 'linkerd-multicluster';
/** What `east` asks for, and `west` exports as `demo/web`. */
export const WEB = 'web.demo.svc.cluster.local';

/** A pod of the installation whose admin port is one of this machine. */
export const podOf = (component: string, admin: number, name = `${component}-0`) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: NAMESPACE,
    labels: {
      'linkerd.io/extension': 'multicluster',
      'app.kubernetes.io/part-of': 'linkspan',
      'app.kubernetes.io/component': component,
      'app.kubernetes.io/version': '0.2.0',
      component,
    },
  },
  spec: { containers: [{ name: component, ports: [{ name: 'linkspan-admin', containerPort: admin }] }] },
  status: {
    phase: 'Running',
    podIP: '127.0.0.1',
    conditions: [
      {
        type: 'Ready',
        status: 'True',
      },
    ],
    containerStatuses: [{ restartCount: 1 }],
  },
});

const serviceOf = (name: string, uid: string, change: object) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'demo', uid, ...change },
  spec: { ports: [{ port: 80 }] },
});

/** Objects of both clusters: what the chart has installed, the export and its mirror. */
function objects(gateway: number, egress: number): { readonly east: object[]; readonly west: object[] } {
  const mirror = {
    labels: { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'west' },
    annotations: { 'linkspan.dev/remote-uid': 'west-services-demo-web' },
  };
  const client = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'front-1', namespace: 'shop' },
    spec: {},
    status: { podIP: '127.0.0.1', podIPs: [{ ip: '127.0.0.1' }] },
  };
  return {
    east: [podOf('egress', egress), serviceOf(WEB, '', mirror), client],
    west: [
      podOf('gateway', gateway),
      serviceOf('web', '', { labels: { 'mirror.linkerd.io/exported': 'true' } }),
    ],
  };
}

/** Two clusters, and real processes between them under traffic. */
export interface TrafficBed {
  readonly gateway: GatewayProcess;
  readonly egress: EgressProcess;
  readonly east: MemoryCluster;
  readonly west: MemoryCluster;
  /** With a context for each. */
  readonly kubeconfig: string;
  readonly asking: Asking;
}

/**
 * `east` asks `west` without a pause.
 * @param dir a folder of its own
 * @param closed as of `closedIn`
 */
export async function startTrafficBed(dir: string, closed: Closed): Promise<TrafficBed> {
  const own = (name: string) => {
    const made = path.join(dir, name);
    mkdirSync(made);
    return made;
  };
  const origin = closed(await http1Origin(), (one) => one.close());
  const gateway = closed(
    await GatewayProcess.start({
      runtime: 'node',
      dir: own('gateway'),
      identity: await keptAuthority.leaf('gateway.west'),
      targets: [{ name: WEB, ports: [origin.port] }],
    }),
    (one) => one.kill(),
  );
  const egress = closed(
    await EgressProcess.start({
      runtime: 'node',
      dir: own('egress'),
      gateway: { addresses: ['127.0.0.1'], port: gateway.port, identity: 'gateway.west' },
      services: [{ name: WEB }],
      identity: await keptAuthority.leaf('egress.east'),
    }),
    (one) => one.kill(),
  );
  const east = closed(await MemoryCluster.start('east'), (one) => one.stop());
  const west = closed(await MemoryCluster.start('west'), (one) => one.stop());
  const all = objects(gateway.admin, egress.admin);
  await east.apply(all.east);
  await west.apply(all.west);
  const asking = closed(ask(egress), (one) => one.stop());
  await eventually('there is traffic', () => asking.count > 50);
  return { gateway, egress, east, west, kubeconfig: bothIn(dir, east, west), asking };
}

/** A client that goes on asking. */
export interface Asking {
  path: string;
  /** Answers that have come. */
  count: number;
  readonly stop: () => Promise<void>;
}

/** One kubeconfig for both. */
export function bothIn(
  dir: string,
  ...clusters: readonly (MemoryCluster | { readonly name: string; readonly server: string })[]
): string {
  const named = clusters.map((one) => ({ name: one.name, server: one.server }));
  const file = path.join(dir, `both-${named.map(({ server }) => server.split(':').at(-1)).join('-')}`);
  const config = {
    clusters: named.map(({ name, server }) => ({ name, cluster: { server } })),
    users: [{ name: 'me', user: { token: 'anybody' } }],
    contexts: named.map(({ name }) => ({ name, context: { cluster: name, user: 'me' } })),
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

/** Asks without a pause, one request at a time, until it is stopped. */
function ask({ client }: EgressProcess): Asking {
  const ended = new AbortController();
  const asking = { path: '/hello', count: 0, stop: () => stop() };
  const going = (async () => {
    while (!ended.signal.aborted) {
      await client.request('http1', WEB, { path: asking.path });
      asking.count++;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  const stop = async () => {
    ended.abort();
    await going;
  };
  return asking;
}
