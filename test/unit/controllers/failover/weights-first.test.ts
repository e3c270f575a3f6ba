import { expect } from 'chai';
import { WeightsFirst } from '../../../../src/controllers/failover/weights-first.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

describe('the endpoints of a mirror whose weights are managed', () => {
  const SERVICE = 'shop/web-west';
  const of = (weighed: { has: boolean; serving: boolean }) => {
    const clock = new VirtualClock();
    const first = new WeightsFirst<string>(
      { has: () => weighed.has, isServing: () => weighed.serving },
      clock,
    );
    return { clock, hold: (facts: string, lost: boolean) => first.hold(SERVICE, facts, lost) };
  };

  it('stay as they were while it has weights, and go with these', () => {
    const weighed = { has: true, serving: true };
    const { hold } = of(weighed);
    expect(hold('ready', false)).to.equal(undefined);
    expect(hold('dead', true)).to.deep.equal({ facts: 'ready', ms: 1000 });
    weighed.serving = false;
    expect(hold('dead', true)).to.equal(undefined);
  });

  it('do not stay for longer than a second: whoever writes weights may be away', async () => {
    const { clock, hold } = of({ has: true, serving: true });
    hold('ready', false);
    expect(hold('dead', true)?.ms).to.equal(1000);
    await clock.advance(600);
    expect(hold('dead', true)?.ms).to.equal(400);
    await clock.advance(400);
    expect(hold('dead', true)).to.equal(undefined);
    expect(hold('dead', true), 'nor a second time').to.equal(undefined);
  });

  it('are as they are where they never were ready, or nobody manages weights', () => {
    expect(of({ has: true, serving: true }).hold('dead', true)).to.equal(undefined);
    const weighed = { has: false, serving: true };
    const { hold } = of(weighed);
    hold('ready', false);
    weighed.has = true;
    expect(hold('dead', true)).to.equal(undefined);
  });
});
