import { expect } from 'chai';
import { inParallel } from '../../../src/base/in-parallel.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

describe('work in parallel', () => {
  /** Work that takes as many milliseconds as the item says; negative: it fails then. */
  function start(items: readonly number[], limit: number) {
    const clock = new VirtualClock();
    const log = { begun: [] as number[], ended: [] as number[], most: 0 };
    const outcome = inParallel(items, limit, async (item) => {
      log.begun.push(item);
      log.most = Math.max(log.most, log.begun.length - log.ended.length);
      await new Promise<void>((resolve) => clock.after(Math.abs(item), resolve));
      log.ended.push(item);
      if (item < 0) throw new Error(`no ${item}`);
      return item * 2;
    });
    const message = outcome.then(
      () => 'none',
      (error: unknown) => String(error),
    );
    return { clock, log, outcome, message };
  }

  it('is a few at once, begun in order, with outcomes in the order of the items', async () => {
    const { clock, log, outcome } = start([30, 10, 20, 5], 2);
    await clock.advance(100);
    expect(await outcome).to.deep.equal([60, 20, 40, 10]);
    expect(log.begun).to.deep.equal([30, 10, 20, 5]);
    expect(log.most).to.equal(2);
    expect(await inParallel([], 2, () => Promise.reject(new Error('asked')))).to.deep.equal([]);
  });

  // A deletion that was given up went on in the background, while the person read that it had failed.
  it('begins nothing after a failure, and fails when what was under way has ended', async () => {
    const { clock, log, message } = start([10, -20, 50, 40, 1, 1, 1], 3);
    let ended = false;
    void message.then(() => (ended = true));
    await clock.advance(49);
    expect([log.begun, log.ended, ended]).to.deep.equal([[10, -20, 50, 40], [10, -20], false]);
    await clock.advance(100);
    expect(await message).to.equal('Error: no -20');
    expect(log.ended).to.deep.equal([10, -20, 50, 40]);
    expect(log.begun).to.have.lengthOf(4);
  });

  // p-queue's `clear()` rejects what waits with an AbortError of its own, which came before the failure.
  it('fails with the first of several failures, whatever waits', async () => {
    const { clock, message } = start([-30, -10, -20, 1, 1], 3);
    await clock.advance(100);
    expect(await message).to.equal('Error: no -10');
  });

  it('fails with what is thrown before there is a promise', async () => {
    const begun: number[] = [];
    const work = (item: number): Promise<void> => {
      begun.push(item);
      throw new Error(`no ${item}`);
    };
    const failed = inParallel([1, 2, 3], 1, work).catch((error: unknown) => String(error));
    expect(await failed).to.equal('Error: no 1');
    expect(begun).to.deep.equal([1]);
  });
});
