import { expect } from 'chai';
import { Backlog } from '../../../../src/controllers/link/backlog.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

describe('the backlog of a Link', () => {
  function start() {
    const clock = new VirtualClock();
    const told: string[] = [];
    let depth = 0;
    const backlog: Backlog = new Backlog({
      clock,
      depth: () => depth,
      onLasting: () => told.push(backlog.lasting ? 'lasting' : 'worked off'),
      onIdle: () => told.push('idle'),
    });
    const to = (next: number) => {
      depth = next;
      backlog.changed();
    };
    return { clock, told, backlog, to };
  }

  // Every ten minutes all is looked at again; a poll that came just then wrote `Mirroring`, and a second
  // later that nothing was to do.
  it('is no news where it is worked off within a second', async () => {
    const { clock, told, to } = start();
    to(2000);
    await clock.advance(900);
    to(0);
    await clock.advance(5000);
    expect(told).to.deep.equal(['idle']);
  });

  it('is told when it lasts, whatever becomes of it meanwhile, and when it is worked off', async () => {
    const { clock, told, backlog, to } = start();
    to(1);
    await clock.advance(500);
    to(2);
    await clock.advance(500);
    expect([told, backlog.lasting]).to.deep.equal([['lasting'], true]);
    to(1);
    to(0);
    expect([told, backlog.lasting]).to.deep.equal([['lasting', 'worked off', 'idle'], false]);
  });

  it('is nobody’s any more after the end', async () => {
    const { clock, told, backlog, to } = start();
    to(1);
    backlog.stop();
    await clock.advance(5000);
    to(0);
    expect(told).to.deep.equal([]);
  });
});
