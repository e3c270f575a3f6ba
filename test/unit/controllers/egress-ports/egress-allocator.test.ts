import type { V1ConfigMap } from '@kubernetes/client-node';
import { expect } from 'chai';
import fc from 'fast-check';
import { DEFAULT_EGRESS_RANGE } from '../../../../src/api/egress/egress-ports.ts';
import {
  EGRESS_SHARDS,
  type EgressClaim,
  FREED_HOLD_MS,
  isApexClaim,
  isClaim,
  isGroupClaim,
  MAX_ROUTE_LENGTH,
  readShard,
  RECORD_SELECTOR,
  type RecordEntry,
  shardOfName,
  writeEntry,
} from '../../../../src/api/egress/egress-record.ts';
import { Reflector } from '../../../../src/kube/informer/reflector.ts';
import { configMaps } from '../../../../src/api/kubernetes/resource.ts';
import { IndexedStore } from '../../../../src/kube/informer/store.ts';
import {
  type Allocation,
  EgressAllocator,
  type EgressWish,
} from '../../../../src/controllers/egress-ports/egress-allocator.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

/** A controller replica's part in the record. */
interface Replica {
  readonly allocator: EgressAllocator;
  stop(): Promise<void>;
}

const wish = (name: string, change: Partial<EgressWish> = {}): EgressWish => ({
  mirror: `demo/${name}-west`,
  export: `demo/${name}`,
  link: 'links/west',
  cluster: 'west',
  target: `${name}.demo.svc.cluster.local`,
  servicePorts: [80],
  ...change,
});

const scope = (name: string) => ({ cluster: 'west', export: `demo/${name}`, federated: false });

