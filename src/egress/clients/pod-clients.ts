import type { V1ObjectMeta, V1Pod, V1PodIP, V1PodSpec, V1PodStatus } from '@kubernetes/client-node';
import { notifyAll } from '../../base/isolation.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../api/errors/linkspan-error.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { Reflector } from '../../kube/informer/reflector.ts';
import { pods } from '../../api/kubernetes/resource.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import type { Health } from '../../telemetry/admin.ts';
import type { Logger } from '../../telemetry/log.ts';
import { type Client, clientAmong, type Clients, type PodFacts, podAddress } from './client.ts';

/** How pods or Namespaces of this cluster are watched. */
export interface PodClientsOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const BY_ADDRESS = 'address';
/**
 * Pods in one page of a list: whole pods of this number are about a megabyte of JSON, and traffic waits while
 * it is parsed.
 */
const PAGE_SIZE = 100;
/** Field selector: pods that have ended still show their address, which may be another pod's by then. */
const NOT_ENDED = 'status.phase!=Succeeded,status.phase!=Failed';

/**
 * Finds clients by the pods of this cluster. Of each pod only account, addresses and whether it is being
 * deleted are stored. While the API server cannot be reached the last known pods hold.
 */
export class PodClients implements Clients {
  readonly #store = new IndexedStore<V1Pod>({ [BY_ADDRESS]: podAddresses });
  readonly #reflector: Reflector<V1Pod>;
  /** By address. */
  readonly #listeners = new Map<string, Set<() => void>>();

  constructor(options: PodClientsOptions) {
    this.#reflector = new Reflector({
      ...options,
      resource: pods,
      store: this.#store,
      fieldSelector: NOT_ENDED,
      pageSize: PAGE_SIZE,
      transform: storedClientPod,
    });
    this.#store.subscribe('egress: clients by their pods', ({ object, previous }) => {
      const addresses = new Set([...podAddresses(object), ...(previous ? podAddresses(previous) : [])]);
      for (const address of addresses) this.#tell(address);
    });
  }

  /** Number of known pods. */
  get size(): number {
    return this.#store.size;
  }

  /** Ready also when pods cannot be listed: then only clients that have to be known are refused. */
  get ready(): Health {
    const { synced, error } = this.#reflector;
    if (synced) return { ok: true, reason: '' };
    if (error === undefined) return { ok: false, reason: 'waiting for pods: listing' };
    return { ok: true, reason: `clients are not told apart: ${describeError(error)}` };
  }

  at(address: string): Client {
    return clientAmong(this.#store.byIndex(BY_ADDRESS, podAddress(address)).map(factsOf));
  }

  watch(address: string, listener: () => void): () => void {
    const key = podAddress(address);
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#listeners.delete(key);
    };
  }

  start(): void {
    this.#reflector.start();
  }

  stop(): Promise<void> {
    return this.#reflector.stop();
  }

  #tell(address: string): void {
    notifyAll('listeners of pods', this.#listeners.get(address) ?? []);
  }
}

/**
 * The parts of a pod that are stored; there may be tens of thousands. Undefined for pods without an address
 * yet, and for those that have ended. Pure.
 */
export function storedClientPod({ metadata = {}, spec, status = {} }: V1Pod): V1Pod | undefined {
  const podIPs = addressesOf(status);
  if (podIPs.length === 0 || status.phase === 'Succeeded' || status.phase === 'Failed') return undefined;
  const kept: V1PodSpec = { containers: [], serviceAccountName: spec?.serviceAccountName ?? 'default' };
  if (spec?.hostNetwork === true) kept.hostNetwork = true;
  return { metadata: storedMetadata(metadata), spec: kept, status: { podIPs } };
}

function storedMetadata({
  name,
  namespace,
  uid,
  resourceVersion,
  deletionTimestamp,
}: V1ObjectMeta): V1ObjectMeta {
  const leaving: V1ObjectMeta = deletionTimestamp === undefined ? {} : { deletionTimestamp };
  return Object.assign(leaving, { name, namespace, uid, resourceVersion });
}

function addressesOf({ podIPs, podIP }: V1PodStatus): V1PodIP[] {
  if (podIPs !== undefined) return podIPs.map(({ ip }) => ({ ip }));
  return podIP === undefined ? [] : [{ ip: podIP }];
}

function podAddresses({ status }: V1Pod): string[] {
  return (status?.podIPs ?? []).map(({ ip }) => podAddress(ip));
}

function factsOf({ metadata, spec }: V1Pod): PodFacts {
  return {
    name: metadata?.name ?? '',
    namespace: metadata?.namespace ?? '',
    serviceAccount: spec?.serviceAccountName ?? '',
    hostNetwork: spec?.hostNetwork === true,
    leaving: metadata?.deletionTimestamp !== undefined,
  };
}
