import { expect } from 'chai';
import type { FailoverFacts } from '../../../../src/api/failover/failover-facts.ts';
import { GroupShares } from '../../../../src/egress/shares/group-shares.ts';
import {
  groupObjects,
  GroupStores,
  factsSlice,
  HEALTHY,
  linkOfCluster,
  type SaidOfGroup,
} from '../../../support/group-objects.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const WEB = 'demo/web-federated';

// The egress gave each cluster of a group the same part, whatever was known of it.
describe('shares of groups', () => {
  let clock: VirtualClock;
  let stores: GroupStores;
  let shares: GroupShares;
  let told: number;
  const listener = { sharesChanged: () => void told++ };

  beforeEach(() => {
    clock = new VirtualClock();
    stores = new GroupStores();
    shares = new GroupShares({ ...stores, clock });
    told = 0;
  });

  const begin = (said: SaidOfGroup) => {
    stores.put(groupObjects(said));
    shares.watch(WEB, listener);
  };
  const facts = async (name: string, change: Partial<FailoverFacts> | null) => {
    stores.slices.set(factsSlice('web', name, { facts: change }));
    await settle();
  };
  const now = (): Record<string, number> =>
    Object.fromEntries((shares.of(WEB)?.backends ?? []).map(({ name, share }) => [name, share / 100]));

  it('are those of the facts, the tiers and the policy, and follow each of them', async () => {
    begin({ members: { west: {}, north: {} }, tiers: 'west; north' });
    expect(now()).to.deep.equal({ west: 100, north: 0 });
    await facts('west', { ready: 5, usableSince: 0 });
    expect(now()).to.deep.equal({ west: 70, north: 30 });
    expect(told).to.equal(1);
    await facts('west', { path: 'dead', usableSince: null, flaps: 1 });
    expect(now()).to.deep.equal({ west: 0, north: 100 });
    stores.put({ ...groupObjects({ members: { west: {}, north: {} } }), slices: [] });
    await settle();
    expect(now()).to.deep.equal({ west: 0, north: 100 });
    await facts('west', {});
    expect(now()).to.deep.equal({ west: 50, north: 50 });
    expect(told).to.equal(4);
  });

  it('are held and ramped by time alone, with nobody saying anything', async () => {
    begin({ members: { west: {}, north: {} }, policy: 'delay=30s ramp=60s overprovision=2' });
    await facts('west', { usableSince: clock.now(), flaps: 1 });
    expect(now()).to.deep.equal({ west: 0, north: 100 });
    await clock.advance(29_999);
    expect(now()['west']).to.equal(0);
    told = 0;
    await clock.advance(30_001);
    expect(now()['west']).to.be.within(32, 34);
    expect(told, 'a hundredth of the ramp each time').to.be.within(40, 60);
    await clock.advance(30_000);
    expect(now()).to.deep.equal({ west: 50, north: 50 });
    expect(clock.pending, 'timers').to.equal(0);
  });

  it('go down with a drain of a cluster, and up again when it is over', async () => {
    const start = clock.now();
    const drain = { to: 0, start, rampMs: 300_000, until: start + 3_600_000, drill: false };
    begin({ members: { west: { drain }, north: {} } });
    await clock.advance(60_000);
    expect(now()['west']).to.be.within(39, 45);
    await clock.advance(240_000);
    expect(now()).to.deep.equal({ west: 0, north: 100 });
    stores.links.set(linkOfCluster('west', {}));
    await settle();
    expect(now()).to.deep.equal({ west: 50, north: 50 });
  });

  it('are made once for all changes of one turn', async () => {
    begin({ members: { west: {}, north: {} } });
    for (const ready of [9, 8, 7, 1]) stores.slices.set(factsSlice('web', 'west', { facts: { ready } }));
    await settle();
    expect(told).to.equal(1);
    // A word that changes nothing is told to nobody.
    await facts('west', { ready: 1, lastWord: 5 });
    expect(told).to.equal(1);
  });

  it('of one Service change with its own facts only, and with nobody watching no more', async () => {
    begin({ members: { west: {}, north: {} } });
    stores.slices.set(factsSlice('api', 'west', { facts: { ready: 1 } }));
    await settle();
    expect(told).to.equal(0);
    shares.unwatch(WEB, listener);
    await facts('west', { ready: 1 });
    expect(told).to.equal(0);
    expect([...shares.entries()]).to.deep.equal([]);
  });

  it('stay as they were while the Service is being made again', async () => {
    begin({ members: { west: {}, north: {} }, tiers: 'west; north' });
    stores.mirrors.delete(WEB);
    await settle();
    expect(now()).to.deep.equal({ west: 100, north: 0 });
    await clock.advance(60_000);
    expect(now()).to.deep.equal({ west: 100, north: 0 });
  });

  it('of a Service that is not known yet are undefined, and are told when it comes', async () => {
    shares.watch(WEB, listener);
    expect(shares.of(WEB)).to.equal(undefined);
    stores.put(groupObjects({ members: { west: { facts: null }, north: { facts: null } } }));
    await settle();
    expect(told).to.equal(1);
    expect(now()).to.deep.equal({ north: 50, west: 50 });
  });

  it('of thousands of groups are made in parts, so that requests do not wait for all of them', async () => {
    const names = Array.from({ length: 600 }, (_, at) => `s${at}`);
    for (const service of names) stores.put(groupObjects({ service, members: { west: {}, north: {} } }));
    for (const service of names) shares.watch(`demo/${service}-federated`, listener);
    const drain = { to: 0, start: 0, rampMs: 0, until: HEALTHY.lastWord + 4e12, drill: false };
    stores.links.set(linkOfCluster('west', { drain }));
    await settle();
    expect(told).to.equal(250);
    await clock.advance(10);
    expect(told).to.equal(600);
  });

  describe('when probes say that a cluster is dead, and its data goes on', () => {
    let proven: number | undefined;
    const dead = { path: 'dead', usableSince: null, flaps: 1 } as const;

    beforeEach(() => {
      proven = 60_000;
      shares = new GroupShares({
        ...stores,
        clock,
        proven: (name) => (name === 'west' ? proven : undefined),
      });
      begin({ members: { west: {}, north: {} }, tiers: 'west; north' });
    });

    // Probes go to another port, from another node: a firewall there took all traffic from a cluster that
    // every egress pod had open connections to.
    it('stay as they are for this pod, as long as its connections do', async () => {
      await facts('west', dead);
      expect(now()).to.deep.equal({ west: 100, north: 0 });
      expect(told).to.equal(0);
      proven = 65_000;
      await clock.advance(5000);
      expect(now()).to.deep.equal({ west: 100, north: 0 });
      proven = undefined;
      await clock.advance(1100);
      expect(now()).to.deep.equal({ west: 0, north: 100 });
    });

    it('are those of the facts where connections were opened since: that is a return, with its hold', async () => {
      proven = undefined;
      await facts('west', dead);
      await clock.advance(5000);
      proven = 100;
      await facts('west', { ...dead, ready: 9 });
      expect(now()).to.deep.equal({ west: 0, north: 100 });
      await facts('west', { usableSince: clock.now(), flaps: 1 });
      expect(now()).to.deep.equal({ west: 0, north: 100 });
    });

    it('are those of the facts where it has no endpoints, whatever connects', async () => {
      await facts('west', { ...dead, ready: 0 });
      expect(now()).to.deep.equal({ west: 0, north: 100 });
    });
  });

  describe('when clocks differ', () => {
    let skewed: boolean;
    const back = (since: number) => facts('west', { usableSince: since, flaps: 1 });

    beforeEach(() => {
      skewed = false;
      shares = new GroupShares({ ...stores, clock, skewed: () => skewed });
      begin({ members: { west: {}, north: {} }, policy: 'delay=30s ramp=60s overprovision=2' });
    });

    it('by some seconds, ramps shift by as much, and nothing else', async () => {
      await back(clock.now() - 2000);
      await clock.advance(28_000 + 30_000);
      expect(now()['west']).to.be.within(32, 34);
      await clock.advance(30_000);
      expect(now()).to.deep.equal({ west: 50, north: 50 });
    });

    // A pod whose clock was an hour fast gave a cluster that was back all of its share at once, one whose
    // clock was slow gave it nothing for an hour.
    it('by more, holds and ramps count from when it was first seen to be back', async () => {
      skewed = true;
      await back(clock.now() - 3_600_000);
      expect(now()['west']).to.equal(0);
      await clock.advance(60_000);
      expect(now()['west']).to.be.within(32, 34);
      await facts('west', { usableSince: clock.now() - 3_660_000, flaps: 1, ready: 9 });
      expect(now()['west']).to.be.within(28, 34);
      await clock.advance(30_000);
      expect(now()['west']).to.be.within(45, 50);
    });

    it('and nobody has said so, a time that is still to come counts as now', async () => {
      await back(clock.now() + 3_600_000);
      await clock.advance(91_000);
      expect(now()).to.deep.equal({ west: 50, north: 50 });
    });

    it('is taken in as soon as it is known', async () => {
      await back(clock.now() - 3_600_000);
      expect(now()).to.deep.equal({ west: 50, north: 50 });
      skewed = true;
      shares.clockChanged();
      await settle();
      expect(now()['west'], 'as it was seen first').to.equal(0);
    });
  });
});
