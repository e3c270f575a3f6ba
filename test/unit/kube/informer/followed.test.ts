import { expect } from 'chai';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { type Followed, follows, syncStats } from '../../../../src/kube/informer/followed.ts';

const NOW = 1_000_000;
const one = (plural: string, change: Partial<Followed> = {}): Followed => ({
  resource: { plural },
  synced: true,
  error: undefined,
  lastHeard: NOW - 4600,
  ...change,
});

describe('What is followed through a client', () => {
  it('is told by kind, the worst of each, for as long as it is followed', () => {
    const [client, other] = [{} as KubeClient, {} as KubeClient];
    follows(other, one('links', { synced: false }));
    const ends = [
      one('services'),
      one('services', { lastHeard: NOW - 60_000 }),
      one('links', { error: new Error('away') }),
      one('pods', { synced: false, lastHeard: undefined }),
      one('pods'),
      one('nodes', { lastHeard: NOW + 5000 }),
    ].map((followed) => follows(client, followed));
    expect(syncStats(client, NOW)).to.deep.equal([
      { kind: 'links', ok: false, ageS: 5 },
      { kind: 'nodes', ok: true, ageS: 0 },
      { kind: 'pods', ok: false },
      { kind: 'services', ok: true, ageS: 60 },
    ]);
    for (const end of ends.slice(1)) end();
    expect(syncStats(client, NOW)).to.deep.equal([{ kind: 'services', ok: true, ageS: 5 }]);
    expect(syncStats({} as KubeClient, NOW)).to.deep.equal([]);
  });
});
