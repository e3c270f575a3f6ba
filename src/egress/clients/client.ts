import type { Clock } from '../../base/clock.ts';
import type { Health } from '../../telemetry/admin.ts';

/**
 * Why it is not known who sends from an address: pods are not looked at, no pod has it, a node has it (and so
 * every pod of its network), several pods have it.
 */
export type Unknown = 'unwatched' | 'no pod' | 'node' | 'several pods';

/** Who sends from an address. */
export type Client =
  | {
      readonly kind: 'pod';
      /** Name of the pod. */
      readonly name: string;
      readonly namespace: string;
      readonly serviceAccount: string;
      /** It is being deleted: its address may be another pod's already, of which nothing has been heard. */
      readonly leaving: boolean;
    }
  | { readonly kind: 'unknown'; readonly reason: Unknown };

/** A pod as far as it matters who sends from its address. */
export interface PodFacts {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly hostNetwork: boolean;
  readonly leaving: boolean;
}

/** Who sends from the addresses of this cluster. */
export interface Clients {
  /** As far as is known now. @param address as a socket has it */
  at(address: string): Client;
  /**
   * Calls `listener` whenever what is known of an address may have changed.
   * @returns what ends the subscription
   */
  watch(address: string, listener: () => void): () => void;
  /** Not ok until it is known who is there. */
  readonly ready: Health;
}

/** Nobody is told apart. */
export const NO_CLIENTS: Clients = {
  at: () => ({ kind: 'unknown', reason: 'unwatched' }),
  watch: () => () => undefined,
  ready: { ok: true, reason: '' },
};

/**
 * Whose an address is, of all pods that have it and have not ended. A pod that is not being deleted has it
 * rather than one that is: an address is given anew only when its last owner has no network any more. Pure.
 */
export function clientAmong(pods: readonly PodFacts[]): Client {
  if (pods.some(({ hostNetwork }) => hostNetwork)) return { kind: 'unknown', reason: 'node' };
  const staying = pods.filter(({ leaving }) => !leaving);
  const [first, ...others] = staying.length > 0 ? staying : pods;
  if (first === undefined) return { kind: 'unknown', reason: 'no pod' };
  const { name, namespace, serviceAccount, leaving } = first;
  // The pods of one account are one client, whichever of them it is.
  const same = others.every((one) => one.namespace === namespace && one.serviceAccount === serviceAccount);
  return same
    ? { kind: 'pod', name, namespace, serviceAccount, leaving }
    : { kind: 'unknown', reason: 'several pods' };
}

/**
 * Whether it is known well enough who sends from an address. If not, waiting may tell more, because the watch
 * is a moment behind the cluster. Pure.
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
 * An address as pods have it: an IPv4 address that a socket for both families shows (`::ffff:1.2.3.4`) is
 * that IPv4 address. Pure.
 */
export function podAddress(address: string): string {
  const plain = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
  const zone = plain.indexOf('%');
  return (zone < 0 ? plain : plain.slice(0, zone)).toLowerCase();
}
