import type { Clock } from '../base/clock.ts';
import type { TapSource } from '../tap/tap.ts';
import type { Egress } from './egress.ts';

/** What of an egress can be looked at. */
export function egressTaps(egress: Egress, clock: Clock): TapSource {
  return {
    process: 'egress',
    observers: egress.observers,
    clock,
    openFlows: () => egress.openFlows(),
    clusterOf: (label) => egress.placeOf(label)?.cluster,
    clusterAt: (endpoint) => egress.gateways.find(({ gateway }) => gateway === endpoint)?.cluster,
  };
}
