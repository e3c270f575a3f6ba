import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { EMPTIED_GRACE_MS } from '../../../../src/controllers/import-reconciler/import-reconciler.ts';
import { MirrorWorld } from '../../../support/mirror-world.ts';
import { usableAddresses } from '../../../support/usable-addresses.ts';

const KEY = 'demo/db';

/**
 * kube keeps at least an empty slice for every Service with a selector. For one without, people make slices,
 * or nobody does: it was not known whether its mirror, which gets addresses before its slices are listed,
 * gives them up.
 */
describe('an export without selector', () => {
  let world: MirrorWorld;

  beforeEach(() => {
    world = new MirrorWorld(() => 0);
  });
  afterEach(() => world.close());

  const exported = () => {
    const spec = { ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }] };
    const metadata = { name: 'db', namespace: 'demo', uid: 'db', labels: { exported: 'true' } };
    world.target.put('services', { metadata, spec } as V1Service);
  };
  const slice = (endpoints: V1EndpointSlice['endpoints']) => {
    const labels = { 'kubernetes.io/service-name': 'db' };
    const metadata = { name: 'db-1', namespace: 'demo', uid: 'slice-db', labels };
    world.target.put('endpointslices', { metadata, addressType: 'IPv4', endpoints } as V1EndpointSlice);
  };
  const noSlice = () => world.target.remove('endpointslices', 'demo', 'db-1');
  const ready = [{ addresses: ['10.9.0.1'], conditions: { ready: true } }];
  const mirror = () => world.source.all<V1Service>('services').get(`${KEY}-west`);
  const ours = () => world.source.all<V1EndpointSlice>('endpointslices').get(`${KEY}-west-linkspan-ipv4`);
  const usable = () => usableAddresses([ours() ?? {}] as V1EndpointSlice[]);
  const why = () => ours()?.metadata?.annotations?.['linkspan.dev/not-ready'];

  it('that never had a slice is mirrored empty, not ready, once the grace is over, and stays so', async () => {
    exported();
    await world.clock.advance(EMPTIED_GRACE_MS + 1000);
    expect(mirror()).not.to.equal(undefined);
    expect(usable()).to.deep.equal([]);
    expect(why()).to.equal('NoReadyEndpoints');
    for (const happens of ['restart', 'cut', 'compact'] as const) {
      await world.happen({ kind: happens });
      await world.clock.advance(EMPTIED_GRACE_MS + 1000);
      expect(usable(), happens).to.deep.equal([]);
    }
    await world.rest();
    expect(usable()).to.deep.equal([]);
    expect(why()).to.equal('NoReadyEndpoints');
  });

  it('gets its addresses with its first slice, and keeps them for the grace when the last is gone', async () => {
    exported();
    slice(ready);
    await world.clock.advance(1000);
    expect(usable()).to.deep.equal(['10.0.0.1']);
    const uid = mirror()?.metadata?.uid;
    noSlice();
    await world.clock.advance(EMPTIED_GRACE_MS - 1000);
    expect(usable()).to.deep.equal(['10.0.0.1']);
    await world.clock.advance(2000);
    expect(usable()).to.deep.equal([]);
    slice(ready);
    await world.clock.advance(1000);
    expect(usable()).to.deep.equal(['10.0.0.1']);
    expect(mirror()?.metadata?.uid).to.equal(uid);
  });

  it('whose slice is there and empty is emptied without a grace', async () => {
    exported();
    slice(ready);
    await world.clock.advance(1000);
    slice([]);
    await world.clock.advance(100);
    expect(usable()).to.deep.equal([]);
  });

  it('that loses its slices while the controller is away is empty soon after', async () => {
    exported();
    slice(ready);
    await world.clock.advance(1000);
    noSlice();
    await world.happen({ kind: 'restart' });
    await world.clock.advance(EMPTIED_GRACE_MS + 1000);
    expect(usable()).to.deep.equal([]);
    expect(why()).to.equal('NoReadyEndpoints');
  });
});
