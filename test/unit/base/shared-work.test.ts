import { expect } from 'chai';
import { SharedWork } from '../../../src/base/shared-work.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

/**
 * `/try` of an admin port made a TLS handshake with every gateway for each request: whoever reached the port
 * made the process work as much as they liked.
 */
describe('work that is shared by all who ask for it', () => {
  function start() {
    const clock = new VirtualClock();
    const shared = new SharedWork<string>({ clock, keepMs: 1000, concurrency: 2 });
    const log = { begun: [] as string[], running: 0, most: 0 };
    const ask = (key: string, fail = false) =>
      shared.run(key, async () => {
        log.begun.push(key);
        log.most = Math.max(log.most, ++log.running);
        await new Promise<void>((resolve) => clock.after(100, resolve));
        log.running--;
        if (fail) throw new Error('no');
        return `${key} ${log.begun.length}`;
      });
    return { clock, log, ask };
  }

  it('is done once for those who ask at the same time and shortly after, then anew', async () => {
    const { clock, log, ask } = start();
    const asked = Array.from({ length: 1000 }, () => ask('a'));
    await clock.advance(100);
    expect(new Set(await Promise.all(asked))).to.deep.equal(new Set(['a 1']));
    await clock.advance(900);
    expect(await ask('a')).to.equal('a 1');
    expect(log.begun).to.deep.equal(['a']);
    await clock.advance(200);
    const again = ask('a');
    await clock.advance(100);
    expect(await again).to.equal('a 2');
  });

  it('is under way for a few at a time, each in its turn', async () => {
    const { clock, log, ask } = start();
    const asked = ['a', 'b', 'c', 'd', 'e'].map((key) => ask(key));
    await clock.advance(1000);
    await Promise.all(asked);
    expect(log.begun).to.deep.equal(['a', 'b', 'c', 'd', 'e']);
    expect(log.most).to.equal(2);
  });

  it('is not kept when it failed, and gives its place to the next', async () => {
    const { clock, log, ask } = start();
    const failed = Promise.allSettled([ask('a', true), ask('b', true), ask('c')]);
    await clock.advance(1000);
    expect((await failed).map(({ status }) => status)).to.deep.equal(['rejected', 'rejected', 'fulfilled']);
    const again = ask('a');
    await clock.advance(100);
    await again;
    expect(log.begun).to.deep.equal(['a', 'b', 'c', 'a']);
  });
});
