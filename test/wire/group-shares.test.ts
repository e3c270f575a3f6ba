import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '../support/eventually.ts';
import { GroupBed, GroupSite, type KeptClient } from '../support/group-bed.ts';
import { groupObjects, type SaidOfMember } from '../support/group-objects.ts';
import { http1Origin } from '../support/origins.ts';
import { seenMeanwhile } from '../support/passing.ts';
import { RUNTIMES } from '../support/runtime-process.ts';

const CLUSTERS = ['west', 'north'] as const;
const dead = { path: 'dead', usableSince: null, flaps: 1 } as const;

// All clusters of a group had the same share, whatever tiers, facts and policy said.
for (const runtime of RUNTIMES)
  describe(`requests of a group are divided by what is decided, with everything on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-shares-'));
    const site = new GroupSite({ runtime, dir, clusters: CLUSTERS });
    let bed: GroupBed;
    let kept: KeptClient;

    const start = async (
      members: Readonly<Record<string, SaidOfMember>>,
      said: {
        readonly tiers?: string;
        readonly policy?: string;
        readonly flags?: Readonly<Record<string, readonly string[]>>;
        readonly local?: readonly number[];
      } = {},
    ) => {
      const { flags = {}, local, ...rest } = said;
      const groups = groupObjects({ members, ...rest });
      bed = await GroupBed.start(site, { groups, flags, ...(local === undefined ? {} : { local }) });
      kept = bed.client();
    };
    afterEach(async () => {
      kept.close();
      await bed.stop();
    });
    after(async () => {
      await site.stop();
      rmSync(dir, { recursive: true });
    });

    /** Sends so many requests. @returns how many of them each cluster has served */
    const ask = async (count: number, method = 'GET'): Promise<number[]> => {
      const before = await bed.served();
      for (let at = 0; at < count; at++)
        expect((await kept.ask(method, '/hello', method === 'GET' ? undefined : 'x')).status).to.equal(200);
      return (await bed.served()).map((now, at) => now - (before[at] ?? 0));
    };
    const untilShares = (what: string, holds: (shares: Readonly<Record<string, number>>) => boolean) =>
      eventually(what, async () => holds(await bed.shares()));
    const divide = (members: Readonly<Record<string, SaidOfMember>>, said: object = {}) =>
      bed.egress.divide(groupObjects({ members, ...said }));

    it('by weight, within a few of a hundred', async () => {
      await start({ west: {}, north: {} }, { tiers: 'west=90, north=10' });
      const [west = 0, north = 0] = await ask(400);
      expect(west + north).to.equal(400);
      // 40 are expected; the standard deviation is 6.
      expect(north).to.be.within(10, 76);
    });

    it('by tier: the second gets nothing, until the first is dead, which no request has to wait for', async () => {
      await start({ west: {}, north: {} }, { tiers: 'west; north' });
      expect(await ask(50)).to.deep.equal([50, 0]);
      await bed.gateway('west').kill();
      // Nobody has told the egress.
      await eventually('it sees that itself', async () => (await ask(1)).join() === '0,1');
      expect(await ask(50, 'POST')).to.deep.equal([0, 50]);
      divide({ west: { facts: dead }, north: {} }, { tiers: 'west; north' });
      await untilShares('the facts have come', ({ north }) => north === 100);
      expect(await ask(50)).to.deep.equal([0, 50]);
    });

    it('held and then ramped where one is back, by time alone', async function () {
      const policy = 'delay=1h ramp=3s overprovision=2';
      await start({ west: {}, north: { facts: dead } }, { policy });
      expect(await ask(20)).to.deep.equal([20, 0]);
      const back = () => ({ west: {}, north: { facts: { usableSince: Date.now(), flaps: 1 } } });
      divide(back(), { policy });
      await eventually('it is held', async () => (await bed.egress.metrics()).includes('state="Held"'));
      expect(await ask(20)).to.deep.equal([20, 0]);
      const ramp = async () => {
        divide(back(), { policy: 'delay=1s ramp=3s overprovision=2' });
        await untilShares('it begins', ({ north = 0 }) => north < 50);
        await untilShares('it is back', ({ north }) => north === 50);
      };
      await seenMeanwhile('it ramps', ramp, async () => {
        const { north = 0 } = await bed.shares();
        return north > 0 && north < 50;
      });
      const [, north = 0] = await ask(100);
      expect(north).to.be.within(20, 80);
    });

    it('drained to nothing, with connections that are kept, and back again when that is taken back', async () => {
      await start({ west: {}, north: {} });
      const now = Date.now();
      const drain = { to: 0, start: now, rampMs: 1000, until: now + 3_600_000, drill: false };
      divide({ west: {}, north: { drain } });
      await untilShares('it is drained', ({ north }) => north === 0);
      expect(await ask(50)).to.deep.equal([50, 0]);
      // It is the only one that works.
      await bed.gateway('west').kill();
      await eventually('it sees that', async () => (await ask(1)).join() === '0,1');
      expect(await ask(20, 'POST')).to.deep.equal([0, 20]);
      divide({ west: { facts: dead }, north: {} });
      await untilShares('it serves again', ({ north }) => north === 100);
      expect(kept.connections).to.equal(1);
    });

    // Pods of this cluster were reached past the egress, whatever tiers and shares said of them.
    it('among pods of this cluster, too, and elsewhere when they are gone', async () => {
      const origin = await http1Origin();
      const tiers = 'local; west; north';
      await start({ local: {}, west: {}, north: {} }, { tiers, local: [origin.port] });
      expect(await ask(50)).to.deep.equal([0, 0]);
      expect(origin.count()).to.equal(50);
      divide({ local: { facts: { ready: 5 } }, west: {}, north: {} }, { tiers });
      await untilShares('the facts have come', ({ local }) => local === 70);
      const [west = 0] = await ask(100);
      expect(west).to.be.within(8, 60);
      origin.close();
      await eventually('the next tier serves alone', async () => (await ask(20)).join() === '20,0');
      expect(await ask(20, 'POST')).to.deep.equal([20, 0]);
    });

    it('with a gateway that goes (GOAWAY) no request fails, whatever its method', async () => {
      await start({ west: {}, north: {} });
      await eventually('both serve', async () => (await ask(4)).every((count) => count > 0));
      bed.gateway('west').terminate();
      await eventually('the other one serves alone', async () => {
        const [west = 0, north = 0] = await ask(20, 'POST');
        return west === 0 && north === 20;
      });
    });

    // Linkerd's gateways have no streams, and say in an answer that they have no endpoints.
    it("with a gateway of Linkerd's kind that has no endpoints, requests that only read go elsewhere", async function () {
      await start({ west: {}, north: {} }, { tiers: 'west; north', flags: { west: ['--streams', 'off'] } });
      expect(await ask(10)).to.deep.equal([10, 0]);
      await bed.serve('west', 'none');
      await eventually('it says that it has none', async () => (await ask(1)).join() === '0,1');
      const moved = await bed.numbers('outbound_group_moved_total');
      expect(moved['why="no_endpoints"']).to.be.greaterThan(0);
      await bed.serve('west', 'all');
      await eventually('it serves again', async () => (await ask(1)).join() === '1,0');
    });

    it('refused where nobody may take it (max-share)', async () => {
      await start({ west: {}, north: { facts: dead } }, { policy: 'max-share=west:30%,north:1%' });
      const statuses = new Map<number, number>();
      for (let count = 0; count < 60; count++) {
        const { status, head } = await kept.ask();
        if (status === 503) expect(head).to.match(/^retry-after: 1\r?$/im);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      expect([...statuses.keys()]).to.have.members([200, 503]);
      expect(statuses.get(503)).to.be.within(25, 57);
    });
  });
