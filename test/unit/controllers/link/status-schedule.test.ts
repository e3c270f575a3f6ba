import { expect } from 'chai';
import { reportContainedTo } from '../../../../src/base/isolation.ts';
import { StatusSchedule, type StatusTurn } from '../../../../src/controllers/link/status-schedule.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

describe('when a Link’s status is worked out', () => {
  function start() {
    const clock = new VirtualClock();
    const turns: number[] = [];
    const answers: StatusTurn[] = [];
    const began = clock.now();
    const work = async (): Promise<StatusTurn> => {
      await Promise.resolve();
      turns.push(clock.now() - began);
      return answers.shift() ?? { failed: false };
    };
    const schedule = new StatusSchedule({ clock, random: () => 1, work });
    return { clock, turns, answers, schedule, now: () => clock.now() - began };
  }

  // It was each second, whatever had happened.
  it('is never without a reason, and then soon, once for all that changes together', async () => {
    const { clock, turns, schedule } = start();
    await clock.advance(3_600_000);
    expect([turns, clock.pending]).to.deep.equal([[], 0]);
    for (let at = 0; at < 50; at++) schedule.mark();
    await clock.advance(3_600_000);
    expect(turns).to.deep.equal([3_600_100]);
    expect(clock.pending).to.equal(0);
  });

  it('is once a second where something changes all the time, and after the last change', async () => {
    const { clock, turns, schedule } = start();
    for (let at = 0; at < 50; at++) {
      schedule.mark();
      await clock.advance(50);
    }
    await clock.advance(10_000);
    expect(turns).to.deep.equal([100, 1100, 2100, 3100]);
  });

  it('is again with back-off after a failure, whatever is marked meanwhile', async () => {
    const { clock, turns, answers, schedule } = start();
    answers.push(...Array.from({ length: 7 }, () => ({ failed: true })));
    schedule.mark();
    for (let at = 0; at < 200; at++) {
      schedule.mark();
      await clock.advance(1000);
    }
    const pauses = turns.map((at, index) => at - (turns[index - 1] ?? at)).slice(1, 8);
    expect(pauses).to.deep.equal([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  });

  it('counts failures in a row only', async () => {
    const { clock, turns, answers, schedule } = start();
    answers.push({ failed: true }, { failed: true }, { failed: false }, { failed: true });
    schedule.mark();
    await clock.advance(10_000);
    schedule.mark();
    await clock.advance(10_000);
    expect(turns).to.deep.equal([100, 1100, 3100, 10_100, 11_100]);
  });

  it('is when what had to wait may be written', async () => {
    const { clock, turns, answers, schedule } = start();
    answers.push({ failed: false, againMs: 5000 });
    schedule.mark();
    await clock.advance(3_600_000);
    expect(turns).to.deep.equal([100, 5100]);
  });

  it('is at the moment at which time alone changes it, once, also weeks away', async () => {
    const { clock, turns, answers, schedule, now } = start();
    const weeks = 40 * 86_400_000;
    answers.push({ failed: false, changesAt: clock.now() + weeks });
    schedule.mark();
    await clock.advance(weeks - 1000);
    expect(turns).to.deep.equal([100]);
    await clock.advance(5000);
    expect(turns).to.deep.equal([100, weeks]);
    expect(now()).to.be.above(weeks);
    expect(clock.pending).to.equal(0);
  });

  // A moment that was there already while the status may not be worked out yet was looked for all the time.
  it('waits for its second also where the moment is past', async () => {
    const { clock, turns, answers, schedule } = start();
    answers.push({ failed: false, changesAt: clock.now() });
    schedule.mark();
    await clock.advance(10_000);
    expect(turns).to.deep.equal([100, 1100]);
  });

  // The schedule waited for ever for the end of a turn that had thrown.
  it('is again with back-off also where it cannot even be worked out', async () => {
    const clock = new VirtualClock();
    const reported: unknown[] = [];
    const back = reportContainedTo((error) => reported.push(error));
    let turns = 0;
    const work = (): Promise<StatusTurn> =>
      ++turns < 3 ? Promise.reject(new Error('a mistake of ours')) : Promise.resolve({ failed: false });
    const schedule = new StatusSchedule({ clock, random: () => 1, work });
    schedule.mark();
    await clock.advance(60_000);
    back();
    expect([turns, reported.length, clock.pending]).to.deep.equal([3, 2, 0]);
  });

  it('is not any more after the end, and again when it goes on', async () => {
    const { clock, turns, schedule } = start();
    schedule.mark();
    schedule.stop();
    schedule.mark();
    await clock.advance(10_000);
    expect(turns).to.deep.equal([]);
    schedule.resume();
    await clock.advance(10_000);
    expect(turns).to.deep.equal([10_100]);
  });
});
