import { expect } from 'chai';
import { noTraffic, type Traffic } from '../../../src/drains/egress-traffic.ts';
import { type EgressPages, RecentTraffic, silentTexts } from '../../../src/drains/recent-traffic.ts';

const WEB = 'shop/web-federated';

/** What the pods say, each of them responses and failures; undefined: it does not answer. */
function pages(pods: Readonly<Record<string, readonly [number, number] | undefined>>): EgressPages {
  const traffic = new Map<string, Traffic>();
  const silent = new Map<string, string>();
  for (const [pod, said] of Object.entries(pods)) {
    if (said === undefined) silent.set(pod, 'no answer');
    else {
      const [responses, failures] = said;
      traffic.set(pod, new Map([[WEB, { ...noTraffic(), responses, failures, failed: failures }]]));
    }
  }
  return { traffic, silent };
}

const counted = (traffic: Traffic) => {
  const { responses = 0, failures = 0, failed = 0 } = traffic.get(WEB) ?? {};
  return { responses, failures, failed };
};
const none = { responses: 0, failures: 0, failed: 0 };

// A pod that was silent at one look, because its machine stood still, was taken for a new one at the next:
// failures of last week made a drill FAILED, and had drains paused.
describe('what the egress has counted lately', () => {
  it('is what was counted between looks', () => {
    const traffic = new RecentTraffic(0, pages({ a: [100, 3], b: [50, 0] }));
    const { now, recent } = traffic.see(500, pages({ a: [110, 3], b: [60, 1] }));
    expect(counted(now)).to.deep.equal({ responses: 20, failures: 1, failed: 1 });
    expect(counted(recent)).to.deep.equal(counted(now));
    expect(counted(traffic.usual)).to.deep.equal({ responses: 150, failures: 3, failed: 3 });
  });

  it('of a pod that was silent at the first look begins with its first answer', () => {
    const traffic = new RecentTraffic(0, pages({ a: [100, 0], b: undefined }));
    traffic.see(500, pages({ a: [100, 0], b: undefined }));
    const first = traffic.see(1000, pages({ a: [100, 0], b: [1000, 500] }));
    expect([counted(first.now), counted(first.recent)]).to.deep.equal([none, none]);
    expect(counted(traffic.usual)).to.deep.equal({ responses: 1100, failures: 500, failed: 500 });
    const next = traffic.see(1500, pages({ a: [100, 0], b: [1010, 501] }));
    expect(counted(next.recent)).to.deep.equal({ responses: 10, failures: 1, failed: 1 });
  });

  it('of a pod that was silent for a while is told when it answers again', () => {
    const traffic = new RecentTraffic(0, pages({ a: [100, 50] }));
    expect(counted(traffic.see(500, pages({ a: undefined })).now)).to.deep.equal(none);
    const { now, recent } = traffic.see(1000, pages({ a: [120, 51] }));
    expect(counted(now)).to.deep.equal({ responses: 20, failures: 1, failed: 1 });
    expect(counted(recent)).to.deep.equal(counted(now));
  });

  it('of a pod that has come, or has been started anew, is all that it has counted', () => {
    const traffic = new RecentTraffic(0, pages({ a: [100, 50] }));
    const come = traffic.see(500, pages({ a: [100, 50], b: [10, 2] }));
    expect(counted(come.now)).to.deep.equal({ responses: 10, failures: 2, failed: 2 });
    const anew = traffic.see(1000, pages({ a: [5, 1], b: [10, 2] }));
    expect(counted(anew.now)).to.deep.equal({ responses: 5, failures: 1, failed: 1 });
  });

  it('is not to be seen while nobody answers, or nobody is left', () => {
    const traffic = new RecentTraffic(0, pages({ a: [100, 0], b: [100, 0] }));
    const unseen = [
      { a: undefined, b: [1, 0] as const },
      { a: undefined, b: undefined },
      {},
      { c: [1, 0] as const },
    ].map((pods, at) => traffic.see(at, pages(pods)).unseen);
    expect(unseen).to.deep.equal([
      undefined,
      'a: no answer; b: no answer',
      'there is no egress pod',
      undefined,
    ]);
    // Without an egress there are no clients of one.
    const none = new RecentTraffic(0, pages({}));
    expect(none.see(1, pages({})).unseen).to.equal(undefined);
    expect(none.see(2, pages({ a: undefined })).unseen).to.equal('a: no answer');
    expect(none.see(3, pages({})).unseen).to.equal('there is no egress pod');
    expect(new RecentTraffic(0, pages({ a: undefined })).see(1, pages({})).unseen).to.be.a('string');
  });

  it('forgets what is older than ten seconds', () => {
    const traffic = new RecentTraffic(0, pages({ a: [100, 50] }));
    traffic.see(1000, pages({ a: [200, 90] }));
    traffic.see(9000, pages({ a: undefined }));
    const { recent } = traffic.see(12_000, pages({ a: [210, 90] }));
    expect(counted(recent)).to.deep.equal({ responses: 10, failures: 0, failed: 0 });
  });

  it('names who was silent, and why', () => {
    expect(silentTexts(pages({ b: undefined, a: undefined, c: [1, 0] }))).to.deep.equal([
      'a: no answer',
      'b: no answer',
    ]);
  });
});
