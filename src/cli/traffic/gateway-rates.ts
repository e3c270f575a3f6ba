import { messageOf } from '../../api/errors/linkspan-error.ts';
import { systemClock } from '../../base/clock.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { type AddressRates, addressRates } from '../../traffic/address-rates.ts';
import { TrafficReader } from './traffic-reader.ts';

const WINDOW_MS = 60_000;
/** Share of the verb's time: addresses are shown without it. */
const SHARE = 0.6;

/**
 * What egress pods send to each gateway address; where nobody says, why not.
 * @param timeoutMs of the verb
 */
export async function ratesToGateways(
  client: KubeClient,
  namespace: string,
  timeoutMs: number,
): Promise<{ readonly rates: ReadonlyMap<string, AddressRates>; readonly unread: readonly string[] }> {
  const nothing = { services: false, links: false, pods: false, usage: false, silent: true };
  const options = { clock: systemClock, windowMs: WINDOW_MS, timeoutMs: timeoutMs * SHARE };
  const wanted = { ...nothing, namespace: undefined };
  const reader = new TrafficReader({ name: 'this cluster', client, namespace }, { ...options, wanted });
  try {
    const { reading, unread } = await reader.read();
    return { rates: addressRates(reading), unread };
  } catch (error) {
    return { rates: new Map(), unread: [messageOf(error)] };
  }
}
