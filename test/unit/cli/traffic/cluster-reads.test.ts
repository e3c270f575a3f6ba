import { expect } from 'chai';
import { ClusterReads, type OpenCluster } from '../../../../src/cli/traffic/cluster-reads.ts';
import type { Read } from '../../../../src/cli/traffic/traffic-reader.ts';
import { processOf, readingOf, reportOf } from '../../../support/traffic-readings.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const NO_LINKS = { controllersSilent: undefined, linkRows: [] };

/** A cluster that answers when it is told. */
function clusterOf(name: string) {
  const answers: PromiseWithResolvers<Read>[] = [];
  const read = () => {
    const answer = Promise.withResolvers<Read>();
    answers.push(answer);
    return answer.promise;
  };
  const cluster: OpenCluster = {
    name,
    client: { server: `https://${name}`, close: () => Promise.resolve() },
    reader: { read },
  };
  const reading = { ...readingOf({ processes: [processOf(reportOf())] }), cluster: name };
  return {
    cluster,
    answers,
    answer: () => answers.at(-1)?.resolve({ reading, unread: [], around: NO_LINKS }),
  };
}

function both(live: boolean) {
  const clock = new VirtualClock();
  const [east, west] = [clusterOf('east'), clusterOf('west')];
  const reads = new ClusterReads([east.cluster, west.cluster], { clock, timeoutMs: 60_000, live });
  const next = async () => {
    const { readings, unread, isPartial } = await reads.next();
    return { names: readings.map(({ cluster }) => cluster), unread, isPartial };
  };
  return { clock, east, west, next, look: () => reads.look() };
}

describe('asking several clusters', () => {
  it('a live view does not wait for one that is away, and shows what it says late', async () => {
    const { clock, east, west, next } = both(true);
    const first = next();
    east.answer();
    await clock.advance(2000);
    const { names, unread, isPartial } = await first;
    expect([names, isPartial]).to.deep.equal([['east'], true]);
    expect(unread[0]).to.match(/^no answer from west: \[KUBE_TIMEOUT\] no answer from https:\/\/west yet/);
    west.answer();
    const second = next();
    east.answer();
    expect(await second).to.deep.equal({ names: ['east', 'west'], unread: [], isPartial: false });
    expect([east.answers.length, west.answers.length], 'one question at a time').to.deep.equal([2, 1]);
  });

  it('a single look waits for all', async () => {
    const { clock, east, west, next } = both(false);
    const only = next();
    east.answer();
    await clock.advance(30_000);
    west.answer();
    expect((await only).names).to.deep.equal(['east', 'west']);
  });

  it('is an error where none answers', async () => {
    const { east, west, next } = both(true);
    const only = next();
    for (const { answers } of [east, west]) answers[0]?.reject(new Error('gone'));
    expect(await only.catch((error: Error) => error.message)).to.equal('gone');
  });

  it('is told of each for who shows what is unread anyway', async () => {
    const { east, west, look } = both(true);
    const only = look();
    east.answers[0]?.reject(new Error('gone'));
    west.answer();
    const { names, unread } = await only;
    expect([names, unread]).to.deep.equal([['west'], ['no answer from east: gone']]);
    const nobody = look();
    for (const { answers } of [east, west]) answers.at(-1)?.reject(new Error('gone'));
    expect((await nobody).unread).to.deep.equal(['no answer from east: gone', 'no answer from west: gone']);
  });
});
