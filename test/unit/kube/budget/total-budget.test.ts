import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { LinkspanError } from '../../../../src/api/errors/linkspan-error.ts';
import { ExportView } from '../../../../src/exports/export-view.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { Pace } from '../../../../src/kube/budget/pace.ts';
import { PeerBudget } from '../../../../src/kube/budget/peer-budget.ts';
import { defaultTotal, TotalBudget } from '../../../../src/kube/budget/total-budget.ts';
import { TARGET_BUDGETS } from '../../../../src/controllers/settings/target-budgets.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const MIB = 1024 * 1024;

function service(name: string, bytes: number): V1Service {
  return {
    metadata: {
      name,
      namespace: 'demo',
      uid: name,
      labels: { 'mirror.linkerd.io/exported': 'true' },
      annotations: { note: 'x'.repeat(bytes) },
    },
    spec: { ports: [{ port: 80 }], selector: { app: name } },
  };
}

/**
 * Each Link had 64 MiB, and the heap room for two: three targets that were taken over, or a dozen large ones,
 * ended mirroring for all.
 */
describe('the budget of all peers together', () => {
  const closing: (() => Promise<unknown>)[] = [];
  let clock: VirtualClock;

  beforeEach(() => {
    clock = new VirtualClock();
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  /** A Link to a target with so many Services of so many bytes. */
  function link(
    total: TotalBudget,
    count: number,
    bytes: number,
    seenAs = (client: KubeClient): KubeClient => client,
  ) {
    const cluster = new FakeCluster();
    for (let at = 0; at < count; at++) cluster.put('services', service(`s${at}`, bytes));
    const told: string[] = [];
    const budget = new PeerBudget(TARGET_BUDGETS.held, (over) => told.push(over.budget), total);
    const exports = new ExportView({
      client: seenAs(cluster.client),
      selectors: ['mirror.linkerd.io/exported=true'],
      clock,
      random: () => 0.5,
      log,
      limits: {
        budget,
        pace: new Pace({ perSecond: 100_000, burst: 1_000_000 }, clock),
        maxPages: 100,
        serviceMetadata: MIB,
      },
    });
    const stop = async () => {
      const stopped = exports.stop();
      await clock.advance(1000);
      await stopped;
      budget.close();
    };
    closing.push(stop);
    return { cluster, budget, exports, told, stop };
  }

  it('parks those who have more than their part, with a reason, and lets all others go on: 50 Links, 10 of which mean harm', async () => {
    const total = new TotalBudget(4 * MIB);
    const harm = Array.from({ length: 10 }, () => link(total, 60, 20_000));
    const fair = Array.from({ length: 40 }, () => link(total, 10, 500));
    // All at the same moment, as when the controller starts: what is being read counts, too.
    for (const { exports } of [...harm, ...fair]) exports.start();
    await clock.advance(5000);
    expect(total.used).to.be.at.most(total.limit);
    for (const { exports, budget } of fair) {
      expect([exports.synced, exports.services.size, budget.over]).to.deep.equal([true, 10, undefined]);
    }
    const parked = harm.filter(({ budget }) => budget.over !== undefined);
    expect(parked.length).to.be.within(1, 9);
    for (const { budget, exports, told } of parked) {
      expect(budget.over?.budget).to.equal('total');
      expect(budget.over?.message).to.match(/each of 50 Links may have.*--max-total-memory/);
      expect(told).to.deep.equal(['total']);
      // Nothing is taken for gone because of it.
      expect([exports.error, exports.synced]).to.deep.equal([undefined, false]);
    }
    const one = fair[0];
    one?.cluster.put('services', service('later', 500));
    await clock.advance(1000);
    expect(one?.exports.services.get('demo/later')).not.to.equal(undefined);
  });

  it('takes in again who was parked, when others leave', async () => {
    const total = new TotalBudget(MIB);
    const first = link(total, 40, 20_000);
    first.exports.start();
    await clock.advance(1000);
    expect(first.budget.over).to.equal(undefined);
    const second = link(total, 30, 20_000);
    second.exports.start();
    await clock.advance(1000);
    expect(second.budget.over?.budget).to.equal('total');
    await first.stop();
    await clock.advance(600_000);
    expect([second.budget.over, second.exports.services.size]).to.deep.equal([undefined, 30]);
  });

  it('leaves a Link its part however many came before it', () => {
    const total = new TotalBudget(1000);
    const held = [{ bytes: 700 }, { bytes: 290 }];
    for (const peer of held) total.join(peer);
    const late = { bytes: 166 };
    total.join(late);
    expect(() => total.check(late)).not.to.throw();
    late.bytes = 167;
    expect(() => total.check(late)).to.throw(/all together have the 1000/);
    for (const peer of held) total.leave(peer);
    late.bytes = 1000;
    expect(() => total.check(late)).not.to.throw();
    late.bytes = 1001;
    expect(() => total.check(late)).to.throw(/beyond the 500/);
  });

  it('counts what is held and what is being listed once, and nothing of a list that was given up', () => {
    const total = new TotalBudget(Infinity);
    const budget = new PeerBudget(TARGET_BUDGETS.held, undefined, total);
    const share = budget.share<V1Service>();
    const [a, b] = [service('a', 1000), service('b', 5000)];
    share.admit(a, undefined);
    const one = budget.bytes;
    expect(one).to.equal(budget.used('bytes'));
    const list = share.list();
    list.add(a);
    expect(budget.bytes).to.equal(one);
    list.add(b);
    expect(budget.bytes).to.be.above(one + 5000);
    share.list().add(a);
    expect(budget.bytes).to.equal(one);
    share.release(a);
    const next = share.list();
    next.add(b);
    next.done();
    expect(budget.bytes).to.equal(budget.used('bytes'));
    share.close();
    expect([budget.bytes, total.used]).to.deep.equal([0, 0]);
  });

  /**
   * One more Link made every part smaller, and parked Links that had fitted at their next event, whatever it
   * was.
   */
  it('lets those go on who have more than their part since others came, as long as they take no more', async () => {
    const total = new TotalBudget(4 * MIB);
    const large = [0, 1, 2].map(() => link(total, 50, 20_000));
    for (const { exports } of large) exports.start();
    await clock.advance(1000);
    const small = Array.from({ length: 40 }, () => link(total, 0, 0));
    for (const { exports } of small) exports.start();
    await clock.advance(1000);
    expect(total.used).to.be.below(total.limit);
    const [{ cluster, exports, budget }] = large as [ReturnType<typeof link>];
    const changed: V1Service = {
      ...service('s7', 20_000),
      spec: { ports: [{ port: 80 }], selector: { app: 'x7' } },
    };
    cluster.put('services', changed);
    await clock.advance(1000);
    expect(exports.services.get('demo/s7')?.spec?.selector).to.deep.equal({ app: 'x7' });
    exports.refresh();
    await clock.advance(1000);
    expect(budget.over).to.equal(undefined);
    cluster.put('services', service('more', 20_000));
    await clock.advance(1000);
    expect(budget.over?.budget).to.equal('total');
  });

  /**
   * A target that broke each list off after its first pages, and then was away, kept what others might have
   * had.
   */
  it('counts nothing of a list that has failed', async () => {
    const total = new TotalBudget(MIB);
    let failed = 0;
    const { budget, exports } = link(total, 1, 20_000, (client) => {
      const list: KubeClient['list'] = async (resource, options) => {
        const page = await client.list(resource, options);
        if (resource.plural !== 'services') return page;
        if (options?.continueToken === undefined) return { ...page, continueToken: 'next' };
        failed++;
        throw new LinkspanError('KUBE_UNREACHABLE', 'gone');
      };
      return { ...client, list } as KubeClient;
    });
    exports.start();
    await clock.advance(1);
    expect(failed).to.equal(1);
    expect(budget.bytes).to.equal(0);
  });

  it('is half of the heap, where the process has four times as much', () => {
    expect(defaultTotal(256 * MIB, 512 * MIB)).to.equal(128 * MIB);
    expect(defaultTotal(4096 * MIB, 512 * MIB)).to.equal(128 * MIB);
  });
});
