import {
  type Client,
  clientAmong,
  type Clients,
  type PodFacts,
  podAddress,
} from '../../src/egress/clients/client.ts';

/** A pod by what matters of it; the rest is as with most pods. */
export function pod(namespace: string, serviceAccount: string, more: Partial<PodFacts> = {}): PodFacts {
  const name = `${serviceAccount}-0`;
  return { name, namespace, serviceAccount, hostNetwork: false, leaving: false, ...more };
}

/** Clients that a test lists, in place of the pods of a cluster. */
export class ListedClients implements Clients {
  readonly ready = { ok: true, reason: '' };
  readonly #pods = new Map<string, readonly PodFacts[]>();
  readonly #listeners = new Map<string, Set<() => void>>();

  constructor(pods: Readonly<Record<string, readonly PodFacts[]>> = {}) {
    for (const [address, at] of Object.entries(pods)) this.#pods.set(address, at);
  }

  /** Says whose an address is from now on. */
  set(address: string, ...pods: readonly PodFacts[]): void {
    this.#pods.set(address, pods);
    for (const listener of this.#listeners.get(address) ?? []) listener();
  }

  /** Connections that wait to learn more of an address. */
  waiting(address: string): number {
    return this.#listeners.get(address)?.size ?? 0;
  }

  at(address: string): Client {
    return clientAmong(this.#pods.get(podAddress(address)) ?? []);
  }

  watch(address: string, listener: () => void): () => void {
    const listeners = this.#listeners.get(podAddress(address)) ?? new Set();
    this.#listeners.set(podAddress(address), listeners.add(listener));
    return () => listeners.delete(listener);
  }
}
