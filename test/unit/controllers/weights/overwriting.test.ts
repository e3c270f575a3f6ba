import { expect } from 'chai';
import { Overwriting } from '../../../../src/controllers/weights/overwriting.ts';

describe('writing over the weights of another', () => {
  const ask = (counted: Overwriting, version: string, now: number, others = true) =>
    counted.times('split', { version, others, now });

  it('is counted once for each write of ours, however often the object is looked at', () => {
    const counted = new Overwriting();
    expect(ask(counted, '1', 0)).to.equal(0);
    counted.wrote('split', '2');
    expect(ask(counted, '2', 1000)).to.equal(0);
    for (const now of [2000, 3000]) expect(ask(counted, '3', now)).to.equal(1);
    counted.wrote('split', '4');
    expect(ask(counted, '5', 4000)).to.equal(2);
  });

  // A change of endpoints in the moment between our write and the watch that brings it counted as a fight.
  it('is nothing while the watch shows what was there before our write', () => {
    const counted = new Overwriting();
    counted.wrote('split', '10');
    expect(ask(counted, '9', 1000)).to.equal(0);
    expect(ask(counted, '10', 1000)).to.equal(0);
    expect(ask(counted, '11', 1000)).to.equal(1);
  });

  it('is nothing where the weights that stand there are ours', () => {
    const counted = new Overwriting();
    counted.wrote('split', '2');
    expect(ask(counted, '3', 1000, false)).to.equal(0);
  });

  it('is forgotten after five minutes', () => {
    const counted = new Overwriting();
    counted.wrote('split', '2');
    expect(ask(counted, '3', 1000)).to.equal(1);
    expect(counted.forgottenIn('split', 1000)).to.equal(300_001);
    expect(ask(counted, '3', 302_001)).to.equal(0);
    counted.wrote('split', '4');
    expect(ask(counted, '5', 400_000)).to.equal(1);
  });
});
