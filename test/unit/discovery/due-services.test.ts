import { expect } from 'chai';
import { DueServices } from '../../../src/discovery/due-services.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';

// 2,000 HTTPRoutes of one Service kept a gateway busy for 25 s: it looked at all of them for each of them.
describe('Services whose routes have changed', () => {
  let clock: VirtualClock;
  let looks: string[];
  let costMs: number;
  let due: DueServices;

  beforeEach(() => {
    clock = new VirtualClock();
    looks = [];
    costMs = 0;
    let spent = 0;
    const timed = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic() + spent,
      after: clock.after.bind(clock),
    };
    const look = (key: string) => {
      looks.push(key);
      spent += costMs;
    };
    due = new DueServices({ clock: timed as never, look });
  });
  afterEach(() => due.stop());

  it('are looked at once for all changes of a turn', async () => {
    for (let change = 0; change < 1000; change++) due.add('demo/web');
    await settle();
    expect(looks).to.deep.equal(['demo/web']);
  });

  it('are looked at in several turns where that takes long', async () => {
    costMs = 3;
    for (const name of ['a', 'b', 'c', 'd']) due.add(`demo/${name}`);
    await settle();
    expect(looks).to.deep.equal(['demo/a', 'demo/b']);
    await clock.advance(0);
    await settle();
    expect(looks).to.deep.equal(['demo/a', 'demo/b', 'demo/c', 'demo/d']);
  });

  // A cluster that is lost tells of its mirrors one by one: each was a small part, and all of them one turn.
  it('are looked at in several turns where many changes of one turn come one by one', async () => {
    costMs = 3;
    for (const name of ['a', 'b', 'c', 'd']) {
      due.add(`demo/${name}`);
      await settle();
    }
    expect(looks).to.deep.equal(['demo/a', 'demo/b']);
    await clock.advance(0);
    await settle();
    expect(looks).to.deep.equal(['demo/a', 'demo/b', 'demo/c', 'demo/d']);
  });

  it('take a tenth of the time at most, and are not forgotten', async () => {
    costMs = 20;
    due.add('demo/web');
    await settle();
    due.add('demo/web');
    await clock.advance(170);
    await settle();
    expect(looks).to.have.length(1);
    await clock.advance(20);
    await settle();
    expect(looks).to.have.length(2);
  });

  // A gateway was ready before the routes that it had listed were followed.
  it('have settled when all that was due then was looked at, whatever changes meanwhile', async () => {
    costMs = 3;
    for (const name of ['a', 'b', 'c']) due.add(`demo/${name}`);
    expect(due.settles()).to.equal(false);
    await settle();
    expect([looks.length, due.settles()]).to.deep.equal([2, false]);
    due.add('demo/a');
    await clock.advance(0);
    await settle();
    expect(due.settles()).to.equal(true);
  });
});
