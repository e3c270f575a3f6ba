import { expect } from 'chai';
import { statusError } from '../../../../src/kube/client/api-error.ts';
import { EventRecorder, type EventRecorderOptions } from '../../../../src/kube/events/event-recorder.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

interface Written {
  readonly verb: 'create' | 'patch';
  readonly at: number;
  readonly namespace: string;
  readonly name: string;
  readonly message?: string;
  readonly count: number;
}

function status(code: number, reason: string): Error {
  return statusError(code, JSON.stringify({ kind: 'Status', reason, message: reason }), 'event', undefined);
}

class Cluster {
  readonly clock = new VirtualClock();
  readonly captured = captureLog();
  readonly written: Written[] = [];
  /** What a write in this namespace is answered with. */
  readonly refusals = new Map<string, Error>();
  hangs = false;
  readonly recorder: EventRecorder;
  readonly #start = this.clock.monotonic();

  constructor() {
    type Body = { metadata: { namespace: string; name: string }; message: string; count: number };
    const client = {
      create: (_: unknown, { metadata, message, count }: Body, { signal }: { signal: AbortSignal }) =>
        this.#do({ verb: 'create', at: this.#now, ...metadata, message, count }, signal),
      patch: (
        _: unknown,
        ref: { namespace: string; name: string },
        { count }: { count: number },
        { signal }: { signal: AbortSignal },
      ) => this.#do({ verb: 'patch', at: this.#now, ...ref, count }, signal),
    };
    this.recorder = new EventRecorder({
      client: client as unknown as EventRecorderOptions['client'],
      component: 'test',
      instance: 'test-1',
      clock: this.clock,
      log: this.captured.log,
    });
  }

  say(message: string, namespace = 'demo'): void {
    const regarding = { kind: 'Link', namespace, name: 'east', uid: 'u1' };
    this.recorder.record({ regarding, type: 'Warning', reason: 'Test', message });
  }

  lines(level: string) {
    return this.captured.lines.filter((line) => line.level === level);
  }

  get #now(): number {
    return this.clock.monotonic() - this.#start;
  }

  async #do(write: Written, signal: AbortSignal): Promise<void> {
    if (this.hangs) {
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    }
    await Promise.resolve();
    const refusal = this.refusals.get(write.namespace);
    if (refusal !== undefined) throw refusal;
    this.written.push(write);
  }
}

describe('event recorder', () => {
  it('writes in order', async () => {
    const cluster = new Cluster();
    for (const message of ['a', 'b', 'c']) cluster.say(message);
    await cluster.recorder.flush();
    expect(cluster.written.map(({ message }) => message)).to.deep.equal(['a', 'b', 'c']);
  });

  it('counts the same note while it waits, and writes it once', async () => {
    const cluster = new Cluster();
    for (const message of ['a', 'b', 'a', 'a']) cluster.say(message);
    await cluster.recorder.flush();
    expect(cluster.written.map(({ message, count }) => [message, count])).to.deep.equal([
      ['a', 3],
      ['b', 1],
    ]);
  });

  it('raises the count of what was written in the last ten minutes, and writes anew after', async () => {
    const cluster = new Cluster();
    for (const wait of [1000, 1000, 600_000]) {
      cluster.say('a');
      await cluster.clock.advance(wait);
    }
    cluster.say('a');
    await cluster.recorder.flush();
    expect(cluster.written.map(({ verb, count }) => [verb, count])).to.deep.equal([
      ['create', 1],
      ['patch', 2],
      ['patch', 3],
      ['create', 1],
    ]);
  });

  it('writes anew what somebody has deleted meanwhile', async () => {
    const cluster = new Cluster();
    cluster.say('a');
    await cluster.recorder.flush();
    cluster.refusals.set('demo', status(404, 'NotFound'));
    cluster.say('a');
    await cluster.recorder.flush();
    cluster.refusals.clear();
    cluster.say('a');
    await cluster.recorder.flush();
    expect(cluster.written.map(({ verb }) => verb)).to.deep.equal(['create', 'create']);
  });

  it('writes 20 at once and then 20 a second', async () => {
    const cluster = new Cluster();
    for (let i = 0; i < 100; i++) cluster.say(`note ${i}`);
    await cluster.clock.advance(0);
    expect(cluster.written).to.have.length(20);
    await cluster.clock.advance(1000);
    expect(cluster.written).to.have.length(40);
    await cluster.clock.advance(3000);
    expect(cluster.written.map(({ message }) => message)).to.deep.equal(
      Array.from({ length: 100 }, (_, i) => `note ${i}`),
    );
  });

  for (const [what, refusal] of [
    ['forbids', status(403, 'Forbidden')],
    ['no longer has the namespace', status(404, 'NotFound')],
    ['cannot be reached', new Error('unreachable')],
  ] as const) {
    it(`warns once where the API server ${what}, and goes on elsewhere`, async () => {
      const cluster = new Cluster();
      cluster.refusals.set('gone', refusal);
      for (let i = 0; i < 10; i++) {
        cluster.say(`note ${i}`, 'gone');
        cluster.say(`note ${i}`, 'demo');
      }
      await cluster.recorder.flush();
      expect(cluster.lines('warn')).to.have.length(1);
      expect(cluster.lines('warn')[0]).to.include({ namespace: 'gone', msg: 'event not written' });
      expect(cluster.lines('debug')).to.have.length(9);
      expect(cluster.written).to.have.length(10);
    });
  }

  it('warns again when it fails after it had worked', async () => {
    const cluster = new Cluster();
    for (const refused of [true, false, true]) {
      if (refused) cluster.refusals.set('demo', status(403, 'Forbidden'));
      else cluster.refusals.clear();
      cluster.say(`refused: ${refused} ${cluster.written.length}`);
      await cluster.recorder.flush();
    }
    expect(cluster.lines('warn')).to.have.length(2);
  });

  it('drops the oldest of a flood and says once how many', async () => {
    const cluster = new Cluster();
    for (let i = 0; i < 700; i++) cluster.say(`note ${i}`);
    expect(cluster.recorder.depth).to.equal(500);
    await cluster.clock.advance(30_000);
    expect(cluster.written).to.have.length(500);
    expect(cluster.written[0]?.message).to.equal('note 200');
    expect(cluster.lines('warn')).to.have.length(1);
    expect(cluster.lines('warn')[0]).to.include({ dropped: 200 });
  });

  it('does not hold up the end of the process', async () => {
    const cluster = new Cluster();
    cluster.hangs = true;
    for (let i = 0; i < 10; i++) cluster.say(`note ${i}`);
    await settle();
    const flushed = cluster.recorder.flush(2000);
    await cluster.clock.advance(2000);
    await flushed;
    expect(cluster.lines('warn')).to.have.length(1);
    expect(cluster.lines('warn')[0]).to.include({ dropped: 9 });
    expect(cluster.clock.pending).to.equal(0);
  });

  it('goes on after a flush that gave up', async () => {
    const cluster = new Cluster();
    cluster.hangs = true;
    cluster.say('lost');
    const flushed = cluster.recorder.flush(2000);
    await cluster.clock.advance(2000);
    await flushed;
    cluster.hangs = false;
    cluster.say('kept');
    await cluster.recorder.flush();
    expect(cluster.written.map(({ message }) => message)).to.deep.equal(['kept']);
  });
});
