import { expect } from 'chai';
import { LinkspanError } from '../../../src/api/errors/linkspan-error.ts';
import type { ClusterFacts } from '../../../src/dashboard/cluster-facts.ts';
import { DashboardPoller } from '../../../src/dashboard/dashboard-poller.ts';
import { SnapshotFeed } from '../../../src/dashboard/snapshot-feed.ts';
import { dashboardMeta } from '../../support/dashboard-bed.ts';
import { processOf, readingOf } from '../../support/traffic-readings.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

type Read = () => Promise<ClusterFacts>;

const FACTS: ClusterFacts = {
  reading: readingOf({ processes: [processOf({ process: 'egress' })] }),
  links: [],
  unread: [],
  controller: 'ok',
  recent: [],
};

/** Clusters that answer as they are told, and how often each was asked. */
function watching(reads: Record<string, Read>) {
  const clock = new VirtualClock();
  const feed = new SnapshotFeed(dashboardMeta(), clock);
  const asked: Record<string, number> = {};
  const sources = Object.keys(reads).map((context) => ({
    context,
    namespace: 'mc',
    read: () => {
      asked[context] = (asked[context] ?? 0) + 1;
      return reads[context]?.() ?? Promise.reject(new Error('nobody'));
    },
    close: () => Promise.resolve(),
  }));
  const poller = new DashboardPoller(sources, { feed, clock, adviceFor: () => '' });
  const state = (context: string) => feed.tables.contexts[context]?.state;
  return { clock, feed, asked, poller, state };
}

describe('whoever asks clusters for a page', () => {
  it('asks every two seconds while somebody looks, and nobody otherwise', async () => {
    const { clock, feed, asked, state } = watching({ east: async () => FACTS });
    await clock.advance(60_000);
    expect([asked['east'], state('east')]).to.deep.equal([undefined, 'loading']);
    const leave = feed.listen(() => undefined);
    await clock.advance(10_000);
    expect([asked['east'], state('east')]).to.deep.equal([6, 'ok']);
    leave();
    // A page that is loaded anew is back before it ends.
    await clock.advance(4000);
    const again = feed.listen(() => undefined);
    await clock.advance(4000);
    expect(asked['east']).to.equal(10);
    again();
    await clock.advance(60_000);
    const known = asked['east'] ?? 0;
    expect(known).to.be.below(14);
    await clock.advance(60_000);
    expect(asked['east']).to.equal(known);
    // What comes back sees what was, and that it is old, until it is known anew.
    feed.listen(() => undefined);
    await clock.advance(200);
    expect([asked['east'], state('east')]).to.deep.equal([known + 1, 'ok']);
  });

  it('asks for a program that asks once, until all is new', async () => {
    const { clock, feed, asked, state } = watching({ east: async () => FACTS });
    const { signal } = new AbortController();
    const first = feed.renewed(4000, signal);
    await clock.advance(200);
    await first;
    expect([asked['east'], state('east'), feed.isWatched]).to.deep.equal([1, 'ok', false]);
    // What is new need not be asked for again.
    await feed.renewed(4000, signal);
    await clock.advance(60_000);
    const known = asked['east'] ?? 0;
    const later = feed.renewed(4000, signal);
    await clock.advance(200);
    await later;
    expect(asked['east']).to.equal(known + 1);
    const away = watching({ east: () => Promise.reject(new LinkspanError('KUBE_UNREACHABLE', 'no')) });
    const never = away.feed.renewed(4000, signal);
    await away.clock.advance(4000);
    await never;
    expect(away.state('east')).to.equal('unreachable');
  });

  it('keeps what it has seen of a cluster that is away, and shows the others', async () => {
    let isAway = false;
    const away = new LinkspanError('KUBE_UNREACHABLE', 'nobody there');
    const { clock, feed, state } = watching({
      east: async () => {
        if (isAway) throw away;
        return FACTS;
      },
      west: async () => ({ ...FACTS, unread: ['pods'] }),
    });
    feed.listen(() => undefined);
    await clock.advance(200);
    isAway = true;
    const { at } = feed.tables.contexts['east'] ?? {};
    await clock.advance(4000);
    expect([state('east'), state('west')]).to.deep.equal(['unreachable', 'partial']);
    expect(feed.tables.contexts['east']).to.deep.include({
      at,
      error: { code: 'KUBE_UNREACHABLE', message: 'nobody there', advice: away.hint },
    });
    expect(feed.tables.processes).to.have.property('east/egress-0');
  });

  it('says what is old where nobody answers, and which role is missing, and where there is nothing', async () => {
    let read: Read = async () => FACTS;
    const { clock, feed, state } = watching({ east: () => read() });
    feed.listen(() => undefined);
    await clock.advance(200);
    read = () => new Promise(() => undefined);
    await clock.advance(8000);
    expect(state('east')).to.equal('ok');
    await clock.advance(6000);
    expect(state('east')).to.equal('stale');

    const refused = watching({
      east: () => Promise.reject(new LinkspanError('STATS_FORBIDDEN', 'no')),
      west: async () => ({ ...FACTS, reading: readingOf() }),
    });
    refused.feed.listen(() => undefined);
    await refused.clock.advance(200);
    const { east, west } = refused.feed.tables.contexts;
    expect(east).to.include({ state: 'forbidden', role: 'linkspan-view', at: null });
    expect([west?.state, west?.error?.code]).to.deep.equal(['absent', 'NOT_INSTALLED']);
    expect(
      Object.values(refused.feed.tables.cards).map(({ kind, command }) => [kind, command]),
    ).to.deep.equal([
      ['cluster', 'kubectl auth can-i get pods/proxy -n mc --context east'],
      ['cluster', 'linkspan install --context west -n mc'],
    ]);
  });

  it('asks a cluster that takes long less often, and never twice at a time', async () => {
    let open = 0;
    let most = 0;
    const { clock, feed, asked } = watching({
      east: () =>
        new Promise((resolve) => {
          most = Math.max(most, ++open);
          clock.after(3000, () => {
            open--;
            resolve(FACTS);
          });
        }),
    });
    for (let at = 0; at < 10; at++) {
      const leave = feed.listen(() => undefined);
      await clock.advance(500);
      leave();
    }
    feed.listen(() => undefined);
    await clock.advance(60_000);
    expect(most).to.equal(1);
    expect(asked['east']).to.be.within(6, 8);
  });
});
