import { expect } from 'chai';
import type { StatsPoint } from '../../../../src/api/answers/stats-report.ts';
import { RecentReader, withPoints } from '../../../../src/cli/dashboard/recent-reader.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { reportOf } from '../../../support/traffic-readings.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const point = (at: number, ms = 10_000): StatsPoint => ({ at, ms, targets: [] });
const spans = (points: readonly StatsPoint[]) => points.map(({ at, ms }) => [at - ms, at]);

describe('the last half hour of processes', () => {
  it('counts no time twice where a minute stands for its steps', () => {
    const short = [10, 20, 30, 40, 50].map((second) => point(second * 1000 + 3));
    // It begins a little later, and ends a little later, than it should.
    const kept = withPoints([point(4), ...short], [point(60_007, 60_000), point(70_010)]);
    expect(spans(kept)).to.deep.equal([
      [4 - 10_000, 4],
      [7, 60_007],
      [60_010, 70_010],
    ]);
  });

  it('asks for all at first, then for what is new, and goes by its own clock', async () => {
    const clock = new VirtualClock();
    const asked: string[] = [];
    let cursor = 'start-6';
    const hour = 3_600_000;
    const client = {
      list: async (_: unknown, { labelSelector }: { readonly labelSelector: string }) => ({
        items: labelSelector.includes('gateway')
          ? [
              {
                metadata: { name: 'gateway-0', labels: { 'app.kubernetes.io/component': 'gateway' } },
                spec: { containers: [{ ports: [{ name: 'linkspan-admin', containerPort: 9990 }] }] },
                status: { phase: 'Running' },
              },
            ]
          : [],
      }),
      raw: async (_: 'GET', path: string) => {
        asked.push(path.slice(path.indexOf('/stats')));
        // Its clock is an hour late.
        const at = clock.now() - hour;
        return reportOf({ at, cursor, points: [point(at - 1000)] });
      },
    } as unknown as KubeClient;
    const reader = new RecentReader({ name: 'west', client, namespace: 'mc' }, clock);
    const first = await reader.read();
    expect(first.map(({ pod, side, points }) => [pod, side, points.map(({ at }) => at)])).to.deep.equal([
      ['gateway-0', 'gateway', [clock.now() - 1000]],
    ]);
    await reader.read();
    expect(asked).to.deep.equal(['/stats?window=30m&since=']);
    await clock.advance(10_000);
    expect((await reader.read())[0]?.points).to.have.length(2);
    // It has started anew: what it said before is of another process.
    cursor = 'other-1';
    await clock.advance(10_000);
    expect((await reader.read())[0]?.points).to.have.length(1);
    expect(asked.slice(1)).to.deep.equal([
      '/stats?window=30m&since=start-6',
      '/stats?window=30m&since=start-6',
    ]);
  });
});