describe('the record of egress ports', () => {
  let cluster: FakeCluster;
  let clock: VirtualClock;
  let replicas: Replica[];

  beforeEach(() => {
    cluster = new FakeCluster();
    clock = new VirtualClock();
    replicas = [];
  });
  afterEach(() => Promise.all(replicas.map((replica) => replica.stop())));

  async function replica(range = DEFAULT_EGRESS_RANGE): Promise<EgressAllocator> {
    const store = new IndexedStore<V1ConfigMap>();
    const common = {
      client: cluster.client,
      namespace: 'links',
      store,
      clock,
      random: () => 0.5,
      log: captureLog().log,
    };
    const reflector = new Reflector({ ...common, resource: configMaps, labelSelector: RECORD_SELECTOR });
    reflector.start();
    await reflector.whenSynced();
    const allocator = new EgressAllocator({ ...common, range });
    replicas.push({
      allocator,
      stop: async () => {
        await Promise.all([allocator.stop(), reflector.stop()]);
      },
    });
    return allocator;
  }

  /** Lets what is to be written be written. */
  async function rest(): Promise<void> {
    for (let round = 0; round < 10; round++) {
      await clock.advance(50);
      await settle(10);
    }
  }

  function record(): Map<number, RecordEntry> {
    const all = [...cluster.all<V1ConfigMap>('configmaps').values()];
    return new Map(
      all.flatMap(({ metadata, data }) => [...readShard(shardOfName(metadata?.name ?? '') ?? -1, data)]),
    );
  }

  const claims = () =>
    [...record()]
      .filter((entry): entry is [number, EgressClaim] => isClaim(entry[1]))
      .map(([port, { mirror, port: servicePort }]) => `${port} ${mirror}:${servicePort}`)
      .sort();

  /** Ports of a wish, once they are recorded. */
  async function granted(allocator: EgressAllocator, one: EgressWish): Promise<Allocation> {
    allocator.allocate(one);
    await rest();
    return allocator.allocate(one);
  }

  describe("for users' Services", () => {
    const APEX = 'demo/checkout';
    const apexes = () =>
      [...record()]
        .filter(([, entry]) => isApexClaim(entry))
        .map(([, { mirror, port }]) => `${mirror}:${port}`);

    it('has ports that no mirror of that name has, and gives back those that are not needed', async () => {
      const one = await replica();
      const told: string[] = [];
      one.followApexes((apex) => told.push(apex));
      expect(one.allocateApex(APEX, [80, 90])).to.equal('unrecorded');
      const mirrored = await granted(one, wish('checkout', { mirror: APEX }));
      const ports = one.allocateApex(APEX, [80, 90]);
      expect(Object.keys(ports)).to.deep.equal(['80', '90']);
      expect(new Set([...Object.values(ports), ...Object.values(mirrored)]).size).to.equal(3);
      expect(apexes().sort()).to.deep.equal([`${APEX}:80`, `${APEX}:90`]);
      expect(one.apexes()).to.deep.equal(new Set([APEX]));
      expect(one.keptByApexes()).to.have.length(2);
      expect(told).to.include(APEX);
      one.allocateApex(APEX, [90]);
      await rest();
      expect(apexes()).to.deep.equal([`${APEX}:90`]);
      one.allocateApex(APEX, []);
      await rest();
      expect(apexes()).to.deep.equal([]);
      expect(one.apexes().size).to.equal(0);
      expect(claims()).to.have.length(1);
    });
  });

  describe('for all members of a federated Service', () => {
    const MIRROR = 'demo/web-federated';
    const member = (cluster: string): EgressWish =>
      wish('web', { mirror: MIRROR, member: cluster, cluster, link: `links/${cluster}` });
    const place = (cluster: string) => ({ cluster, export: 'demo/web', federated: true });
    const groups = () => [...record()].filter(([, entry]) => isGroupClaim(entry)).map(([port]) => port);
    const grantedGroup = async (allocator: EgressAllocator) => {
      allocator.allocateGroup(MIRROR, [80]);
      await rest();
      return allocator.allocateGroup(MIRROR, [80]);
    };

    it('is one port, whichever member and replica asks, and the same after a restart', async () => {
      const [one, other] = [await replica(), await replica()];
      await granted(one, member('west'));
      await granted(other, member('north'));
      expect(one.allocateGroup(MIRROR, [80])).to.equal('unrecorded');
      expect(other.allocateGroup(MIRROR, [80])).to.equal('unrecorded');
      await rest();
      const ports = one.allocateGroup(MIRROR, [80]);
      expect(ports).to.deep.equal({ 80: groups()[0] });
      expect(other.allocateGroup(MIRROR, [80])).to.deep.equal(ports);
      expect(groups()).to.have.length(1);
      expect((await replica()).allocateGroup(MIRROR, [80])).to.deep.equal(ports);
    });

    it('goes with the last member that has a port of its own', async () => {
      const allocator = await replica();
      await granted(allocator, member('west'));
      await granted(allocator, member('north'));
      await grantedGroup(allocator);
      allocator.settle(place('west'), new Map());
      await rest();
      expect(groups()).to.have.length(1);
      allocator.releaseLink('links/north', 'north');
      await rest();
      expect(groups()).to.deep.equal([]);
      expect(claims()).to.deep.equal([]);
    });

    // Each of the two saw the other's member, and left the port of the group to it: nobody freed it, ever.
    it('goes when two replicas give back the last two members at once', async () => {
      const [one, other] = [await replica(), await replica()];
      one.follow('links/west', () => undefined);
      other.follow('links/north', () => undefined);
      await granted(one, member('west'));
      await granted(other, member('north'));
      await grantedGroup(one);
      one.settle(place('west'), new Map());
      other.settle(place('north'), new Map());
      await rest();
      expect(claims()).to.deep.equal([]);
      expect(groups()).to.deep.equal([]);
    });

    // An older controller frees members and does not know of groups: after the next upgrade the port was
    // taken for good.
    it('goes if its members were given back by a controller that knows no groups', async () => {
      const older = await replica();
      await granted(older, member('west'));
      await grantedGroup(older);
      const [port] = groups();
      older.settle(place('west'), new Map());
      await rest();
      // What the older one leaves behind.
      const name = `linkspan-egress-routes-${(port ?? 0) % EGRESS_SHARDS}`;
      const shard = cluster.all<V1ConfigMap>('configmaps').get(`links/${name}`);
      const left = { mirror: MIRROR, member: 'ANY', port: 80 } as const;
      cluster.put('configmaps', {
        ...shard,
        data: { ...shard?.data, [String(port)]: writeEntry(left) ?? '' },
      } as V1ConfigMap);
      await rest();
      expect(groups()).to.deep.equal([port]);
      await replica();
      await clock.advance(120_000);
      await rest();
      expect(groups()).to.deep.equal([]);
    });

    // The source cluster's own member has no port of its own, and leads to that of the group.
    it('is known to a member that needs no port of its own as long as it stands in the record', async () => {
      const [one, other] = [await replica(), await replica()];
      const heard: string[] = [];
      other.followGroups((mirror) => heard.push(mirror));
      expect(other.groupPorts(MIRROR, [80])).to.equal(undefined);
      await granted(one, member('west'));
      const ports = await grantedGroup(one);
      expect(other.groupPorts(MIRROR, [80])).to.deep.equal(ports);
      expect(other.groupPorts(MIRROR, [80, 81]), 'not all ports').to.equal(undefined);
      expect(new Set(heard)).to.deep.equal(new Set([MIRROR]));
      heard.length = 0;
      one.settle(place('west'), new Map());
      expect(one.groupPorts(MIRROR, [80]), 'it is being given back').to.equal(undefined);
      await rest();
      expect(other.groupPorts(MIRROR, [80])).to.equal(undefined);
      expect(heard).to.include(MIRROR);
    });

    it('is told to the Links of all members', async () => {
      const [one, other] = [await replica(), await replica()];
      await granted(one, member('west'));
      await granted(other, member('north'));
      const heard: string[] = [];
      for (const cluster of ['west', 'north', 'south'])
        one.follow(`links/${cluster}`, (changed) => heard.push(changed.cluster));
      await grantedGroup(other);
      expect(heard.sort()).to.deep.equal(['north', 'west']);
    });
  });

  it('gives ports only when they stand there, and the same after a restart', async () => {
    const first = await replica();
    expect(first.allocate(wish('web'))).to.equal('unrecorded');
    const ports = await granted(first, wish('web'));
    expect(ports).to.have.property('80');
    expect((await replica()).allocate(wish('web'))).to.deep.equal(ports);
  });

  // Two replicas that own different Links chose one port at the same moment, and both mirrors led to it: one
  // cluster's clients got the other's service.
  it('gives a port to one of two replicas that want it at once, and another to the other', async () => {
    const range = { first: 10_000, last: 10_001 };
    const [a, b] = [await replica(range), await replica(range)];
    a.allocate(wish('web'));
    b.allocate(wish('shop'));
    const both = [await granted(a, wish('web')), await granted(b, wish('shop'))];
    const ports = both.map((found) => (typeof found === 'string' ? found : found[80]));
    expect(ports).to.have.members([10_000, 10_001]);
    expect(claims()).to.have.length(2);
    expect(a.allocate(wish('other'))).to.equal('exhausted');
  });

  it('tells the Link whose claim lost or was changed by others, and nobody else', async () => {
    const allocator = await replica();
    const heard: string[] = [];
    allocator.follow('links/west', ({ export: key }) => heard.push(key));
    allocator.follow('links/north', ({ export: key }) => heard.push(`north ${key}`));
    await granted(allocator, wish('web'));
    expect(new Set(heard)).to.deep.equal(new Set(['demo/web']));
    heard.length = 0;
    for (const key of cluster.all('configmaps').keys()) cluster.remove('configmaps', 'links', key.slice(6));
    await rest();
    expect(new Set(heard)).to.deep.equal(new Set(['demo/web']));
  });

  // A thousand new mirrors must not be a thousand writes of objects of 100 KB that every egress pod and every
  // replica gets to hear of.
  it('writes a thousand new mirrors with a few writes of each shard', async () => {
    const allocator = await replica();
    for (let index = 0; index < 1000; index++)
      allocator.allocate(wish(`svc-${index}`, { servicePorts: [80, 443] }));
    await rest();
    expect(claims()).to.have.length(2000);
    expect(allocator.writes).to.be.at.most(80);
  });

  // A shard that cannot be written any more would stop every new mirror that hashes into it.
  it('has room for every port of a shard, with the longest entries that are written', () => {
    const long = (letter: string, length: number) => letter.repeat(length);
    const addresses = Array.from({ length: 100 }, () => 'fd00:1234:5678:9abc:def0:1234:5678:9abc');
    const { servicePorts: _, ...rest } = wish(long('s', 63), {
      target: long('t', 253),
      gateway: { addresses, port: 65_535, identity: long('i', 253) },
    });
    const text = writeEntry({ ...rest, port: 65_535 }) ?? '';
    expect(text).not.to.equal('');
    expect(writeEntry({ ...rest, target: long('t', 2048), port: 80 })).to.equal(undefined);
    const { first, last } = DEFAULT_EGRESS_RANGE;
    const ports = Math.ceil((last - first + 1) / EGRESS_SHARDS);
    expect(ports * (MAX_ROUTE_LENGTH + '12345'.length)).to.be.below(1024 * 1024);
  });

  it('keeps a port that was given back from others until nothing leads there any more', async () => {
    const range = { first: 10_000, last: 10_000 };
    const allocator = await replica(range);
    await granted(allocator, wish('web'));
    allocator.settle(scope('web'), new Map());
    await rest();
    expect(claims()).to.deep.equal([]);
    expect(allocator.allocate(wish('thief'))).to.equal('exhausted');
    expect(await granted(allocator, wish('web'))).to.deep.equal({ 80: 10_000 });
    allocator.settle(scope('web'), new Map());
    await rest();
    await clock.advance(FREED_HOLD_MS + 1000);
    expect(await granted(allocator, wish('other'))).to.deep.equal({ 80: 10_000 });
  });

  it('gives back what is no longer wanted of an export, and nothing else', async () => {
    const allocator = await replica();
    const ports = await granted(allocator, wish('web', { servicePorts: [80, 443] }));
    await granted(allocator, wish('shop'));
    allocator.settle(scope('web'), new Map([['demo/web-west', [443]]]));
    await rest();
    expect(claims().map((text) => text.slice(6))).to.have.members(['demo/shop-west:80', 'demo/web-west:443']);
    expect(allocator.allocate(wish('web', { servicePorts: [443] }))).to.deep.equal({
      443: typeof ports === 'string' ? ports : ports[443],
    });
  });

  it('gives back everything of a Link, and nothing of the Link that has taken the cluster over', async () => {
    const allocator = await replica();
    await granted(allocator, wish('web'));
    await granted(allocator, wish('shop'));
    await granted(allocator, wish('web', { link: 'links/west-again' }));
    allocator.releaseLink('links/west', 'west');
    await rest();
    expect(claims().map((text) => text.slice(6))).to.deep.equal(['demo/web-west:80']);
  });

  // A replica that has lost a Lease writes nothing of that Link any more, whatever it still wanted to.
  it('forgets what was to be written for a Link that it no longer keeps', async () => {
    const allocator = await replica();
    allocator.allocate(wish('web'));
    allocator.allocate(wish('shop', { link: 'links/other' }));
    await allocator.abandon('links/west');
    await rest();
    expect(claims().map((text) => text.slice(6))).to.deep.equal(['demo/shop-west:80']);
  });

  it('tries again when a write fails, and makes the record when it is taken away', async () => {
    const allocator = await replica();
    allocator.establish(() => new Map());
    let failures = 3;
    cluster.beforeCall = () => {
      if (failures-- > 0) throw new Error('refused');
    };
    allocator.allocate(wish('web'));
    await clock.advance(5000);
    await rest();
    expect(claims()).to.have.length(1);
    expect(cluster.all('configmaps').has('links/linkspan-egress-routes-0')).to.equal(true);
    cluster.remove('configmaps', 'links', 'linkspan-egress-routes-0');
    await rest();
    await clock.advance(10_000);
    await rest();
    expect(cluster.all('configmaps').has('links/linkspan-egress-routes-0')).to.equal(true);
  });

  it('holds the ports of what is mirrored, whatever has gone in between', async () => {
    const names = ['a', 'b', 'c', 'd'];
    const step = fc.record({
      name: fc.constantFrom(...names),
      does: fc.constantFrom('mirror', 'unexport', 'otherPort', 'rest'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        cluster = new FakeCluster();
        clock = new VirtualClock();
        const allocator = await replica();
        const mirrored = new Map<string, number>();
        for (const { name, does } of steps) {
          if (does === 'rest') await rest();
          if (does === 'unexport') {
            mirrored.delete(name);
            allocator.settle(scope(name), new Map());
          }
          if (does === 'mirror' || does === 'otherPort') {
            const port = does === 'mirror' ? 80 : 443;
            allocator.allocate(wish(name, { servicePorts: [port] }));
            allocator.settle(scope(name), new Map([[`demo/${name}-west`, [port]]]));
            mirrored.set(name, port);
          }
        }
        await rest();
        const held = new Set(claims().map((text) => text.split(' ')[1] ?? ''));
        expect(claims()).to.have.length(mirrored.size);
        expect(held).to.deep.equal(new Set([...mirrored].map(([name, port]) => `demo/${name}-west:${port}`)));
      }),
      { numRuns: 40 },
    );
  });

  it('is made of the seed once, and its mark last', async () => {
    const allocator = await replica();
    const { servicePorts: _, ...claim } = wish('web');
    allocator.establish(() => new Map([[12_345, { ...claim, port: 80 }]]));
    await rest();
    expect(claims()).to.deep.equal(['12345 demo/web-west:80']);
    expect(allocator.allocate(wish('web'))).to.deep.equal({ 80: 12_345 });
    const next = await replica();
    next.establish(() => {
      throw new Error('the record is there');
    });
  });
});
