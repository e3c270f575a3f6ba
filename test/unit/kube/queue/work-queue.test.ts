import { expect } from 'chai';
import fc from 'fast-check';
import { WorkQueue } from '../../../../src/kube/queue/work-queue.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });

function queue(handler: (key: string) => Promise<void>, concurrency = 1) {
  const clock = new VirtualClock();
  const work = new WorkQueue({
    handler,
    concurrency,
    backoff: { minMs: 100, maxMs: 1000, jitter: 0 },
    clock,
    random: () => 0,
    log,
  });
  return { work, clock };
}

describe('work queue', () => {
  it('handles a key once, however often it is added before its turn', async () => {
    const done: string[] = [];
    const { work } = queue(async (key) => void done.push(key));
    for (const key of ['a', 'b', 'a', 'a']) work.add(key);
    await work.idle();
    expect(done).to.deep.equal(['a', 'b']);
  });

  it('takes higher priorities first, and raises a key that is added again', async () => {
    const done: string[] = [];
    const { work } = queue(async (key) => void done.push(key));
    for (const key of ['a', 'b', 'c']) work.add(key);
    work.add('c', 10);
    await work.idle();
    expect(done).to.deep.equal(['c', 'a', 'b']);
  });

  it('never handles one key twice at a time, and again after when it was added meanwhile', async () => {
    const running = new Set<string>();
    let runs = 0;
    const { work } = queue(async (key) => {
      expect(running.has(key)).to.equal(false);
      running.add(key);
      if (++runs === 1) work.add(key);
      await settle();
      running.delete(key);
    }, 4);
    work.add('a');
    await work.idle();
    expect(runs).to.equal(2);
  });

  it('brings a failed key back after a growing delay, for ever', async () => {
    let runs = 0;
    const { work, clock } = queue(async () => {
      if (++runs < 6) throw new Error('not yet');
    });
    work.add('a');
    await settle();
    expect(runs).to.equal(1);
    await clock.advance(100);
    expect(runs).to.equal(2);
    await clock.advance(199);
    expect(runs).to.equal(2);
    await clock.advance(5000);
    expect(runs).to.equal(6);
  });

  it('loses no key', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 0, max: 3 }))),
        async (adds) => {
          const done = new Set<string>();
          const { work } = queue(async (key) => void done.add(key), 2);
          for (const [key, priority] of adds) work.add(key, priority);
          await work.idle();
          return adds.every(([key]) => done.has(key));
        },
      ),
    );
  });

  it('waits for what is being worked on when it is stopped, and does no more', async () => {
    const done: string[] = [];
    const { work } = queue(async (key) => {
      await settle();
      done.push(key);
    });
    work.add('a');
    work.add('b');
    await Promise.resolve();
    await work.stop();
    expect(done).to.deep.equal(['a']);
  });
});
