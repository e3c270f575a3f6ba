import type { Clock } from '../../base/clock.ts';
import { type Client, type Clients, isSettled } from './client.ts';

/**
 * How long a client is waited for that has to be known: kubelets tell the API server of an address a second
 * or two after the pod has it.
 */
export const MUST_KNOW_MS = 3000;
/** The same where it may come in unknown, and where a pod with its address is leaving. */
export const MAY_KNOW_MS = 1000;

/** Waits until it is known who sends from an address, or the time is over. @returns what is known then */
export function settle(
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
