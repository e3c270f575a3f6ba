import { expect } from 'chai';
import { EventLoopTurn } from '../../../../src/proxy/io/event-loop-turn.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

describe('a turn of the event loop', () => {
  let clock: VirtualClock;
  let ends: (() => void)[];
  let turn: EventLoopTurn;
  beforeEach(() => {
    clock = new VirtualClock();
    ends = [];
    turn = new EventLoopTurn(clock, (end) => ends.push(end));
  });
  const end = () => ends.splice(0).forEach((one) => one());

  it('flushes at its end what was sent in it, and what that sends in the next', () => {
    const flushed: string[] = [];
    const second = { flushContained: () => void flushed.push('second') };
    const first = {
      flushContained() {
        flushed.push('first');
        turn.flushAtEnd(second);
      },
    };
    turn.flushAtEnd(first);
    turn.read();
    expect(ends).to.have.length(1);
    end();
    expect(flushed).to.deep.equal(['first']);
    end();
    expect(flushed).to.deep.equal(['first', 'second']);
    expect(ends).to.have.length(0);
  });

  // What came while others were served was taken for as young as it looked.
  it('says how long what is read in it, and in the next, may have waited', async () => {
    expect(turn.lagMs()).to.equal(0);
    turn.read();
    await clock.advance(20);
    turn.read();
    expect(turn.lagMs()).to.equal(20);
    await clock.advance(10);
    end();
    expect(turn.lagMs()).to.equal(30);
    turn.read();
    await clock.advance(1);
    expect(turn.lagMs()).to.equal(31);
    end();
    turn.read();
    expect(turn.lagMs()).to.equal(1);
  });

  it('is over where a flush throws that nobody contains', () => {
    turn.flushAtEnd({
      flushContained() {
        throw new Error('thrown');
      },
    });
    turn.read();
    expect(end).to.throw('thrown');
    turn.read();
    expect(ends).to.have.length(1);
  });
});
