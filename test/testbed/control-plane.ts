import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { createServer } from 'node:net';
import path from 'node:path';
import { TestbedError } from './errors.ts';
import type { ClusterPki } from './pki.ts';

export type ClusterProcess = 'etcd' | 'kube-apiserver' | 'kube-controller-manager';

export interface ControlPlaneSetup {
  readonly name: string;
  /** Holds all its files; removed by the watchdog. */
  readonly directory: string;
  readonly logDirectory: string;
  /** What the API server binds. */
  readonly address: string;
  /** What it says of itself; never a loopback address, which it would refuse. */
  readonly advertiseAddress: string;
  readonly serviceCidr: string;
  readonly podCidr: string;
  readonly pki: ClusterPki;
  readonly binaries: Readonly<Partial<Record<ClusterProcess, string>>>;
  readonly apiServerFlags: readonly string[];
  /** `NAME=value` that every process carries, by which the watchdog finds it. */
  readonly marker: string;
}

export interface Ports {
  readonly api: number;
  readonly client: number;
  readonly peer: number;
}

/**
 * Of Go: no garbage is collected before a process has so much memory, which few ever have here. A quarter of
 * the CPU that a control plane takes to start was collecting. And one thread runs its code: with more, most
 * of what a control plane takes while nobody asks it anything is threads that wake each other to look for
 * work, and a third of what requests cost.
 */
export const GO_RUNTIME = { GOGC: 'off', GOMEMLIMIT: '600MiB', GOMAXPROCS: '1' } as const;
/** What of kube's controllers tests count on; the others would watch the API server for nothing. */
const CONTROLLERS = [
  'clusterrole-aggregation-controller',
  'deployment-controller',
  'endpoints-controller',
  'endpointslice-controller',
  'endpointslice-mirroring-controller',
  'garbage-collector-controller',
  'namespace-controller',
  'replicaset-controller',
  'resourcequota-controller',
  'root-ca-certificate-publisher-controller',
  'serviceaccount-controller',
  'serviceaccount-token-controller',
];
const READY_POLL_MS = 100;
const BOOT_TIMEOUT_MS = 60_000;
const TAIL_LINES = 25;

/** The processes of one cluster and their files. Chaos goes through here. */
export class ControlPlane {
  readonly #setup: ControlPlaneSetup;
  readonly #ports: Ports;
  readonly #processes = new Map<ClusterProcess, ChildProcess>();

