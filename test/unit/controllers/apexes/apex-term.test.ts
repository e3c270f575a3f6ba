import { expect } from 'chai';
import { writeDrain } from '../../../../src/api/failover/failover-drain.ts';
import { writeFacts } from '../../../../src/api/failover/failover-facts.ts';
import { FAILOVER_FACTS } from '../../../../src/api/failover/failover-names.ts';
import { MAX_APEX_PORTS } from '../../../../src/controllers/apexes/apex-verdict.ts';
import { statusError } from '../../../../src/kube/client/api-error.ts';
import { ApexWorld } from '../../../support/apex-world.ts';

// A tenant may write Services and splits as he likes. Ports that he had given back counted for nothing: 200
// Services made and deleted within two minutes took every port of the egress from the mirrors of all others.
describe('the writer of apexes, against a tenant who may write Services and splits', () => {
  let world: ApexWorld;

  beforeEach(async () => {
    world = new ApexWorld();
    await world.start();
  });
  afterEach(() => world.stop());

  it('takes not more ports of a namespace than it may, however often Services are made and deleted', async () => {
    for (let n = 0; n < 5; n++) {
      const key = `shop/a-${n}`;
      world.service(key, { ports: MAX_APEX_PORTS.namespace });
      world.split(key, 'web');
      await world.rest();
      world.cluster.remove('services', 'shop', `a-${n}`);
      await world.rest();
    }
    const { claimed, freed } = world.held();
    expect(claimed + freed).to.be.at.most(MAX_APEX_PORTS.namespace);
  });

  it('leads one that was too much as soon as there is room', async () => {
    for (const [name, ports] of [
      ['first', MAX_APEX_PORTS.namespace],
      ['late', 1],
    ] as const) {
      world.service(`shop/${name}`, { ports });
      world.split(`shop/${name}`, 'web');
      await world.rest();
    }
    expect(world.reason('shop/late')).to.equal('TooManyApexes');
    world.cluster.remove('services', 'shop', 'first');
    await world.clock.advance(130_000);
    await world.rest();
    expect(world.leading('shop/late')).to.deep.equal(['p-80']);
  });

  it('goes on leading ports that it leads when one more is too many', async () => {
    world.service('shop/first', { ports: MAX_APEX_PORTS.namespace - 2 });
    world.split('shop/first', 'web');
    await world.rest();
    world.service('shop/second', { ports: 2 });
    world.split('shop/second', 'web');
    await world.rest();
    expect(world.leading('shop/second')).to.deep.equal(['p-80', 'p-81']);
    world.service('shop/second', { ports: 3 });
    await world.rest();
    expect(world.leading('shop/second')).to.deep.equal(['p-80', 'p-81']);
    expect(world.reason('shop/second')).to.equal('TooManyApexes');
  });

  it('gives everything back when somebody marks a Service as a mirror', async () => {
    world.service('shop/checkout');
    world.split('shop/checkout', 'web');
    await world.rest();
    expect(world.leading('shop/checkout')).to.deep.equal(['p-80']);
    const labels = { 'mirror.linkerd.io/mirrored-service': 'true' };
    world.service('shop/checkout', { metadata: { labels } });
    await world.rest();
    expect(world.leading('shop/checkout')).to.deep.equal([]);
    expect(world.held().claimed).to.equal(0);
  });

  // Nobody was told that a drain on such a Service counted for nothing.
  it('says what is wrong with drains of its own', async () => {
    const start = world.clock.now();
    const drain = writeDrain({ to: 0, start, rampMs: 0, until: start + 3_600_000, drill: false });
    const drained = async (annotations: Record<string, string>) => {
      world.service('shop/checkout', { metadata: { annotations } });
      await world.rest();
      return world.reason('shop/checkout');
    };
    world.split('shop/checkout', 'web', 'api');
    expect(await drained({ 'drain.linkspan.dev/west': drain })).to.equal('AnnotationInvalid');
    expect(await drained({ 'drain.linkspan.dev/local': '{"to":0}' })).to.equal('AnnotationInvalid');
    // Both are pods here.
    expect(await drained({ 'drain.linkspan.dev/local': drain })).to.equal('NoHealthyBackend');
    expect(await drained({})).to.equal('PrimaryServing');
  });

  // Whoever had drained it heard nothing when its share came back.
  it('says when drains of its own have come to their end', async () => {
    const drain = (until: number) => {
      const text = writeDrain({ to: 0, start: world.clock.now(), rampMs: 0, until, drill: false });
      const annotations = { 'drain.linkspan.dev/local': text, 'drain.linkspan.dev/west': text };
      world.service('shop/checkout', { metadata: { annotations } });
    };
    world.split('shop/checkout', 'web', 'api');
    drain(world.clock.now() + 60_000);
    await world.rest();
    expect(world.told).to.deep.equal([]);
    await world.clock.advance(60_000);
    // No backend leads to west.
    const end = 'DrainDone: the drain of local in shop/checkout has come to its end; its share comes back';
    expect(world.told).to.deep.equal([end]);
    drain(world.clock.now() + 60_000);
    await world.rest();
    for (const kind of ['services', 'trafficsplits']) world.cluster.remove(kind, 'shop', 'checkout');
    await world.rest();
    await world.clock.advance(60_000);
    expect(world.told).to.deep.equal([end]);
  });

  it('leads one again that was marked as a mirror for a while', async () => {
    const labels = { 'mirror.linkerd.io/mirrored-service': 'true' };
    world.service('shop/checkout', { metadata: { labels } });
    world.split('shop/checkout', 'web');
    await world.rest();
    expect(world.leading('shop/checkout')).to.deep.equal([]);
    world.service('shop/checkout');
    await world.rest();
    expect(world.leading('shop/checkout')).to.deep.equal(['p-80']);
  });
});

