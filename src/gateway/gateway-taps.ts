import type { Clock } from '../base/clock.ts';
import type { TapSource } from '../tap/tap.ts';
import type { Gateway } from './gateway.ts';

const nowhere = (): undefined => undefined;

/** What of a gateway can be looked at: it leads to endpoints of its own cluster alone. */
export function gatewayTaps(gateway: Gateway, clock: Clock): TapSource {
  const { observers } = gateway;
  const openFlows = () => gateway.openFlows();
  return { process: 'gateway', clusterOf: nowhere, clusterAt: nowhere, observers, clock, openFlows };
}
