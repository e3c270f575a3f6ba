import { expect } from 'chai';
import fc from 'fast-check';
import { WorkQueue } from '../../../../src/kube/queue/work-queue.ts';
import { WorkerPool } from '../../../../src/kube/queue/worker-pool.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });

function queueOn(
  pool: WorkerPool | undefined,
  handler: (key: string, signal: AbortSignal) => Promise<void>,
  concurrency = 1,
  clock = new VirtualClock(),
) {
  return new WorkQueue({
    handler,
    concurrency,
    backoff: { minMs: 100, maxMs: 1000, jitter: 0 },
    clock,
    random: () => 0,
    log,
    ...(pool === undefined ? {} : { pool }),
  });
}

const numbered = (count: number) => Array.from({ length: count }, (_, i) => `k${i}`);

/** A peer that floods its queue must not slow another: its share is bounded, and free places go round. */
describe('worker pool', () => {
  it('serves a queue with one key within one round although another has 10,000', async () => {
    const done: string[] = [];
    const pool = new WorkerPool({ size: 1 });
    const flood = queueOn(pool, async () => void done.push('flood'));
    const other = queueOn(pool, async () => {
      done.push('other');
    });
    for (const key of numbered(10_000)) flood.add(key);
    other.add('single');
    await Promise.all([flood.idle(), other.idle()]);
    expect(done.slice(0, 2)).to.deep.equal(['flood', 'other']);
    expect(done).to.have.length(10_001);
  });

  it('serves one that comes late with the next free place', async () => {
    const done: string[] = [];
    const pool = new WorkerPool({ size: 1 });
    const other = queueOn(pool, async () => void done.push('other'));
    const flood = queueOn(pool, async (key) => {
      done.push(key);
      if (done.length === 5) other.add('single');
    });
    for (const key of numbered(100)) flood.add(key);
    await Promise.all([flood.idle(), other.idle()]);
    expect(done.indexOf('other')).to.be.at.most(6);
  });

  it('gives places in turn among queues of equal priority', async () => {
    const done: string[] = [];
    const pool = new WorkerPool({ size: 1 });
    const queues = ['a', 'b', 'c'].map((name) => queueOn(pool, async () => void done.push(name)));
    for (const queue of queues) for (const key of numbered(3)) queue.add(key);
    await Promise.all(queues.map((queue) => queue.idle()));
    expect(done.join('')).to.equal('abcabcabc');
  });

  it('uses every place, also for one queue alone', async () => {
    const pool = new WorkerPool({ size: 4 });
    let running = 0;
    let most = 0;
    const work = queueOn(
      pool,
      async () => {
        most = Math.max(most, ++running);
        await settle(1);
        running--;
      },
      4,
    );
    for (const key of numbered(9)) work.add(key);
    await work.idle();
    expect(most).to.equal(4);
  });

  it('shares the places of one moment between queues', async () => {
    const begun: string[] = [];
    const pool = new WorkerPool({ size: 3 });
    const queues = ['a', 'b', 'c'].map((name) =>
      queueOn(
        pool,
        async () => {
          begun.push(name);
          await settle(1);
        },
        3,
      ),
    );
    for (const queue of queues) for (const key of numbered(3)) queue.add(key);
    await Promise.resolve();
    expect(begun).to.deep.equal(['a', 'b', 'c']);
    await Promise.all(queues.map((queue) => queue.idle()));
  });

  it('gives a free place to the highest priority over all queues', async () => {
    const done: string[] = [];
    const pool = new WorkerPool({ size: 1 });
    const bulk = queueOn(pool, async (key) => void done.push(key));
    const urgent = queueOn(pool, async (key) => void done.push(key));
    for (const key of ['x', 'y']) bulk.add(key);
    for (const key of ['1', '2', '3']) urgent.add(key, 10);
    await Promise.all([bulk.idle(), urgent.idle()]);
    expect(done).to.deep.equal(['1', '3', '2', 'x', 'y']);
  });

  it('lets go of a queue that is stopped, and of the place that it had', async () => {
    const done: string[] = [];
    const pool = new WorkerPool({ size: 1 });
    const stuck = queueOn(
      pool,
      (_, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    );
    const other = queueOn(pool, async (key) => void done.push(key));
    for (const key of numbered(3)) stuck.add(key);
    await settle();
    other.add('single');
    await settle();
    expect(done).to.deep.equal([]);
    await stuck.stop();
    await other.idle();
    expect(done).to.deep.equal(['single']);
    expect(pool.running).to.equal(0);
  });

  it('holds both bounds, loses nothing and never has one key twice in hand, whatever is added and fails', async () => {
    const operation = fc.record({
      queue: fc.nat({ max: 3 }),
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      priority: fc.nat({ max: 2 }),
      turns: fc.nat({ max: 2 }),
      fails: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { maxLength: 40 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 3 }),
        async (operations, size, concurrency) => {
          const pool = new WorkerPool({ size });
          const clock = new VirtualClock();
          const running = [0, 1, 2, 3].map(() => new Set<string>());
          const toFail = new Set<string>();
          const owed = new Set<string>();
          const queues = running.map((mine, index) =>
            queueOn(
              pool,
              async (key) => {
                expect(mine.has(key), 'one key twice in hand').to.equal(false);
                mine.add(key);
                owed.delete(`${index}${key}`);
                expect(mine.size).to.be.at.most(concurrency);
                expect(running.reduce((sum, { size: n }) => sum + n, 0)).to.be.at.most(size);
                await settle(1);
                mine.delete(key);
                if (!toFail.delete(`${index}${key}`)) return;
                owed.add(`${index}${key}`);
                throw new Error('not yet');
              },
              concurrency,
              clock,
            ),
          );
          for (const { queue, key, priority, turns, fails } of operations) {
            owed.add(`${queue}${key}`);
            if (fails) toFail.add(`${queue}${key}`);
            queues[queue]?.add(key, priority);
            await settle(turns);
          }
          for (let i = 0; i < 8; i++) {
            await Promise.all(queues.map((queue) => queue.idle()));
            await clock.advance(1000);
          }
          expect([...owed]).to.deep.equal([]);
          expect(pool.running).to.equal(0);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('work queue order', () => {
  it('takes the oldest and the newest key in turn', async () => {
    const done: string[] = [];
    const work = queueOn(undefined, async (key) => void done.push(key));
    for (const key of ['1', '2', '3', '4', '5']) work.add(key);
    await work.idle();
    expect(done.join('')).to.equal('15243');
  });

  it('serves a change that comes late within two turns although 5,000 wait', async () => {
    const done: string[] = [];
    const work = queueOn(undefined, async (key) => {
      done.push(key);
      if (done.length === 100) work.add('late');
    });
    for (const key of numbered(5000)) work.add(key);
    await work.idle();
    expect(done.indexOf('late')).to.be.within(100, 101);
    expect(done).to.have.length(5001);
  });

  it('never takes a lower priority while a higher one waits', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(fc.string({ minLength: 1 }), fc.nat({ max: 4 })), {
          selector: ([key]) => key,
        }),
        async (adds) => {
          const done: string[] = [];
          const work = queueOn(undefined, async (key) => void done.push(key));
          for (const [key, priority] of adds) work.add(key, priority);
          await work.idle();
          const priorities = new Map(adds);
          const order = done.map((key) => priorities.get(key) ?? -1);
          expect(order).to.deep.equal([...order].sort((a, b) => b - a));
          expect(new Set(done)).to.deep.equal(new Set(priorities.keys()));
        },
      ),
    );
  });

  it('brings a failed key back with its priority', async () => {
    const done: string[] = [];
    const clock = new VirtualClock();
    let failed = false;
    let release = (): void => undefined;
    const work = queueOn(
      undefined,
      async (key) => {
        if (key === 'urgent' && !failed) {
          failed = true;
          throw new Error('not yet');
        }
        if (key === 'slow') await new Promise<void>((resolve) => (release = resolve));
        done.push(key);
      },
      1,
      clock,
    );
    work.add('urgent', 10);
    work.add('slow');
    for (const key of numbered(5)) work.add(key);
    await clock.advance(100);
    release();
    await work.idle();
    expect(done.slice(0, 2)).to.deep.equal(['slow', 'urgent']);
  });

  it('says for how long the longest work has been going on, 0 when idle', async () => {
    const clock = new VirtualClock();
    const ends: (() => void)[] = [];
    const work = queueOn(undefined, () => new Promise((resolve) => ends.push(resolve)), 2, clock);
    expect(work.oldestRunningMs).to.equal(0);
    work.add('a');
    await clock.advance(1000);
    work.add('b');
    await clock.advance(500);
    expect(work.oldestRunningMs).to.equal(1500);
    ends[0]?.();
    await settle();
    expect(work.oldestRunningMs).to.equal(500);
    ends[1]?.();
    await settle();
    expect(work.oldestRunningMs).to.equal(0);
  });

  it('tells who waits for idle when it is stopped before anything began', async () => {
    const work = queueOn(undefined, async () => undefined);
    work.add('a');
    const idle = work.idle();
    await work.stop();
    await idle;
  });
});
