import { expect } from 'chai';
import { IndexedStore } from '../../../../src/kube/informer/store.ts';
import { gatewayOfLink } from '../../../../src/controllers/link/gateway-of-link.ts';
import { olderRival, sharingCluster } from '../../../../src/controllers/link/rivals.ts';
import type { LinkObject } from '../../../../src/api/link/link-schema.ts';

function link(name: string, spec: object = {}, annotations: Record<string, string> = {}): LinkObject {
  return {
    apiVersion: 'multicluster.linkerd.io/v1alpha3',
    kind: 'Link',
    metadata: { name, namespace: 'links', creationTimestamp: new Date('2026-01-02'), annotations },
    spec: {
      targetClusterName: 'west',
      clusterCredentialsSecret: 'secret',
      gatewayAddress: '10.200.0.1',
      gatewayPort: '4143',
      gatewayIdentity: 'gateway.west',
      probeSpec: { path: '/ready', port: '4191', period: '5s', timeout: '2s', failureThreshold: '4' },
      ...spec,
    },
  } as LinkObject;
}

/**
 * A Link with one wrong field had no probes: its gateway died, and its mirrors went on sending traffic there.
 */
describe('what a Link that cannot be used says of its gateway', () => {
  const probed = (object: LinkObject) => gatewayOfLink(object)?.probe;
  const asWritten = { path: '/ready', port: 4191, periodMs: 5000, timeoutMs: 2000, failureThreshold: 4 };

  it('is all of it, where the fault is elsewhere', () => {
    const faults: [object, Record<string, string>?][] = [
      [{}],
      [{ selector: { matchExpressions: [{ key: 'a', operator: 'Nor' }] } }],
      [{ clusterCredentialsSecret: '' }],
      [{ excludedLabels: 'a' }],
      [{}, { 'linkspan.dev/readable-namespaces': '' }],
    ];
    for (const [spec, annotations] of faults) {
      const part = gatewayOfLink(link('west', spec, annotations));
      expect(part?.gateway, JSON.stringify(spec)).to.deep.equal({
        addresses: ['10.200.0.1'],
        port: 4143,
        identity: 'gateway.west',
      });
      expect(part?.probe).to.deep.equal(asWritten);
      // Or it would be synced at once, with nothing exported, and all its mirrors would go.
      expect([part?.selector.empty, part?.federatedServiceSelector.empty]).to.deep.equal([false, false]);
    }
  });

  it('is probed by the defaults where only the times are wrong', () => {
    const probeSpec = { path: '/ready', port: '4191', period: 'often' };
    expect(probed(link('west', { probeSpec }))).to.include({ path: '/ready', port: 4191, periodMs: 3000 });
  });

  it('is nothing where it is not known which gateway, how to ask it, or what leads there', () => {
    const faults: [object, Record<string, string>?][] = [
      [{ gatewayAddress: '10.200.0.300' }],
      [{ gatewayAddress: '' }],
      [{ gatewayPort: 'x' }],
      [{ targetClusterName: 'no name' }],
      [{ probeSpec: { path: '/ready', port: 'x' } }],
      [{}, { 'linkspan.dev/data-path': 'relayed' }],
      [{}, { 'linkspan.dev/import-gateways': 'no address' }],
    ];
    for (const [spec, annotations] of faults)
      expect(gatewayOfLink(link('west', spec, annotations)), JSON.stringify([spec, annotations])).to.equal(
        undefined,
      );
  });

  /** Two that write the same endpoints would undo each other's writes. */
  it('leaves the gateway to another Link of the same cluster that is right, or is older', () => {
    const wrong = { selector: { matchExpressions: [{ key: 'a', operator: 'Nor' }] } };
    const store = new IndexedStore<LinkObject>();
    const [a, b, c] = [link('a', wrong), link('b', wrong), link('c')];
    for (const object of [a, b, c]) store.set(object);
    expect([a, b, c].map((object) => olderRival(store, object))).to.deep.equal(['c', 'a', undefined]);
    store.delete('links/c');
    expect([a, b].map((object) => olderRival(store, object))).to.deep.equal([undefined, 'a']);
  });

  /**
   * The younger of two waited for ever when the older became wrong, and went on writing when that was mended.
   */
  it('is looked at again when another Link of the same cluster has changed', () => {
    const store = new IndexedStore<LinkObject>();
    const told: string[][] = [];
    store.subscribe('test', (change) => told.push(sharingCluster(store, change).sort()));
    store.set(link('a'));
    store.set(link('b'));
    store.set(link('other', { targetClusterName: 'east' }));
    store.set(link('a', { targetClusterName: 'east' }));
    store.set(link('other', { targetClusterName: 5 }));
    expect(told).to.deep.equal([
      ['links/a'],
      ['links/a', 'links/b'],
      ['links/other'],
      ['links/a', 'links/b', 'links/other'],
      ['links/a', 'links/other'],
    ]);
  });
});
