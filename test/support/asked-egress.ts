import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { egressObjects } from './egress-objects.ts';
import { ownSelectors } from './exports.ts';
import { apply, linkObjects, probedEachSecond } from './linked-clusters.ts';
import { ProbedGateways } from './probed-gateways.ts';

/** What a controller has to find, so that it asks an egress about the gateway of a Link. */
export interface AskedEgress {
  readonly east: Cluster;
  /** The target, whose Link is called so. */
  readonly west: Cluster;
  /** Namespace of the exports. */
  readonly ns: string;
  /** Namespace of the installation. */
  readonly links: string;
  /** Admin port of the egress. */
  readonly admin: number;
  /** Where the gateway takes data; its probes pass at a port of their own. */
  readonly gatewayPort: number;
}

/** Puts the egress' pod into slices, and makes the Link. @returns what answers its probes */
export async function askedEgress(given: AskedEgress): Promise<ProbedGateways> {
  const { east, west, ns, links, admin, gatewayPort } = given;
  const probes = new ProbedGateways();
  await apply(
    east,
    ...egressObjects(links, address(18), { admin }),
    ...linkObjects(west, links, 'west', {
      gatewayAddress: address(18),
      gatewayPort: String(gatewayPort),
      gatewayIdentity: 'gateway.west',
      probeSpec: probedEachSecond(await probes.port('west')),
      ...ownSelectors(ns),
    }),
  );
  return probes;
}
