import type { V1EndpointSlice } from '@kubernetes/client-node';
import { expect } from 'chai';
import { EgressPods } from '../../../../src/controllers/reconcile/egress-pods.ts';

const slice = (ports: readonly string[], ...pods: readonly string[]): V1EndpointSlice => ({
  addressType: 'IPv4',
  ports: ports.map((name) => ({ name })),
  endpoints: pods.map((pod) => ({
    addresses: [pod.replace('!', '')],
    conditions: { ready: !pod.endsWith('!') },
  })),
});
const NEW = ['admin', 'groups'];
const OLD = ['admin'];

// During an upgrade pods of both releases are ready, and the old ones do not listen on ports of groups.
describe('whether the egress pods serve ports of several clusters', () => {
  for (const [story, slices, expected] of [
    ['all do', [slice(NEW, '10.0.0.1', '10.0.0.2')], true],
    ['one is of an older release', [slice(NEW, '10.0.0.1'), slice(OLD, '10.0.0.2')], false],
    ['one of an older release is not ready', [slice(NEW, '10.0.0.1'), slice(OLD, '10.0.0.2!')], true],
    ['a pod stands in two slices for a moment', [slice(OLD, '10.0.0.1'), slice(NEW, '10.0.0.1')], true],
    ['there is none', [slice(NEW)], false],
  ] as const)
    it(`${expected ? 'yes' : 'no'} when ${story}`, () => {
      const pods = new EgressPods();
      pods.follow(() => undefined);
      pods.slices.replace(slices.map((one, nth) => ({ ...one, metadata: { name: `egress-${nth}` } })));
      expect(pods.servesGroups).to.equal(expected);
    });
});
