import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { isAlreadyExists, type KubeClient } from '../../src/kube/client/kube-client.ts';
import { endpointSlices, namespaces, secrets, services } from '../../src/api/kubernetes/resource.ts';
import { links } from '../../src/api/link/link-schema.ts';
import { clientOf } from '../../test/support/cluster-objects.ts';
import { eventually } from '../../test/support/eventually.ts';
import { installCrd } from '../../test/support/linked-clusters.ts';
import { type Cluster, startCluster } from '../../test/testbed/cluster.ts';
import { address } from '../../test/testbed/netns.ts';
import { clusterPki } from '../../test/testbed/pki.ts';
import { MirrorWatch } from './support/mirror-watch.ts';
import {
  EXPORTED,
  type ExportOptions,
  exportPairs,
  linkPair,
  namespaceNames,
  type Pair,
  openKubeconfig,
  rawNamespaceNames,
} from './support/objects.ts';
import { inParallel } from './support/parallel.ts';
import { PlainClient } from './support/plain-client.ts';
import { ControllerProcess, end, type Program, startProgram } from './support/programs.ts';
import { rawRound, type RawTimes } from './support/raw.ts';

/** How much of everything there is. */
export interface Sizes {
  /** Exported Services of the target. */
  readonly services: number;
  /** Services that are exported one by one. */
  readonly singles: number;
  /** Exports that are imported while single ones are measured. */
  readonly bulk: number;
  /** Services that are exported one by one meanwhile, if the import takes so long. */
  readonly busySingles: number;
  /** Services of a target of which few are exported, and how many those are. */
  readonly huge: number;
  readonly few: number;
  readonly links: number;
  readonly servicesPerLink: number;
  readonly idleSeconds: number;
}

export interface StageOptions {
  readonly sizes: Sizes;
  /** Where controllers leave CPU profiles; undefined: none are made. */
  readonly profileDir: string | undefined;
  readonly say: (text: string) => void;
}

/** Namespace of the Links in the source cluster. */
const LINKS = 'linkerd-multicluster';
const GATEWAY = address(19);
const STUBS = address(18);
const MIRRORED = encodeURIComponent('mirror.linkerd.io/mirrored-service=true');

/** Target clusters that are one process which answers lists and watches. */
export interface Stubs {
  readonly program: Program;
  /** Of the cluster `s0`, `s1`, … */
  kubeconfig(name: string): string;
}

/** Exports of the `far` cluster are labelled with this, by the Link that is to import them. */
export const farLabel = (link: string): Record<string, string> => ({ 'bench.linkspan.dev/export': link });

/**
 * What the benchmarks of one run share: two control planes, the exports, the gateway, and the one controller
 * that runs at a time.
 */
export class Stage {
  readonly sizes: Sizes;
  readonly source: Cluster;
  /** The target of the Link `west`. */
  readonly target: Cluster;
  readonly watch: MirrorWatch;
  readonly say: (text: string) => void;
  readonly #options: StageOptions;
  readonly #directory: string;
  readonly #made = new Map<string, readonly Pair[]>();
  readonly #links = new Set<string>();
  #gateway: Program;
  #controller: ControllerProcess | undefined;
  #far: Promise<Cluster> | undefined;

  private constructor(
    options: StageOptions,
    clusters: [Cluster, Cluster],
    gateway: Program,
    directory: string,
  ) {
    this.#options = options;
    this.sizes = options.sizes;
    this.say = options.say;
    [this.source, this.target] = clusters;
    this.#gateway = gateway;
    this.#directory = directory;
    this.watch = new MirrorWatch(clientOf(this.source));
  }

  /** Boots the clusters. What is started here ends with this process, however that ends. */
  static async open(options: StageOptions): Promise<Stage> {
    options.say('booting two control planes');
    const clusters = await Promise.all([startCluster({ name: 'east' }), startCluster({ name: 'west' })]);
    const gateway = await startGateway(clusters[0].marker, 0);
    const directory = mkdtempSync(path.join(os.tmpdir(), 'linkspan-bench-'));
    const stage = new Stage(options, clusters, gateway, directory);
    await installCrd(stage.source);
    await createNamespaces(stage.client, [LINKS, ...namespaceNames, ...rawNamespaceNames]);
    await createNamespaces(clientOf(stage.target), namespaceNames);
    await stage.watch.start();
    return stage;
  }

