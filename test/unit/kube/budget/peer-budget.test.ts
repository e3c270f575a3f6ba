import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { ExportView } from '../../../../src/exports/export-view.ts';
import { costOfService } from '../../../../src/exports/service-size.ts';
import { statusError } from '../../../../src/kube/client/api-error.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { Pace } from '../../../../src/kube/budget/pace.ts';
import { PeerBudget, type PeerLimits } from '../../../../src/kube/budget/peer-budget.ts';
import { Reflector } from '../../../../src/kube/informer/reflector.ts';
import { services } from '../../../../src/api/kubernetes/resource.ts';
import { IndexedStore } from '../../../../src/kube/informer/store.ts';
import { weightOf } from '../../../../src/kube/objects/weight.ts';
import { WorkQueue } from '../../../../src/kube/queue/work-queue.ts';
import { TARGET_BUDGETS } from '../../../../src/controllers/settings/target-budgets.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const LABELS = { 'mirror.linkerd.io/exported': 'true' };
const NO_LIMITS: PeerLimits = {
  bytes: Infinity,
  objects: Infinity,
  services: Infinity,
  ports: Infinity,
  metadata: Infinity,
  namespaces: Infinity,
  watches: Infinity,
};

function service(name: string, namespace = 'demo', ports = 1, note = ''): V1Service {
  return {
    metadata: { name, namespace, uid: `${namespace}-${name}`, labels: LABELS, annotations: { note } },
    spec: {
      selector: { app: name },
      ports: Array.from({ length: ports }, (_, at) => ({ name: `p${at}`, port: 80 + at })),
    },
  };
}

/**
 * A target that exports without end was taken in until the memory was gone, and one that changed without end
 * was written until others starved.
 */
