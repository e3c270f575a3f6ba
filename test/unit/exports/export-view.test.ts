import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { ExportView } from '../../../src/exports/export-view.ts';
import { captureLog } from '../../support/captured-log.ts';
import { eventually } from '../../support/eventually.ts';
import { FakeCluster } from '../../support/fake-cluster.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';

const A = 'mirror.linkerd.io/exported=true';
const B = 'mirror.linkerd.io/federated=member';
const labelsOf = (...selectors: string[]) => Object.fromEntries(selectors.map((one) => one.split('=')));

function service(
  name: string,
  labels: Record<string, string>,
  spec: Partial<V1Service['spec']> = {},
): V1Service {
  return {
    metadata: {
      name,
      namespace: 'demo',
      labels,
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', kept: 'yes' },
      managedFields: [{ manager: 'x' }],
    },
    spec: { ports: [{ port: 80 }], selector: { app: name }, ...spec },
    status: { loadBalancer: {} },
  };
}

function slice(
  name: string,
  owner: string,
  addresses: string[],
  labels: Record<string, string> = {},
): V1EndpointSlice {
  return {
    metadata: { name, namespace: 'demo', labels: { ...labels, 'kubernetes.io/service-name': owner } },
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080 }],
    endpoints: addresses.map((address) => ({
      addresses: [address],
      nodeName: 'n',
      conditions: { ready: true },
    })),
  };
}