// One question that the API server was too busy to answer while a controller started, and Services that
// splits had led elsewhere were given back: their clients had no endpoints until the next look.
describe('the writer of apexes, started while the API server does not say which kinds it serves', () => {
  let world: ApexWorld;
  const KEY = 'shop/checkout';
  const busy = statusError(429, '{"reason":"TooManyRequests"}', 'fake', undefined);

  beforeEach(async () => {
    world = new ApexWorld();
    await world.start();
    world.service(KEY);
    world.split(KEY, 'web');
    await world.rest();
    expect(world.leading(KEY)).to.deep.equal(['p-80']);
    await world.stop();
    world.kindsError = busy;
  });
  afterEach(() => world.stop());

  it('goes on leading what it led', async () => {
    await world.start();
    await world.clock.advance(600);
    expect(world.leading(KEY)).to.deep.equal(['p-80']);
    world.kindsError = undefined;
    await world.clock.advance(2000);
    await world.rest();
    expect(world.leading(KEY)).to.deep.equal(['p-80']);
  });

  it('gives back what nothing is written about, as soon as that is known', async () => {
    world.cluster.remove('trafficsplits', 'shop', 'checkout');
    await world.start();
    await world.clock.advance(600);
    expect(world.leading(KEY)).to.deep.equal(['p-80']);
    world.kindsError = undefined;
    await world.clock.advance(2000);
    await world.rest();
    expect(world.leading(KEY)).to.deep.equal([]);
  });
});

// Conditions of a Service that leads elsewhere knew endpoints only, as those of federated Services did.
describe('capacity of a Service that leads elsewhere', () => {
  let world: ApexWorld;
  const KEY = 'shop/checkout';

  beforeEach(async () => {
    world = new ApexWorld();
    await world.start();
    const labels = {
      'mirror.linkerd.io/mirrored-service': 'true',
      'mirror.linkerd.io/cluster-name': 'west',
    };
    world.service('shop/web-west', { metadata: { labels } });
    const facts = {
      path: 'alive',
      ready: 1,
      known: 1,
      expected: 4,
      usableSince: 0,
      flaps: 0,
      lastWord: 0,
    } as const;
    world.cluster.put('endpointslices', {
      metadata: {
        name: 'web-west-1',
        namespace: 'shop',
        uid: 'slice',
        labels: { ...labels, 'kubernetes.io/service-name': 'web-west' },
        annotations: { [FAILOVER_FACTS]: writeFacts(facts) },
      },
      addressType: 'IPv4',
      endpoints: [],
    } as never);
    world.service(KEY);
    world.split(KEY, 'web-west');
    await world.rest();
  });
  afterEach(() => world.stop());

  const hear = async (failures: number) => {
    const now = world.clock.monotonic();
    const report = { service: KEY, requests: 100, failures, refused: 0, pending: 0 };
    world.demand.heard('pod', [report], now);
    world.demand.settle(now);
    await world.rest();
    return world.reason(KEY, 'CapacityShort');
  };

  it('is short by what egress pods measure, and by endpoints where none is heard', async () => {
    expect(world.reason(KEY, 'CapacityShort')).to.equal('CapacityShort');
    await hear(0);
    expect(await hear(0)).to.equal('DemandMet');
    expect(await hear(10)).to.equal('DemandUnmet');
    await world.clock.advance(60_000);
    expect(await hear(10)).to.equal('DemandMet');
    await world.clock.advance(11_000);
    world.demand.settle(world.clock.monotonic());
    await world.rest();
    expect(world.reason(KEY, 'CapacityShort')).to.equal('CapacityShort');
  });
});

// Each Service more was entered into the list of all others anew: 10,000 splits kept the controller, and all
// gateways' probes with it, busy for a minute.
describe('thousands of splits of one tenant', () => {
  async function cpuOf(splits: number): Promise<number> {
    const world = new ApexWorld();
    for (let n = 0; n < splits; n++) {
      // As Flagger's and Linkerd's splits are: about Services with pods.
      const spec = { clusterIP: '10.0.0.1', selector: { app: 'web' }, ports: [{ port: 80 }] };
      world.cluster.put('services', { metadata: { name: `a-${n}`, namespace: 'shop' }, spec } as never);
      world.split(`shop/a-${n}`, 'web');
    }
    const before = process.cpuUsage();
    await world.start();
    const { user } = process.cpuUsage(before);
    await world.stop();
    return user;
  }

  it('cost in proportion', async () => {
    await cpuOf(100);
    const ratio = async () => (await cpuOf(8000)) / (await cpuOf(1000));
    let least = await ratio();
    for (let again = 0; again < 3 && least >= 20; again++) least = Math.min(least, await ratio());
    expect(least).to.be.below(20);
  });
});