  constructor(setup: ControlPlaneSetup, ports: Ports) {
    this.#setup = setup;
    this.#ports = ports;
    mkdirSync(setup.logDirectory, { recursive: true });
    const { pki } = setup;
    const files = {
      'ca.crt': pki.ca.cert,
      'server.crt': pki.server.cert,
      'server.key': pki.server.key,
      'service-account.key': pki.serviceAccount.key,
      'service-account.pub': pki.serviceAccount.publicKey,
    };
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(path.join(setup.directory, name), text, { mode: 0o600 });
    }
  }

  /** Starts a process and waits until it serves. */
  async start(name: ClusterProcess): Promise<void> {
    const file = this.#setup.binaries[name];
    if (file === undefined)
      throw new TestbedError(
        'TESTBED_BOOT_FAILED',
        `cluster ${this.#setup.name} was started without ${name}.`,
      );
    const log = openSync(this.#log(name), 'a');
    const [variable, ...value] = this.#setup.marker.split('=');
    const child = spawn(file, this.#flags(name), {
      cwd: this.#setup.directory,
      env: {
        PATH: process.env['PATH'],
        HOME: this.#setup.directory,
        TMPDIR: this.#setup.directory,
        [variable ?? '']: value.join('='),
        ...GO_RUNTIME,
      },
      // A session of its own: ^C is for the test process, which then stops or is cleaned up after.
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    // A forgotten cluster does not keep the test process alive; the watchdog sees to the rest.
    child.unref();
    child.on('error', () => {});
    this.#processes.set(name, child);
    await this.#ready(name, child);
  }

  /** Ends a process with SIGKILL and waits for it. */
  async kill(name: ClusterProcess): Promise<void> {
    const child = this.#processes.get(name);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.ref();
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  /** Sends a signal, such as SIGSTOP and SIGCONT for an API server that accepts and never answers. */
  signal(name: ClusterProcess, signal: NodeJS.Signals): void {
    const child = this.#processes.get(name);
    if (child?.kill(signal) !== true) throw new Error(`cluster ${this.#setup.name}: ${name} is not running`);
  }

  /** Which processes were ever started, in starting order. */
  get started(): ClusterProcess[] {
    return [...this.#processes.keys()];
  }

  /** Where etcd serves its clients. */
  get etcd(): string {
    return `http://127.0.0.1:${this.#ports.client}`;
  }

  /** Forgets everything that etcd holds; it must not run. */
  wipe(): void {
    rmSync(this.#etcdData, { recursive: true, force: true });
  }

  get #etcdData(): string {
    return path.join(this.#setup.directory, 'etcd');
  }

  #log(name: ClusterProcess): string {
    return path.join(this.#setup.logDirectory, `${this.#setup.name}-${name}.log`);
  }

  #flags(name: ClusterProcess): string[] {
    const { directory, address, advertiseAddress, serviceCidr, podCidr, apiServerFlags } = this.#setup;
    const file = (base: string) => path.join(directory, base);
    const { etcd } = this;
    const peer = `http://127.0.0.1:${this.#ports.peer}`;
    const flags: Record<ClusterProcess, () => string[]> = {
      etcd: () => [
        '--name=testbed',
        `--data-dir=${this.#etcdData}`,
        `--listen-client-urls=${etcd}`,
        `--advertise-client-urls=${etcd}`,
        `--listen-peer-urls=${peer}`,
        `--initial-advertise-peer-urls=${peer}`,
        `--initial-cluster=testbed=${peer}`,
        // One member elects itself after one such time-out. A tick costs the same however short: with 50 ms
        // an idle etcd takes twice as much of the machine.
        '--heartbeat-interval=200',
        '--election-timeout=1000',
        '--unsafe-no-fsync',
        '--log-level=warn',
      ],
      'kube-apiserver': () => [
        `--etcd-servers=${etcd}`,
        `--bind-address=${address}`,
        `--advertise-address=${advertiseAddress}`,
        `--secure-port=${this.#ports.api}`,
        `--cert-dir=${file('certs')}`,
        `--tls-cert-file=${file('server.crt')}`,
        `--tls-private-key-file=${file('server.key')}`,
        `--client-ca-file=${file('ca.crt')}`,
        '--authorization-mode=RBAC',
        '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
        `--service-account-key-file=${file('service-account.pub')}`,
        `--service-account-signing-key-file=${file('service-account.key')}`,
        `--service-cluster-ip-range=${serviceCidr}`,
        '--allow-privileged=true',
        '--profiling=false',
        // Nobody here asks for more than his share; its objects and queues are a sixth of a start.
        '--enable-priority-and-fairness=false',
        ...apiServerFlags,
      ],
      'kube-controller-manager': () => [
        `--kubeconfig=${file('kubeconfig')}`,
        '--secure-port=0',
        // Acts as the administrator: accounts of its own (--use-service-account-credentials) cost 4 s more at
        // every boot.
        '--leader-elect=false',
        `--root-ca-file=${file('ca.crt')}`,
        `--service-account-private-key-file=${file('service-account.key')}`,
        `--service-cluster-ip-range=${serviceCidr}`,
        `--cluster-cidr=${podCidr}`,
        `--cluster-name=${this.#setup.name}`,
        '--concurrent-service-endpoint-syncs=1',
        `--controllers=${CONTROLLERS.join()}`,
        '--profiling=false',
      ],
    };
    return flags[name]();
  }

  async #ready(name: ClusterProcess, child: ChildProcess): Promise<void> {
    const end = performance.now() + BOOT_TIMEOUT_MS;
    while (!(await this.#serves(name))) {
      const how = child.pid === undefined ? 'could not be started' : (child.signalCode ?? child.exitCode);
      if (how !== null)
        throw this.#failed(name, typeof how === 'number' ? `ended with ${how}` : `ended: ${how}`);
      if (performance.now() > end)
        throw this.#failed(name, `did not become ready in ${BOOT_TIMEOUT_MS / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    }
  }

  #serves(name: ClusterProcess): Promise<boolean> | true {
    if (name === 'etcd') return answers(`${this.etcd}/health`);
    if (name === 'kube-apiserver') return this.#get('/readyz').then((status) => status === 200);
    // Its token and service account controllers work once the default account is there.
    return this.#get('/api/v1/namespaces/default/serviceaccounts/default').then((status) => status === 200);
  }

  /** Status of a GET as the administrator; 0 when there is no answer. */
  #get(target: string): Promise<number> {
    const { pki, address } = this.#setup;
    return new Promise((resolve) => {
      const options = {
        host: address,
        port: this.#ports.api,
        path: target,
        ca: pki.ca.cert,
        cert: pki.admin.cert,
        key: pki.admin.key,
        agent: false as const,
        timeout: 2000,
      };
      const call = request(options, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      call.on('timeout', () => call.destroy());
      call.on('error', () => resolve(0));
      call.end();
    });
  }

  #failed(name: ClusterProcess, how: string): TestbedError {
    const tails = (['etcd', 'kube-apiserver', 'kube-controller-manager'] as const)
      .map((process) => [process, tail(this.#log(process))] as const)
      .filter(([, text]) => text !== '')
      .map(([process, text]) => `--- last lines of ${process} ---\n${text}`);
    return new TestbedError(
      'TESTBED_BOOT_FAILED',
      `cluster ${this.#setup.name}: ${name} ${how}. Its last lines say why; with LINKSPAN_TESTBED_LOGS=DIRECTORY the whole logs are kept.\n${tails.join('\n')}`,
    );
  }
}

function tail(file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
  } catch {
    return '';
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    return false;
  }
}

/**
 * Ports that are free right now; somebody may still take one before its process does, and the boot is tried
 * again then.
 */
export async function freePorts(address: string): Promise<Ports> {
  const open = await Promise.all([address, '127.0.0.1', '127.0.0.1'].map(listen));
  const [api = 0, client = 0, peer = 0] = open.map(({ port }) => port);
  await Promise.all(open.map(({ close }) => close()));
  return { api, client, peer };
}

async function listen(host: string): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer();
  server.listen(0, host);
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  return { port: bound.port, close: () => new Promise((resolve) => server.close(() => resolve())) };
}