describe('ExportView', () => {
  let cluster: FakeCluster;
  let clock: VirtualClock;
  let view: ExportView;
  let told: string[];
  let removed: string[];

  async function open(selectors: readonly string[], watches = selectors.length * 2): Promise<void> {
    const { log } = captureLog();
    view = new ExportView({ client: cluster.client, selectors, clock, random: () => 0.5, log });
    view.subscribe((key) => void told.push(key));
    view.services.subscribe('test', (change) => {
      if (change.type === 'deleted') removed.push(change.key);
    });
    view.start();
    await view.whenSynced();
    await watching(watches);
  }

  const watching = (count: number) => eventually(`${count} watches`, () => cluster.watches.length === count);
  const seen = (what: string, condition: () => boolean) =>
    eventually(what, async () => {
      await settle();
      return condition();
    });

  beforeEach(() => {
    cluster = new FakeCluster();
    clock = new VirtualClock();
    told = [];
    removed = [];
  });
  afterEach(() => view.stop());

  it('holds the exported Services and their slices, and no others', async () => {
    cluster.put('services', service('web', labelsOf(A)));
    cluster.put('services', service('private', {}));
    cluster.put('endpointslices', slice('web-2', 'web', ['10.0.0.2'], labelsOf(A)));
    cluster.put('endpointslices', slice('web-1', 'web', ['10.0.0.1'], labelsOf(A)));
    await open([A, B]);
    expect([...view.services.keys()]).to.deep.equal(['demo/web']);
    expect(view.slicesOf('demo/web').map((one) => one.metadata?.name)).to.deep.equal(['web-1', 'web-2']);
    expect(view.endpointsOf('demo/web')).to.deep.equal({ ready: 2, known: 2 });
    expect(view.slicesOf('demo/private')).to.deep.equal([]);
  });

  it('keeps only what is used', async () => {
    cluster.put('services', service('web', labelsOf(A)));
    cluster.put('endpointslices', slice('web-1', 'web', ['10.0.0.1'], labelsOf(A)));
    await open([A]);
    const stored = view.services.get('demo/web');
    expect(stored?.metadata).to.have.all.keys([
      'name',
      'namespace',
      'labels',
      'annotations',
      'resourceVersion',
    ]);
    expect(stored?.metadata?.annotations).to.deep.equal({ kept: 'yes' });
    expect(stored).not.to.have.property('status');
    expect(view.slicesOf('demo/web')[0]?.endpoints?.[0]).not.to.have.property('nodeName');
  });

  it('exports nothing for an empty selector, rather than everything', async () => {
    cluster.put('services', service('web', labelsOf(A)));
    await open(['', ' '], 0);
    expect(view.synced).to.equal(true);
    expect(view.services.size).to.equal(0);
    expect(cluster.lists).to.deep.equal([]);
  });

  it('tells of a Service that is exported, changed and unexported', async () => {
    await open([A]);
    cluster.put('services', service('web', labelsOf(A)));
    await seen('the export', () => told.length === 1);
    cluster.put('services', service('web', { ...labelsOf(A), more: 'x' }));
    await seen('the change', () => told.length === 2);
    cluster.put('services', service('web', {}));
    await seen('the end', () => told.length === 3);
    expect(new Set(told)).to.deep.equal(new Set(['demo/web']));
    expect(view.services.size).to.equal(0);
  });

  it('tells of endpoints that come and go', async () => {
    cluster.put('services', service('web', labelsOf(A)));
    await open([A]);
    cluster.put('endpointslices', slice('web-1', 'web', ['10.0.0.1'], labelsOf(A)));
    await seen('the endpoint', () => view.endpointsOf('demo/web').ready === 1);
    cluster.put('endpointslices', slice('web-1', 'web', [], labelsOf(A)));
    await seen('its end', () => view.endpointsOf('demo/web').known === 0);
    expect(view.endpointsKnown('demo/web')).to.equal(true);
  });

  // Without this a mirror would lose its endpoints whenever a Service is labelled a moment before its slices
  // are.
  it('does not take a Service whose slices have not been seen for one without endpoints', async () => {
    cluster.put('services', service('web', labelsOf(A)));
    await open([A]);
    expect(view.endpointsKnown('demo/web')).to.equal(false);
    cluster.put('endpointslices', slice('web-1', 'web', [], labelsOf(A)));
    await seen('the placeholder slice', () => view.endpointsKnown('demo/web'));
  });

  describe('with several selectors', () => {
    it('shows a Service that matches two once, with the slices of both', async () => {
      cluster.put('services', service('web', labelsOf(A, B)));
      cluster.put('endpointslices', slice('web-1', 'web', ['10.0.0.1'], labelsOf(A, B)));
      await open([A, B]);
      expect([...view.services.keys()]).to.deep.equal(['demo/web']);
      expect(view.endpointsOf('demo/web')).to.deep.equal({ ready: 1, known: 1 });
    });

    it('keeps a Service that leaves one of two', async () => {
      cluster.put('services', service('web', labelsOf(A, B)));
      await open([A, B]);
      cluster.put('services', service('web', labelsOf(B)));
      await seen(
        'the new labels',
        () => view.services.get('demo/web')?.metadata?.labels?.['mirror.linkerd.io/exported'] === undefined,
      );
      expect(removed).to.deep.equal([]);
    });

    // The two watches are not in step: the DELETED of one may come long before the ADDED of the other.
    it('does not delete a Service whose label moves, however late the other watch is', async () => {
      cluster.put('services', service('web', labelsOf(A)));
      await open([A, B]);
      cluster.hold(B);
      cluster.put('services', service('web', labelsOf(B)));
      await seen('the question whether it is gone', () => cluster.lists.length === 6);
      await clock.advance(60_000);
      expect(view.services.get('demo/web')).not.to.equal(undefined);
      cluster.release(B);
      await seen(
        'the new labels',
        () => view.services.get('demo/web')?.metadata?.labels?.['mirror.linkerd.io/federated'] === 'member',
      );
      expect(removed).to.deep.equal([]);
    });

    it('removes a Service once the API server says that no selector matches', async () => {
      cluster.put('services', service('web', labelsOf(A)));
      await open([A, B]);
      told = [];
      cluster.put('services', service('web', {}));
      await seen('the end', () => view.services.size === 0);
      expect(removed).to.deep.equal(['demo/web']);
      expect(told).to.deep.equal(['demo/web']);
    });

    it('keeps a Service while the API server cannot be asked, and asks again', async () => {
      cluster.put('services', service('web', labelsOf(A)));
      await open([A, B]);
      cluster.listError = new Error('unreachable');
      cluster.remove('services', 'demo', 'web');
      await seen('the first question', () => cluster.lists.length > 4);
      await clock.advance(300_000);
      expect(view.services.size).to.equal(1);
      cluster.listError = undefined;
      await clock.advance(60_000);
      await seen('the end', () => view.services.size === 0);
    });

    it('keeps the slices while they follow their Service from one label to another', async () => {
      cluster.put('services', service('web', labelsOf(A)));
      cluster.put('endpointslices', slice('web-1', 'web', ['10.0.0.1'], labelsOf(A)));
      await open([A, B]);
      const pending = clock.pending;
      cluster.put('services', service('web', labelsOf(B)));
      await seen(
        'the moved Service',
        () => view.services.get('demo/web')?.metadata?.labels?.['mirror.linkerd.io/federated'] === 'member',
      );
      cluster.hold(B);
      cluster.put('endpointslices', slice('web-1', 'web', ['10.0.0.2'], labelsOf(B)));
      await settle(10);
      expect(view.endpointsOf('demo/web')).to.deep.equal({ ready: 1, known: 1 });
      cluster.release(B);
      await seen(
        'the new slice',
        () => view.slicesOf('demo/web')[0]?.endpoints?.[0]?.addresses[0] === '10.0.0.2',
      );
      expect(clock.pending).to.equal(pending);
    });

    it('drops a deleted slice at once when its Service has not moved', async () => {
      cluster.put('services', service('web', labelsOf(A)));
      for (const name of ['web-1', 'web-2']) {
        cluster.put(
          'endpointslices',
          slice(name, 'web', [name === 'web-1' ? '10.0.0.1' : '10.0.0.2'], labelsOf(A)),
        );
      }
      await open([A, B]);
      cluster.remove('endpointslices', 'demo', 'web-2');
      await seen('the end of the slice', () => view.endpointsOf('demo/web').known === 1);
    });
  });

  describe('with slices made by hand', () => {
    const external = () => service('db', labelsOf(A), { selector: {} });
    const OWN_WATCH = 'endpointslices kubernetes.io/service-name=db';

    it('finds slices that lack the label of their Service', async () => {
      cluster.put('services', external());
      cluster.put('endpointslices', slice('db-x', 'db', ['192.0.2.1']));
      await open([A], 3);
      await seen('the slices', () => view.endpointsKnown('demo/db'));
      expect(view.endpointsOf('demo/db')).to.deep.equal({ ready: 1, known: 1 });
      expect(told).to.contain('demo/db');
    });

    it('does not take them for empty before they have been listed', async () => {
      await open([A]);
      cluster.listError = new Error('unreachable');
      cluster.put('services', external());
      await seen('the Service', () => view.services.size === 1);
      expect(view.endpointsKnown('demo/db')).to.equal(false);
      expect(view.synced).to.equal(true);
      cluster.listError = undefined;
      await seen('the empty list', () => {
        void clock.advance(1000);
        return view.endpointsKnown('demo/db');
      });
      expect(view.endpointsOf('demo/db')).to.deep.equal({ ready: 0, known: 0 });
    });

    it('watches each such Service for as long as it is exported and has no selector', async () => {
      await open([A]);
      cluster.put('services', external());
      await seen('its watch', () => cluster.watches.includes(OWN_WATCH));
      cluster.put('services', service('db', labelsOf(A)));
      await seen('the end of its watch', () => !cluster.watches.includes(OWN_WATCH));
      cluster.put('services', external());
      await seen('its watch again', () => cluster.watches.includes(OWN_WATCH));
      cluster.remove('services', 'demo', 'db');
      await seen('the end', () => !cluster.watches.includes(OWN_WATCH));
    });

    it('knows that an ExternalName Service has none', async () => {
      cluster.put('services', service('alias', labelsOf(A), { type: 'ExternalName', selector: {} }));
      await open([A]);
      expect(view.endpointsKnown('demo/alias')).to.equal(true);
      expect(view.endpointsOf('demo/alias')).to.deep.equal({ ready: 0, known: 0 });
    });
  });

  it('closes every watch when it is stopped', async () => {
    cluster.put('services', service('db', labelsOf(A), { selector: {} }));
    await open([A, B], 5);
    await view.stop();
    expect(cluster.watches).to.deep.equal([]);
    expect(clock.pending).to.equal(0);
  });
});
