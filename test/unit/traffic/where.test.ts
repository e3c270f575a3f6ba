import { expect } from 'chai';
import { whereOf } from '../../../src/traffic/where.ts';

describe('where most of the time of a request goes', () => {
  for (const [egressMs, gatewayMs, rttMs, gatewayOwnMs, where] of [
    [100, 90, 5, undefined, 'endpoint'],
    [100, 10, 85, undefined, 'network'],
    [100, 10, 5, undefined, 'egress'],
    [100, 80, 5, 70, 'gateway'],
    // What is waited is a mean, and can be more than all of a median.
    [100, 40, 50, 400, 'network'],
    [100, 80, 5, 400, 'gateway'],
    // A round trip was longer than what is between the two: no more than that is the network's.
    [10, 6, 200, undefined, 'endpoint'],
    // Medians are not of the same requests.
    [5, 8, 1, undefined, 'endpoint'],
    // Without a round trip the two cannot be told apart.
    [100, 10, undefined, undefined, 'network'],
    [undefined, 10, 5, undefined, undefined],
    [10, undefined, 5, undefined, undefined],
  ] as const)
    it(`egress ${egressMs}, gateway ${gatewayMs} (${gatewayOwnMs}), round trip ${rttMs}: ${where}`, () => {
      expect(whereOf({ egressMs, gatewayMs, rttMs, gatewayOwnMs })).to.equal(where);
    });
});
