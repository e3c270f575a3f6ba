import type { Clock } from '../../base/clock.ts';
import type { Health } from '../../telemetry/admin.ts';

/**
 * Why the client at an address is not known: pods are not watched, no pod has the address, it is a node's
 * (shared by all pods in the node's network), or several pods have it.
 */
export type UnknownReason = 'unwatched' | 'no pod' | 'node' | 'several pods';

/** The client at an address, by the pod that has it. */
export type Client =
  | {
      readonly kind: 'pod';
      /** Name of the pod. */
      readonly name: string;
      readonly namespace: string;
      readonly serviceAccount: string;
      /**
       * Whether the pod is being deleted: its address may already belong to another pod that the watch has
       * not brought.
       */
      readonly leaving: boolean;
    }
  | { readonly kind: 'unknown'; readonly reason: UnknownReason };

/** The facts of a pod that identify the client at its address. */
export interface PodFacts {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly hostNetwork: boolean;
  readonly leaving: boolean;
}

/** Finds the client at an address of this cluster. */
export interface Clients {
  /** The client by what is known now. @param address as a socket has it */
  at(address: string): Client;
  /**
   * Calls `listener` whenever the client at an address may have changed.
   * @returns what ends the subscription
   */
  watch(address: string, listener: () => void): () => void;
  /** Not ok until the pods have been listed. */
  readonly ready: Health;
}

/** Used where pods are not watched: no client is known. */
export const NO_CLIENTS: Clients = {
  at: () => ({ kind: 'unknown', reason: 'unwatched' }),
  watch: () => () => undefined,
  ready: { ok: true, reason: '' },
};

/**
 * The client at an address, from all pods that have it and have not ended. A pod that is not being deleted
 * goes before one that is: an address is assigned again only when its last owner has no network any more.
 * Pure.
 */
export function clientAmong(pods: readonly PodFacts[]): Client {
  if (pods.some(({ hostNetwork }) => hostNetwork)) return { kind: 'unknown', reason: 'node' };
  const staying = pods.filter(({ leaving }) => !leaving);
  const [first, ...others] = staying.length > 0 ? staying : pods;
  if (first === undefined) return { kind: 'unknown', reason: 'no pod' };
  const { name, namespace, serviceAccount, leaving } = first;
  // Several pods of one service account are one client.
  const same = others.every((one) => one.namespace === namespace && one.serviceAccount === serviceAccount);
  return same
    ? { kind: 'pod', name, namespace, serviceAccount, leaving }
    : { kind: 'unknown', reason: 'several pods' };
}

/**
 * Whether the client is known well enough. If not, waiting may help, because the watch is a moment behind the
 * cluster. Pure.
 */
export function isSettled(client: Client): boolean {
  return client.kind === 'pod' ? !client.leaving : client.reason === 'node' || client.reason === 'unwatched';
}

/**
 * How long a connection waits for its client to become known where it has to be: kubelets tell the API server
 * of an address a second or two after the pod has it. Milliseconds.
 */
export const MUST_KNOW_MS = 3000;
/** The same where an unknown client may use the route too, and where a pod with its address is leaving. */
export const MAY_KNOW_MS = 1000;

/**
 * Waits until it is known well enough who sends from an address (`isSettled`), for `ms` milliseconds at most.
 * @returns what is known then
 */
export function awaitClient(
  clients: Clients,
  address: string,
  { clock, ms }: { readonly clock: Clock; readonly ms: number },
): Promise<Client> {
  return new Promise((resolve) => {
    const end = () => {
      timer.cancel();
      unwatch();
      resolve(clients.at(address));
    };
    const timer = clock.after(ms, end, { unref: true });
    const unwatch = clients.watch(address, () => {
      if (isSettled(clients.at(address))) end();
    });
  });
}

/**
 * An address in the form of a pod's status: a dual-stack socket shows IPv4 addresses as `::ffff:1.2.3.4`.
 * Pure.
 */
export function podAddress(address: string): string {
  const plain = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
  const zone = plain.indexOf('%');
  return (zone < 0 ? plain : plain.slice(0, zone)).toLowerCase();
}