describe('the budget of a peer', () => {
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  function view(limits: Partial<PeerLimits>, serviceMetadata = 10_000) {
    const cluster = new FakeCluster();
    const clock = new VirtualClock();
    const told: string[] = [];
    const budget = new PeerBudget({ ...NO_LIMITS, ...limits }, (over) => told.push(over.budget));
    const pace = new Pace({ perSecond: 1000, burst: 100_000 }, clock);
    const exports = new ExportView({
      client: cluster.client,
      selectors: ['mirror.linkerd.io/exported=true'],
      clock,
      random: () => 0.5,
      log,
      limits: { budget, pace, maxPages: 10, serviceMetadata },
    });
    closing.push(async () => {
      const stopped = exports.stop();
      await clock.advance(1000);
      await stopped;
    });
    return { cluster, clock, budget, exports, told };
  }

  const small: readonly [keyof PeerLimits, number, readonly V1Service[], V1Service][] = [
    ['services', 2, [service('a'), service('b')], service('c')],
    ['objects', 2, [service('a'), service('b')], service('c')],
    ['ports', 5, [service('a', 'demo', 2), service('b', 'demo', 3)], service('c')],
    ['namespaces', 2, [service('a', 'x'), service('b', 'y'), service('c', 'y')], service('d', 'z')],
    ['metadata', 500, [service('a', 'demo', 1, 'x'.repeat(200))], service('b', 'demo', 1, 'x'.repeat(300))],
    ['bytes', 6000, [service('a', 'demo', 1, 'x'.repeat(2000))], service('b', 'demo', 1, 'x'.repeat(6000))],
  ];
  for (const [budgetName, limit, fitting, more] of small) {
    it(`${budgetName}: what is one too many is not taken in, the rest stays, and it goes on when it fits again`, async () => {
      const { cluster, clock, budget, exports, told } = view({ [budgetName]: limit });
      for (const one of fitting) cluster.put('services', one);
      exports.start();
      await clock.advance(100);
      const known = exports.services.keys();
      expect(known).to.have.lengthOf(fitting.length);
      expect(budget.over).to.equal(undefined);

      cluster.put('services', more);
      await clock.advance(100);
      expect(budget.over?.budget).to.equal(budgetName);
      expect(budget.over?.message).to.contain(String(limit));
      expect(told).to.deep.equal([budgetName]);
      expect(exports.services.keys()).to.deep.equal(known);
      expect(budget.used(budgetName)).to.be.at.most(limit);
      // Not a fault of the API, and not an absence either.
      expect(exports.error).to.equal(undefined);
      expect(exports.synced).to.equal(true);

      // Still too much: it is looked at ever more rarely, and stays parked.
      const lists = () => cluster.lists.filter((list) => list.startsWith('services')).length;
      const before = lists();
      await clock.advance(600_000);
      expect(budget.over?.budget).to.equal(budgetName);
      expect(lists() - before).to.be.within(3, 12);
      expect(exports.services.keys()).to.deep.equal(known);

      cluster.remove('services', more.metadata?.namespace ?? '', more.metadata?.name ?? '');
      cluster.put('services', service('a', fitting[0]?.metadata?.namespace, 2));
      await clock.advance(600_000);
      expect(budget.over).to.equal(undefined);
      expect(
        exports.services.get(`${fitting[0]?.metadata?.namespace ?? ''}/a`)?.spec?.ports,
      ).to.have.lengthOf(2);
      expect(told).to.deep.equal([budgetName]);
    });
  }

  it('a first list that does not fit leaves the view unsynced, so that nothing is taken for gone', async () => {
    const { cluster, clock, budget, exports } = view({ services: 2 });
    for (const name of ['a', 'b', 'c']) cluster.put('services', service(name));
    exports.start();
    await clock.advance(60_000);
    expect(budget.over?.budget).to.equal('services');
    expect(exports.synced).to.equal(false);
    cluster.remove('services', 'demo', 'c');
    await clock.advance(600_000);
    expect(exports.synced).to.equal(true);
  });

  it('a server that says other things of one version cannot make what is held count for less', async () => {
    const clock = new VirtualClock();
    const budget = new PeerBudget(NO_LIMITS);
    const share = budget.share(costOfService);
    const store = new IndexedStore<V1Service>();
    const version = (size: number): V1Service => {
      const { metadata, spec } = service('a', 'demo', 1, 'x'.repeat(size));
      return { metadata: { ...metadata, resourceVersion: '7' }, spec: spec ?? {} };
    };
    const client = {
      server: 'fake',
      list: (_: unknown, { keep }: { keep: (one: V1Service) => V1Service }) =>
        Promise.resolve({ items: [keep(version(lists++ === 0 ? 8000 : 1))], resourceVersion: '7' }),
      async *watch() {
        await Promise.resolve();
        for (let at = 0; at < 50; at++) yield { type: 'MODIFIED', object: version(1) };
        throw statusError(410, '{}', 'fake', undefined);
      },
    } as unknown as KubeClient;
    let lists = 0;
    const common = { clock, random: () => 0.5, log };
    const reflector = new Reflector<V1Service>({
      ...common,
      client,
      resource: services,
      store,
      budget: share,
    });
    closing.push(() => reflector.stop());
    reflector.start();
    await clock.advance(2000);
    expect(lists).to.be.above(2);
    expect(share.held('bytes')).to.be.above(8000);
    expect(store.get('demo/a')?.metadata?.annotations?.['note']).to.have.lengthOf(8000);
  });

  it('watches of single Services: so many and no more, the next one begins when one ends', async () => {
    const { cluster, clock, budget, exports } = view({ watches: 2 });
    for (const name of ['a', 'b', 'c']) {
      const one = service(name);
      delete one.spec?.selector;
      cluster.put('services', one);
    }
    exports.start();
    await clock.advance(100);
    const single = () => cluster.watches.filter((watch) => watch.includes('service-name'));
    expect(single()).to.have.lengthOf(2);
    expect(budget.over?.budget).to.equal('watches');
    expect(exports.endpointsKnown('demo/c')).to.equal(false);
    cluster.remove('services', 'demo', 'a');
    await clock.advance(100);
    expect(single()).to.deep.equal([
      'endpointslices kubernetes.io/service-name=b',
      'endpointslices kubernetes.io/service-name=c',
    ]);
    expect(budget.over).to.equal(undefined);
  });

  it('one Service that is too large costs little, is known as exported, and says why it is left alone', async () => {
    const { cluster, clock, budget, exports } = view({}, 1000);
    cluster.put('services', service('a', 'demo', 1, 'x'.repeat(200_000)));
    cluster.put('services', service('b', 'demo', 5000));
    exports.start();
    await clock.advance(100);
    const [a, b] = ['a', 'b'].map((name) => exports.services.get(`demo/${name}`)?.metadata);
    expect(a?.labels).to.deep.equal(LABELS);
    expect(a?.annotations).to.have.all.keys('linkspan.dev/over-budget');
    expect(a?.annotations?.['linkspan.dev/over-budget']).to.match(/\d+ bytes, 1000 are allowed/);
    expect(b?.annotations?.['linkspan.dev/over-budget']).to.contain('5000 ports');
    expect(budget.used('bytes')).to.be.below(400_000);
  });

  // Whoever may annotate an export said so himself, in words of his own that the Link's status showed.
  it('nobody says of an export over there that it is too large', async () => {
    const { cluster, clock, exports } = view({});
    const { metadata, ...rest } = service('a');
    const annotations = { note: 'x', 'linkspan.dev/over-budget': 'it is what I say' };
    cluster.put('services', { ...rest, metadata: { ...metadata, annotations } });
    exports.start();
    await clock.advance(100);
    expect(exports.services.get('demo/a')?.metadata?.annotations).to.deep.equal({ note: 'x' });
  });

  it('10,000 Services with three endpoints each fit the defaults with room to spare', () => {
    const budget = new PeerBudget(TARGET_BUDGETS.held);
    const exported = budget.share(costOfService);
    const slices = budget.share();
    for (let at = 0; at < 10_000; at++) {
      exported.admit(service(`service-${at}`, `ns-${at % 100}`, 2, 'x'.repeat(300)), undefined);
      slices.admit(
        {
          metadata: { name: `service-${at}-abcde`, namespace: `ns-${at % 100}`, labels: LABELS },
          endpoints: Array.from({ length: 3 }, (_, pod) => ({
            addresses: [`10.1.${pod}.1`],
            conditions: { ready: true, serving: true, terminating: false },
            zone: 'eu-west-1a',
          })),
        } as never,
        undefined,
      );
    }
    for (const [name, limit] of Object.entries(TARGET_BUDGETS.held))
      expect(budget.used(name as keyof PeerLimits) / limit, name).to.be.below(0.7);
  });

  it('weighs what is small to write and large to hold', () => {
    expect(weightOf(JSON.parse(`[${'{},'.repeat(999)}{}]`))).to.be.above(1000 * 64);
    expect(weightOf('ж'.repeat(1000))).to.be.above(2000);
  });

  it('the pace: what goes over it waits for as long as it is over, and is done then', async () => {
    const clock = new VirtualClock();
    const pace = new Pace({ perSecond: 10, burst: 20 }, clock);
    const done: string[] = [];
    const queue = new WorkQueue({
      handler: (key) => {
        pace.spend(1);
        done.push(key);
        return Promise.resolve();
      },
      concurrency: 4,
      backoff: { minMs: 1, maxMs: 1 },
      clock,
      random: () => 0,
      log,
      pace,
    });
    closing.push(() => queue.stop());
    for (let key = 0; key < 100; key++) queue.add(String(key));
    await clock.advance(0);
    expect(done.length).to.be.within(20, 25);
    await clock.advance(2000);
    expect(done.length).to.be.within(38, 46);
    await clock.advance(8000);
    expect(new Set(done)).to.have.lengthOf(100);
  });
});
