import { expect } from 'chai';
import { PacedWrites } from '../../../../src/controllers/weights/paced-writes.ts';

const never = () => false;
const always = () => true;

// Every write of a ramp came back by the watch and was the cause of the next one, as shares had moved on.
describe('writes that time alone asks for', () => {
  it('wait for 2 s after the last one, or a twentieth of the ramp', () => {
    const paced = new PacedWrites();
    paced.wrote('a', 1000);
    for (const [rampMs, pauseMs] of [
      [1000, 2000],
      [40_000, 2000],
      [60_000, 3000],
      [3_600_000, 180_000],
    ] as const) {
      expect(paced.waitMs('a', { now: 1010, rampMs }, never)).to.equal(pauseMs - 10);
      expect(paced.waitMs('a', { now: 1000 + pauseMs, rampMs }, never)).to.equal(undefined);
    }
  });

  it('are those that would not have been asked for at the time of the last one, with what is known now', () => {
    const paced = new PacedWrites();
    paced.wrote('a', 1000);
    expect(paced.waitMs('a', { now: 1010, rampMs: 0 }, always), 'facts have changed').to.equal(undefined);
    const asked: number[] = [];
    paced.waitMs('a', { now: 1010, rampMs: 0 }, (then) => asked.push(then) < 0);
    expect(asked).to.deep.equal([1000]);
  });

  it('do not wait where this term has written nothing yet, or the object was forgotten', () => {
    const paced = new PacedWrites();
    paced.wrote('a', 1000);
    expect(paced.waitMs('b', { now: 1010, rampMs: 0 }, never)).to.equal(undefined);
    paced.forget('a');
    expect(paced.waitMs('a', { now: 1010, rampMs: 0 }, never)).to.equal(undefined);
  });
});
