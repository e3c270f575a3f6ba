import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { KubeObject } from '../../src/api/kubernetes/resource.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { collectionPath } from '../testbed/direct-apply.ts';
import { FakeCluster } from './fake-cluster.ts';
import { type InstalledGroups, ServedCluster } from './served-cluster.ts';

/** What most helpers want of a cluster: that of the testbed has it, and one in memory. */
export type ApiCluster = Pick<Cluster, 'name' | 'kubeconfigFile' | 'apply'>;

/**
 * A cluster in memory that clients reach by a socket, for tests of what programs do with what they read, and
 * how much of it: a write of 100 KiB costs a real API server and its etcd 50 ms of CPU. It takes whatever it
 * is given; what an API server refuses, defaults or converts is a matter of those of the testbed.
 */
export class MemoryCluster implements ApiCluster {
  readonly name: string;
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'linkspan-memory-cluster-'));
  readonly #objects = new FakeCluster();
  readonly #served: ServedCluster;

  #server = '';

  private constructor(name: string, groups: InstalledGroups) {
    this.name = name;
    this.#served = new ServedCluster(this.#objects, groups);
  }

  /** @param groups that are installed besides kube's own */
  static async start(name: string, groups: InstalledGroups = {}): Promise<MemoryCluster> {
    const cluster = new MemoryCluster(name, groups);
    const server = await cluster.#served.start();
    cluster.#server = server;
    const kubeconfig = {
      'current-context': name,
      clusters: [{ name, cluster: { server } }],
      users: [{ name, user: { token: 'anybody' } }],
      contexts: [{ name, context: { cluster: name, user: name } }],
    };
    writeFileSync(cluster.kubeconfigFile, JSON.stringify(kubeconfig));
    return cluster;
  }

  /** Its URL. */
  get server(): string {
    return this.#server;
  }

  get kubeconfigFile(): string {
    return path.join(this.#directory, 'kubeconfig');
  }

  /** Stores the objects as they are, over what is there of their names. */
  async apply(objects: string | object | readonly object[]): Promise<void> {
    if (typeof objects === 'string') throw new Error('text is for clusters of the testbed');
    await Promise.resolve();
    for (const object of [objects].flat() as KubeObject[]) {
      const collection = collectionPath(object as object);
      if (collection === undefined) throw new Error(`of an unknown kind: ${JSON.stringify(object)}`);
      const plural = path.basename(collection);
      const { namespace, name = '' } = object.metadata ?? {};
      const uid =
        this.#objects.find(plural, { name, ...(namespace && { namespace }) })?.metadata?.uid ??
        `${this.name}-${plural}-${namespace}-${name}`;
      this.#objects.put(plural, { ...object, metadata: { ...object.metadata, uid } });
    }
  }

  /** Whether pods may be asked through the API server (`pods/proxy`). */
  set podsForbidden(forbidden: boolean) {
    this.#served.forbidPods = forbidden;
  }

  async stop(): Promise<void> {
    await this.#served.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
