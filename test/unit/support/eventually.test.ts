import { expect } from 'chai';
import { EventEmitter } from 'node:events';
import { eventually } from '../../support/eventually.ts';

/** Keeps this thread from everything, as a machine does that runs something else. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

describe('eventually', () => {
  // With both cores busy, a process got the machine once a second: conditions with five seconds of patience
  // were looked at five times, and tests failed for what came a moment later.
  it('does not count that the machine was busy in a pause', async () => {
    let looked = 0;
    const probe = () => {
      setImmediate(() => stall(60));
      return ++looked === 8;
    };
    await eventually('it holds', probe, { timeoutMs: 100, everyMs: 1 });
    expect(looked).to.equal(8);
  });

  it('counts what the look itself takes, and fails with the last reason', async () => {
    const probe = () => {
      stall(60);
      throw new Error('not yet');
    };
    const failure: unknown = await eventually('it holds', probe, { timeoutMs: 100, everyMs: 1 }).catch(
      (error: unknown) => error,
    );
    expect(failure).to.be.an('error').with.property('message', 'timed out waiting: it holds');
    expect((failure as Error).cause).to.have.property('message', 'not yet');
  });

  // Whole runs of verbs were begun again after a twentieth of a second.
  it('rests for longer than a look takes', async () => {
    let looked = 0;
    const probe = () => {
      looked++;
      stall(20);
      return false;
    };
    const failure: unknown = await eventually('it holds', probe, { timeoutMs: 200, everyMs: 1 }).catch(
      (error: unknown) => error,
    );
    expect(failure).to.be.an('error').with.property('message', 'timed out waiting: it holds');
    expect(looked).to.be.within(2, 5);
  });

  it('counts pauses that an event cuts short as long as they were', async () => {
    const source = new EventEmitter();
    let looked = 0;
    const probe = () => {
      setImmediate(() => source.emit('data'));
      return ++looked === 50;
    };
    await eventually('it holds', probe, { timeoutMs: 1000, everyMs: 100, source, events: ['data'] });
    expect(looked).to.equal(50);
  });
});