  async close(): Promise<void> {
    await this.stopController();
    await end(this.#gateway.child);
    await this.watch.stop();
    const far = await this.#far?.catch(() => undefined);
    await Promise.all([this.source.stop(), this.target.stop(), far?.stop()]);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Of the source cluster. */
  get client(): KubeClient {
    return clientOf(this.source);
  }

  /** Where gateways are, and the port on which they answer probes. */
  get gateway(): { readonly address: string; readonly probePort: number } {
    return { address: GATEWAY, probePort: this.#gateway.port };
  }

  /** SIGKILL, so that connections to it are refused. @returns `performance.now()` of that */
  async killGateway(): Promise<number> {
    const killed = performance.now();
    await end(this.#gateway.child);
    return killed;
  }

  async restartGateway(): Promise<void> {
    this.#gateway = await startGateway(this.source.marker, this.#gateway.port);
  }

  /** A second target, booted when it is first asked for. */
  far(): Promise<Cluster> {
    this.#far ??= (async () => {
      this.say('booting a second target');
      const far = await startCluster({ name: 'north' });
      await createNamespaces(clientOf(far), namespaceNames);
      return far;
    })();
    return this.#far;
  }

  /** Starts stubs of target clusters, `s0` and so on; the caller ends them. */
  async stubs(options: {
    clusters: number;
    exported: number;
    others?: number;
    addresses?: number;
  }): Promise<Stubs> {
    const { clusters, exported, others = 0, addresses = 1 } = options;
    const numbers = [clusters, exported, others, addresses].map(String);
    const pki = await clusterPki('stub', [STUBS], '10.99.0.1');
    for (const [name, text] of [
      ['server.crt', pki.server.cert],
      ['server.key', pki.server.key],
    ] as const)
      writeFileSync(path.join(this.#directory, name), text, { mode: 0o600 });
    const program = await startProgram(
      'stub-api.ts',
      [this.#directory, STUBS, ...numbers],
      this.source.marker,
    );
    const server = `https://${STUBS}:${program.port}`;
    return { program, kubeconfig: (name) => openKubeconfig(`${server}/${name}`, pki.ca.cert) };
  }

  async startController(): Promise<ControllerProcess> {
    await this.stopController();
    this.#controller = await ControllerProcess.start({
      kubeconfigFile: this.source.kubeconfigFile,
      namespace: LINKS,
      marker: this.source.marker,
      logFile: path.join(process.env['LINKSPAN_TESTBED_LOGS'] || this.#directory, 'controller.log'),
      profileDir: this.#options.profileDir,
    });
    return this.#controller;
  }

  async stopController(): Promise<void> {
    await this.#controller?.stop();
    this.#controller = undefined;
  }

  /** Plain requests for as many pairs, without a controller beside them. */
  async raw(count: number): Promise<RawTimes> {
    await this.stopController();
    this.say(`raw: ${count} pairs`);
    const client = new PlainClient(this.source.kubeconfigFile);
    try {
      return await rawRound(client, count, GATEWAY);
    } finally {
      await client.close();
    }
  }

  /** Makes Services with slices, once: asked for again, they are what is there. */
  async made(cluster: Cluster, options: ExportOptions): Promise<readonly Pair[]> {
    const key = `${cluster.name} ${options.prefix}`;
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    this.say(`${cluster.name}: making ${options.count} Services "${options.prefix}-*"`);
    const pairs = exportPairs(options);
    const client = clientOf(cluster);
    await inParallel(pairs, async ({ service, slice }) => {
      await client.create(services, service);
      await client.create(endpointSlices, slice);
    });
    this.#made.set(key, pairs);
    return pairs;
  }

  /** The exports of the Link `west`. */
  base(): Promise<readonly Pair[]> {
    return this.made(this.target, { prefix: 'svc', count: this.sizes.services, labels: EXPORTED });
  }

  /** Sets labels of Services and their slices, or takes them away (null). */
  async label(
    cluster: Cluster,
    pairs: readonly Pair[],
    labels: Readonly<Record<string, string | null>>,
  ): Promise<void> {
    await inParallel(pairs, (pair) => patchLabels(clientOf(cluster), pair, labels));
  }

  /**
   * Exports one Service and waits for its mirror with endpoints. kube labels the slice when it sees the
   * Service's label; both are sent at once here.
   * @returns milliseconds from sending the patch until the watch has shown the endpoints
   */
  async exportOne(
    cluster: Cluster,
    link: string,
    pair: Pair,
    labels: Readonly<Record<string, string>>,
  ): Promise<number> {
    const { namespace = '', name = '' } = pair.service.metadata ?? {};
    const mirror = `${namespace}/${name}-${link}`;
    const start = performance.now();
    const seen = this.watch.until(`mirror ${mirror}`, () => this.watch.has(link, mirror), 60_000);
    const [at] = await Promise.all([seen, patchLabels(clientOf(cluster), pair, labels)]);
    return at - start;
  }

  /** Creates a Link and its Secret. */
  async link(name: string, kubeconfig: string, selector: Readonly<Record<string, string>>): Promise<void> {
    const made = linkPair({ namespace: LINKS, name, kubeconfig, selector, gateway: this.gateway });
    await this.client.create(secrets, made.secret);
    await this.client.create(links, made.link);
    this.#links.add(name);
  }

  /** The Link to the target. */
  linkBase(): Promise<void> {
    return this.link('west', this.target.kubeconfig, EXPORTED);
  }

  /** Waits until the status of a Link says that everything is mirrored. */
  async synced(name: string): Promise<void> {
    await eventually(
      `Link ${name} is synced`,
      async () => {
        const { status } = await this.client.get(links, { namespace: LINKS, name });
        return status?.conditions?.some(({ type, status }) => type === 'Synced' && status === 'True');
      },
      { timeoutMs: 60_000, everyMs: 50 },
    );
  }

  /** A controller at rest, with exactly the mirrors of the base exports. */
  async mirrored(): Promise<ControllerProcess> {
    await this.base();
    if ([...this.#links].some((name) => name !== 'west')) await this.clear();
    if (!this.#links.has('west')) await this.linkBase();
    const controller = this.#controller ?? (await this.startController());
    const { services: count } = this.sizes;
    await this.watch.until(
      'the base exports are mirrored',
      () => this.watch.complete('west') === count && this.watch.left('west') === 2 * count,
    );
    await controller.idle(1);
    await this.synced('west');
    return controller;
  }

  /** Empties the source: no controller, no Links, no mirrors. */
  async clear(): Promise<void> {
    await this.stopController();
    const group = 'multicluster.linkerd.io/v1alpha3';
    for (const collection of [
      `/apis/${group}/namespaces/${LINKS}/links`,
      `/api/v1/namespaces/${LINKS}/secrets`,
      `/apis/coordination.k8s.io/v1/namespaces/${LINKS}/leases`,
    ])
      await this.source.kubectl('delete', '--raw', collection);
    this.#links.clear();
    await this.clearMirrors();
  }

  /** Deletes mirrors, all or those of one cluster, while no controller runs. */
  async clearMirrors(cluster?: string): Promise<void> {
    const only = cluster === undefined ? '' : `%2Cmirror.linkerd.io%2Fcluster-name%3D${cluster}`;
    const clusters = cluster === undefined ? this.watch.clusters : [cluster];
    if (clusters.every((name) => this.watch.left(name) === 0)) return;
    this.say('deleting mirrors');
    await Promise.all(
      namespaceNames.map(async (namespace) => {
        for (const plural of ['api/v1/services', 'apis/discovery.k8s.io/v1/endpointslices']) {
          const [root, resource] = splitLast(plural);
          const collection = `/${root}/namespaces/${namespace}/${resource}`;
          await this.source.kubectl('delete', '--raw', `${collection}?labelSelector=${MIRRORED}${only}`);
        }
      }),
    );
    await this.watch.until('the mirrors are gone', () =>
      clusters.every((name) => this.watch.left(name) === 0),
    );
  }
}

function startGateway(marker: string, port: number): Promise<Program> {
  return startProgram('gateway-server.ts', [GATEWAY, String(port)], marker);
}

function splitLast(text: string): [string, string] {
  const slash = text.lastIndexOf('/');
  return [text.slice(0, slash), text.slice(slash + 1)];
}

async function createNamespaces(client: KubeClient, names: readonly string[]): Promise<void> {
  await inParallel(names, async (name) => {
    try {
      await client.create(namespaces, { metadata: { name } });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  });
}

async function patchLabels(
  client: KubeClient,
  { service, slice }: Pair,
  labels: Readonly<Record<string, string | null>>,
): Promise<void> {
  const body = { metadata: { labels } };
  const refOf = ({ metadata }: Pair['service'] | Pair['slice']) => ({
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
  });
  await Promise.all([
    client.patch(services, refOf(service), body, { type: 'merge' }),
    client.patch(endpointSlices, refOf(slice), body, { type: 'merge' }),
  ]);
}
