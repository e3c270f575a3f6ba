/**
 * Embedded control planes: a real etcd and kube-apiserver, and a kube-controller-manager when asked, in about
 * three seconds.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { binaries } from './binaries.ts';
import { NEEDS } from './binaries/programs.ts';
import { type ClusterProcess, ControlPlane, freePorts } from './control-plane.ts';
import { TestbedError } from './errors.ts';
import { address as netnsAddress, inNetns } from './netns.ts';
import { applyUpTo, servedGroups } from './direct-apply.ts';
import { putBack, readState, staleGroups } from './etcd-state.ts';
import { type ClusterPki, clusterPki } from './pki.ts';
import { watchCluster } from './watched-clusters.ts';

export type { ClusterProcess } from './control-plane.ts';

export interface ClusterOptions {
  /** Name of the kubeconfig's context, cluster and user. */
  readonly name: string;
  /**
   * Also run kube-controller-manager: service account tokens, EndpointSlices of selectors, namespace
   * deletion, garbage collection. Default false.
   */
  readonly controllerManager?: boolean;
  /**
   * What the API server listens on; default the namespace's next 10.200.0.x, or 127.0.0.1 outside the
   * namespace.
   */
  readonly address?: string;
  /** Put behind the testbed's own flags, so that they win. */
  readonly apiServerFlags?: readonly string[];
}

export interface Cluster {
  readonly name: string;
  /** `https://address:port` */
  readonly server: string;
  /** What the API server listens on. */
  readonly address: string;
  /** Of an administrator (`system:masters`). */
  readonly kubeconfigFile: string;
  /** The same as text, certificates inlined, one context, called as the cluster. */
  readonly kubeconfig: string;
  readonly caFile: string;
  readonly serviceCidr: string;
  /** `NAME=value` in the environment of all its processes. */
  readonly marker: string;
  /** Runs kubectl as the administrator; its standard output. Rejects with what it said when it fails. */
  kubectl(...args: string[]): Promise<string>;
  /**
   * `kubectl apply -f -` of objects or of YAML text; what can be is applied without starting kubectl.
   */
  apply(manifest: string | object | readonly object[]): Promise<void>;
  /** Sends a signal to a process: SIGSTOP and SIGCONT, SIGTERM, SIGKILL. */
  signal(process: ClusterProcess, signal: NodeJS.Signals): void;
  /**
   * Kills a process and starts it anew on the same address; resolves when it serves. With `wipe`, which is
   * for etcd, everything is stopped, all data forgotten and everything started: a cluster rebuilt from
   * nothing behind the same address and credentials.
   */
  restart(process: ClusterProcess, options?: { readonly wipe?: boolean }): Promise<void>;
  /**
   * Remembers everything that the API server has stored.
   * @returns makes it as it was then, and resolves when the API server serves no other groups of kinds.
   * Nobody else may use the cluster meanwhile.
   */
  remember(): Promise<() => Promise<void>>;
  /** Kills all processes and removes all files. May be called twice. */
  stop(): Promise<void>;
}

const BOOT_ATTEMPTS = 3;
const SERVED_POLL_MS = 50;
const SERVED_TRIES = 600;
/** After so many tries what was put back is put back again. */
const SERVED_AGAIN = 20;
let started = 0;

