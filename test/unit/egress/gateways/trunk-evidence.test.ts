import { expect } from 'chai';
import { TrunkEvidence } from '../../../../src/egress/gateways/trunk-evidence.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

// A gateway that answered its probes and carried no data was alive for everybody but those who used it.
describe('what an egress pod knows of a gateway address by its own connections', () => {
  let clock: VirtualClock;
  let evidence: TrunkEvidence;
  let reachable: boolean;
  let proofs: number;

  beforeEach(() => {
    clock = new VirtualClock();
    reachable = false;
    proofs = 0;
    evidence = new TrunkEvidence({ clock, random: () => 0.5, prove });
  });
  afterEach(() => {
    evidence.close();
    expect(clock.pending).to.equal(0);
  });

  const prove = () => {
    proofs++;
    if (reachable) evidence.succeeded();
    else evidence.failed();
    return reachable ? Promise.resolve() : Promise.reject(new Error('refused'));
  };
  const state = (doubtful = false) => evidence.report(doubtful).state;

  it('is nothing before it was tried', async () => {
    await clock.advance(60_000);
    expect(evidence.report(false)).to.deep.equal({ state: 'unknown', sinceMs: 60_000, attempts: 0 });
    expect(proofs).to.equal(0);
  });

  it('is alive from the first connection on, without a break, unless an answer is late', async () => {
    evidence.succeeded();
    await clock.advance(1000);
    evidence.succeeded();
    expect(evidence.report(false)).to.deep.equal({ state: 'alive', sinceMs: 1000, attempts: 2 });
    expect([evidence.aliveMs(false), evidence.aliveMs(true)]).to.deep.equal([1000, undefined]);
    expect(state(true)).to.equal('suspect');
  });

  it('is dead after three failures in a row over 2 s, and alive by one success of its own accord', async () => {
    evidence.succeeded();
    evidence.lost();
    expect(state()).to.equal('suspect');
    await clock.advance(2000);
    expect(state()).to.equal('suspect');
    await clock.advance(4000);
    expect(state()).to.equal('dead');
    const before = proofs;
    await clock.advance(600_000);
    expect(proofs - before).to.be.within(290, 310);
    reachable = true;
    await clock.advance(2000);
    expect(state()).to.equal('alive');
    await clock.advance(60_000);
    expect(proofs - before).to.be.at.most(311);
  });

  it('is suspect, not dead, however many fail at the same moment', () => {
    for (let time = 0; time < 100; time++) evidence.failed();
    expect(state()).to.equal('suspect');
  });
});
