import type { V1Endpoints, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { IndexedStore } from '../../../../src/kube/informer/store.ts';
import { apply } from '../../../../src/controllers/reconcile/mirror-apply.ts';
import { serviceIndexes } from '../../../../src/controllers/reconcile/local-indexes.ts';
import { BY_SERVICE, sliceService } from '../../../../src/exports/slices-by-service.ts';
import { LocalView } from '../../../../src/controllers/reconcile/local-view.ts';
import { apiError, FakeCluster } from '../../../support/fake-cluster.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const metadata = { name: 'web-west', namespace: 'demo' };
const port = (name: string) => ({ name, port: 4143, protocol: 'TCP' });

/**
 * Endpoints have addresses and ports in one: where the Service's new ports were refused (kyverno#7378), a
 * dead address stayed in Endpoints, though not in the slices.
 */
describe('Endpoints of a Service whose new ports are refused', () => {
  const cases: [string, V1Endpoints['subsets'] | null, V1Endpoints['subsets'] | null][] = [
    [
      'lose a dead address',
      [{ notReadyAddresses: [{ ip: '10.0.0.1' }], ports: [port('new')] }],
      [{ notReadyAddresses: [{ ip: '10.0.0.1' }], ports: [port('old')] }],
    ],
    [
      'follow to another one',
      [{ addresses: [{ ip: '10.0.0.2' }], ports: [port('new')] }],
      [{ addresses: [{ ip: '10.0.0.2' }], ports: [port('old')] }],
    ],
    ['are emptied', null, null],
  ];
  for (const [story, subsets, expected] of cases)
    it(`${story}, on the ports that they have`, async () => {
      const cluster = new FakeCluster();
      const service = {
        metadata: { ...metadata, uid: 's' },
        spec: { ports: [{ name: 'old', port: 80 }] },
      } as V1Service;
      const endpoints = {
        metadata: { ...metadata, uid: 'e' },
        subsets: [{ addresses: [{ ip: '10.0.0.1' }], ports: [port('old')] }],
      };
      cluster.put('services', service);
      cluster.put('endpoints', endpoints);
      cluster.beforeCall = (_, plural) => {
        if (plural === 'services') throw apiError(403, 'Forbidden');
      };
      const stores = {
        services: new IndexedStore(serviceIndexes),
        endpointSlices: new IndexedStore({ [BY_SERVICE]: sliceService }),
        endpoints: new IndexedStore<V1Endpoints>(),
        namespaces: new IndexedStore(),
      };
      const view = new LocalView(stores, new VirtualClock());
      const target = (plural: string) => cluster.all(plural).get('demo/web-west') ?? {};
      const written = apply({ client: cluster.client, view, signal: new AbortController().signal }, [
        {
          verb: 'patch',
          kind: 'services',
          target: target('services'),
          patch: { spec: { ports: [{ name: 'new', port: 81 }] } },
        },
        { verb: 'patch', kind: 'endpoints', target: target('endpoints'), patch: { subsets } },
      ]);
      await written.then(
        () => expect.fail('the refusal is told'),
        (error: unknown) => expect(error).to.have.property('status', 403),
      );
      expect(cluster.all<V1Endpoints>('endpoints').get('demo/web-west')?.subsets ?? null).to.deep.equal(
        expected,
      );
    });
});