/**
 * Starts a control plane and waits until it is ready. When this process ends, however it ends, nothing of the
 * cluster stays. Logs lie in the cluster's directory, or in `$LINKSPAN_TESTBED_LOGS` when that is set, where
 * they survive.
 * @throws TestbedError TESTBED_NOT_PREPARED | TESTBED_BOOT_FAILED (with the last lines of the logs)
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const files: Record<ClusterProcess | 'kubectl', string> = binaries(
    options.controllerManager === true ? NEEDS.controlPlane : NEEDS.demo,
  );
  const index = started++;
  const address = options.address ?? (inNetns() ? netnsAddress((index % 20) + 1) : '127.0.0.1');
  const pki = await clusterPki(options.name, [address], `10.${100 + (index % 100)}.0.1`);
  for (let attempt = 1; ; attempt++) {
    try {
      return await boot({ options, files, index, address, pki });
    } catch (error) {
      const taken = error instanceof TestbedError && /address already in use/.test(error.message);
      if (!taken || attempt === BOOT_ATTEMPTS) throw error;
    }
  }
}

interface Boot {
  readonly options: ClusterOptions;
  readonly files: Record<ClusterProcess | 'kubectl', string>;
  readonly index: number;
  readonly address: string;
  readonly pki: ClusterPki;
}

async function boot({ options, files, index, address, pki }: Boot): Promise<Cluster> {
  const { name } = options;
  const directory = mkdtempSync(path.join(os.tmpdir(), `linkspan-testbed-${name}-`));
  const marker = `LINKSPAN_TESTBED_CLUSTER=${randomBytes(12).toString('hex')}`;
  const stop = watchCluster(marker, directory);
  try {
    const ports = await freePorts(address);
    const server = `https://${address}:${ports.api}`;
    const kubeconfig = kubeconfigText(name, server, pki);
    const kubeconfigFile = path.join(directory, 'kubeconfig');
    writeFileSync(kubeconfigFile, kubeconfig, { mode: 0o600 });
    const serviceCidr = `10.${100 + (index % 100)}.0.0/16`;
    const plane = new ControlPlane(
      {
        name,
        directory,
        logDirectory: process.env['LINKSPAN_TESTBED_LOGS'] || path.join(directory, 'log'),
        address,
        advertiseAddress: address.startsWith('127.') ? `10.200.0.${(index % 20) + 1}` : address,
        serviceCidr,
        podCidr: `10.${(index % 50) + 1}.0.0/16`,
        pki,
        binaries: files,
        apiServerFlags: options.apiServerFlags ?? [],
        marker,
      },
      ports,
    );
    await plane.start('etcd');
    await plane.start('kube-apiserver');
    if (options.controllerManager === true) await plane.start('kube-controller-manager');
    const kubectl = (args: readonly string[], input?: string) =>
      runKubectl(
        files.kubectl,
        ['--kubeconfig', kubeconfigFile, '--cache-dir', path.join(directory, 'cache'), ...args],
        input,
      );
    return {
      name,
      server,
      address,
      kubeconfigFile,
      kubeconfig,
      caFile: path.join(directory, 'ca.crt'),
      serviceCidr,
      marker,
      kubectl: (...args) => kubectl(args),
      apply: async (manifest) => {
        const left = await unapplied(objectsOf(manifest), server, pki);
        const items = { apiVersion: 'v1', kind: 'List', items: left };
        if (left.length > 0) await kubectl(['apply', '-f', '-'], JSON.stringify(items));
      },
      signal: (process, signal) => plane.signal(process, signal),
      remember: async () => {
        const admin = { server, ca: pki.ca.cert, ...pki.admin };
        let state = await readState(plane.etcd);
        // Of what was there before, and is put back already.
        for (let tries = 0; staleGroups(state).size > 0 && tries < SERVED_TRIES; tries++) {
          await new Promise((resolve) => setTimeout(resolve, SERVED_POLL_MS));
          state = await readState(plane.etcd);
        }
        const served = await servedGroups(admin);
        return async () => {
          await putBack(plane.etcd, state);
          for (let tries = 0; (await servedGroups(admin)) !== served; tries++) {
            if (tries === SERVED_TRIES)
              throw new Error(
                `cluster ${name} does not become as it was: it served ${served}, and ${await servedGroups(admin)} now`,
              );
            // An API server that has not yet heard that a kind is gone writes its APIService anew.
            if (tries % SERVED_AGAIN === SERVED_AGAIN - 1) await putBack(plane.etcd, state);
            await new Promise((resolve) => setTimeout(resolve, SERVED_POLL_MS));
          }
          // What kubectl has found out about kinds.
          rmSync(path.join(directory, 'cache'), { recursive: true, force: true });
        };
      },
      restart: (process, how) => restart(plane, process, how?.wipe ?? false),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function restart(plane: ControlPlane, process: ClusterProcess, wipe: boolean): Promise<void> {
  const affected = wipe ? plane.started : [process];
  for (const name of [...affected].reverse()) await plane.kill(name);
  if (wipe) plane.wipe();
  for (const name of affected) await plane.start(name);
}

function kubeconfigText(name: string, server: string, pki: ClusterPki): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  return `apiVersion: v1
kind: Config
current-context: ${name}
clusters:
- name: ${name}
  cluster:
    server: ${server}
    certificate-authority-data: ${base64(pki.ca.cert)}
users:
- name: ${name}
  user:
    client-certificate-data: ${base64(pki.admin.cert)}
    client-key-data: ${base64(pki.admin.key)}
contexts:
- name: ${name}
  context:
    cluster: ${name}
    user: ${name}
`;
}

function objectsOf(manifest: string | object | readonly object[]): readonly object[] {
  if (typeof manifest !== 'string')
    return Array.isArray(manifest) ? (manifest as readonly object[]) : [manifest];
  const documents = parseAllDocuments(manifest).map((document) => document.toJS() as object | null);
  return documents.filter((object) => object !== null);
}

/** The objects that are kubectl's, after those before them have been applied. */
async function unapplied(
  objects: readonly object[],
  server: string,
  { ca, admin }: ClusterPki,
): Promise<readonly object[]> {
  return objects.slice(await applyUpTo(objects, { server, ca: ca.cert, ...admin }));
}

async function runKubectl(file: string, args: readonly string[], input?: string): Promise<string> {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const out: string[] = [];
  const err: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => void out.push(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => void err.push(text));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (code === 0) return out.join('');
  throw new Error(`kubectl ${args.slice(4).join(' ')} ended with ${signal ?? code}: ${err.join('').trim()}`);
}
