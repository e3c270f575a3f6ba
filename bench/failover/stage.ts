import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { FAILOVER_DRAIN } from '../../src/api/failover/failover-names.ts';
import { links } from '../../src/api/link/link-schema.ts';
import { type Authority, createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { identityFiles, writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { change } from '../../test/support/cluster-objects.ts';
import { installCrd } from '../../test/support/linked-clusters.ts';
import { type Cluster, startCluster } from '../../test/testbed/cluster.ts';
import { address } from '../../test/testbed/netns.ts';
import { end, markedEnv } from '../mirror/support/programs.ts';
import { BenchService, type ServiceOptions } from './bench-service.ts';
import { LinkspanProcess } from './support/linkspan-process.ts';
import { heal } from './support/network.ts';
import { egressManifests, LINKS, linkManifests, namespaceManifests, originPorts } from './support/objects.ts';
import { originAddresses, type Target, TARGETS } from './support/targets.ts';

const EAST_API = 1;
const FIRST_GATEWAY = 14;
const EGRESS = 16;
const GATEWAY_PORT = 4143;
const PROBE_PORT = 4191;
const ORIGIN = path.join(import.meta.dirname, '../../test/e2e/programs/member.mts');

/** What the runs of all faults share: three control planes, gateways, egress, controllers and origins. */
export class Stage {
  readonly east: Cluster;
  readonly say: (text: string) => void;
  readonly #targets: ReadonlyMap<Target, Cluster>;
  readonly #directory = mkdtempSync(path.join(os.tmpdir(), 'linkspan-failover-'));
  readonly #gateways = new Map<Target, LinkspanProcess>();
  readonly #controllers: LinkspanProcess[] = [];
  readonly #origins: ChildProcess[] = [];
  #egress: LinkspanProcess | undefined;
  #services = 0;
  #admins = 9100;

  private constructor(east: Cluster, targets: ReadonlyMap<Target, Cluster>, say: (text: string) => void) {
    this.east = east;
    this.#targets = targets;
    this.say = say;
  }

  /** Boots everything. What is started here ends with this process, however that ends. */
  static async open(say: (text: string) => void): Promise<Stage> {
    say('booting three control planes');
    const [east, ...others] = await Promise.all([
      startCluster({ name: 'east', address: address(EAST_API) }),
      // Gateways use their API server at another address than controllers in other clusters do, so that
      // these can be cut off alone.
      ...TARGETS.map((name, index) =>
        startCluster({
          name,
          address: address(EAST_API + 1 + index),
          apiServerFlags: ['--bind-address=0.0.0.0'],
        }),
      ),
    ]);
    const targets = new Map(TARGETS.map((name, index) => [name, others[index] as Cluster] as const));
    const stage = new Stage(east as Cluster, targets, say);
    await stage.#start();
    return stage;
  }

  /** @throws Error for a cluster that is no target */
  cluster(target: Target): Cluster {
    const found = this.#targets.get(target);
    if (found === undefined) throw new Error(`there is no cluster ${target}`);
    return found;
  }

  /** @throws Error for a cluster that is no target */
  gateway(target: Target): LinkspanProcess {
    const found = this.#gateways.get(target);
    if (found === undefined) throw new Error(`there is no gateway of ${target}`);
    return found;
  }

  gatewayAddress(target: Target): string {
    return address(FIRST_GATEWAY + TARGETS.indexOf(target));
  }

  /** Kills all controllers. */
  async killControllers(): Promise<void> {
    await Promise.all(this.#controllers.map((controller) => controller.kill()));
  }

  /** Sets an annotation of the Link to a cluster, or takes it away (null). */
  async annotateLink(target: Target, key: string, value: string | null): Promise<void> {
    const ref = { namespace: LINKS, name: target };
    await change(this.east, links, ref, { metadata: { annotations: { [key]: value } } });
  }

  /** A federated Service with a member in both targets, which nobody has used before. */
  async service(options: ServiceOptions): Promise<BenchService> {
    const service = new BenchService(`web-${++this.#services}`, this);
    await service.create(options);
    return service;
  }

  /** Makes everything as it was: nothing is cut off or drained, everything runs. */
  async repair(): Promise<void> {
    heal();
    for (const target of TARGETS) await this.annotateLink(target, FAILOVER_DRAIN, null);
    await Promise.all([...this.#gateways.values(), ...this.#controllers].map((one) => one.start()));
  }

  async close(): Promise<void> {
    heal();
    const all = [...this.#controllers, ...this.#gateways.values(), ...(this.#egress ? [this.#egress] : [])];
    await Promise.all([...all.map((one) => one.kill()), ...this.#origins.map((child) => end(child))]);
    await Promise.all([this.east, ...this.#targets.values()].map((cluster) => cluster.stop()));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    heal();
    const issuer = await createIssuer(await createAnchor({}), {});
    this.say('starting gateways, egress, controllers and origins');
    await installCrd(this.east);
    await this.east.apply([...namespaceManifests(), ...egressManifests(address(EGRESS))]);
    await Promise.all(TARGETS.map((target) => this.#startTarget(target, issuer)));
    for (const replica of ['a', 'b'])
      this.#controllers.push(
        this.#process(`controller-${replica}`, [
          'controller',
          '--kubeconfig',
          this.east.kubeconfigFile,
          '--namespace',
          LINKS,
          '--data-path',
          'relay',
          '--replica',
          replica,
        ]),
      );
    this.#egress = this.#process('egress', [
      'egress',
      '--kubeconfig',
      this.east.kubeconfigFile,
      '--namespace',
      LINKS,
      '--listen-address',
      address(EGRESS),
      '--clients',
      'off',
      '--identity-dir',
      await this.#identity(issuer, 'egress.east'),
    ]);
    await Promise.all([...this.#controllers, this.#egress].map((one) => one.start()));
  }

  async #startTarget(target: Target, issuer: Authority): Promise<void> {
    const cluster = this.cluster(target);
    const identity = `gateway.${target}`;
    const gateway = this.#process(identity, [
      'gateway',
      '--kubeconfig',
      await this.#ownKubeconfig(cluster),
      '--listen',
      `${this.gatewayAddress(target)}:${GATEWAY_PORT}`,
      '--probe',
      `${this.gatewayAddress(target)}:${PROBE_PORT}`,
      '--identity-dir',
      await this.#identity(issuer, identity),
    ]);
    this.#gateways.set(target, gateway);
    await cluster.apply(namespaceManifests());
    await this.#startOrigins(target);
    await gateway.start();
    await this.east.apply(
      linkManifests({
        name: target,
        kubeconfig: cluster.kubeconfig,
        identity,
        address: this.gatewayAddress(target),
        port: GATEWAY_PORT,
        probePort: PROBE_PORT,
      }),
    );
  }

  async #startOrigins(target: Target): Promise<void> {
    const ports = originPorts(TARGETS.indexOf(target)).map(String);
    const addresses = originAddresses().join(',');
    const child = spawn(process.execPath, [ORIGIN, target, addresses, ...ports], {
      env: markedEnv(this.east.marker),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#origins.push(child);
    await once(child.stdout, 'data');
  }

  #process(name: string, args: readonly string[]): LinkspanProcess {
    const logs = process.env['LINKSPAN_TESTBED_LOGS'] || this.#directory;
    const logFile = path.join(logs, `${name}.log`);
    return new LinkspanProcess({ args, admin: this.#admins++, marker: this.east.marker, logFile });
  }

  async #identity(issuer: Authority, identity: string): Promise<string> {
    const directory = path.join(this.#directory, identity);
    await writePemFiles(directory, identityFiles(await issueLeaf(issuer, { identity })));
    return directory;
  }

  /** A kubeconfig for a program beside the API server. */
  async #ownKubeconfig(cluster: Cluster): Promise<string> {
    const text = readFileSync(cluster.kubeconfigFile, 'utf8').replace(
      `//${cluster.address}:`,
      '//127.0.0.1:',
    );
    const directory = path.join(this.#directory, 'kubeconfigs');
    const [file = ''] = await writePemFiles(directory, [{ name: cluster.name, text, secret: true }]);
    return file;
  }
}
