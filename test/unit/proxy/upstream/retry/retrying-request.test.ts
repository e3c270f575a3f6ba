import { expect } from 'chai';
import type { RequestRules } from '../../../../../src/policy/requests/request-rules.ts';
import type {
  Framing,
  OutgoingRequest,
  Upstream,
  UpstreamHandler,
} from '../../../../../src/proxy/http/messages.ts';
import { ProxyCounters } from '../../../../../src/proxy/metrics/counters.ts';
import { ProxyFailure } from '../../../../../src/proxy/http/failures.ts';
import { EarlierTries } from '../../../../../src/proxy/upstream/retry/earlier-tries.ts';
import { RequestPolicy } from '../../../../../src/proxy/upstream/retry/policy.ts';
import { MAX_UNSEEN, ReplayRoom } from '../../../../../src/proxy/upstream/retry/replay-body.ts';
import { RetryingRequest } from '../../../../../src/proxy/upstream/retry/retrying-request.ts';
import { settle, VirtualClock } from '../../../../support/virtual-clock.ts';

const RETRY: RequestRules = { retry: { statuses: [{ min: 500, max: 599 }], grpc: [], limit: 2 } };
const NO_BUDGET = { ratio: 0, minPerSecond: 0, ttlMs: 10_000 };

/** A try as the endpoint sees it. */
class FakeTry implements Upstream {
  readonly endpoint = '10.0.0.1:80';
  readonly handler: UpstreamHandler;
  readonly got: Buffer[] = [];
  ended = false;
  /** `client` or `endpoint`: by whose doing it was given up. */
  left: string | undefined;
  /** Bytes are taken, and sent later. */
  slow = false;
  consumedBytes = 0;

  constructor(handler: UpstreamHandler) {
    this.handler = handler;
  }

  write(chunk: Buffer): number {
    this.got.push(Buffer.from(chunk));
    return this.slow ? 0 : chunk.length;
  }

  end(): void {
    this.ended = true;
  }

  consumed(bytes: number): void {
    this.consumedBytes += bytes;
  }

  abandon(failed = false): void {
    this.left = failed ? 'endpoint' : 'client';
  }

  answer(status: number, ended = true): void {
    this.handler.onResponse({ status, fields: [], framing: ended ? { kind: 'none' } : { kind: 'chunked' } });
    if (ended) this.handler.onResponseEnd(undefined);
  }
}

/** Decisions about tries that depend on time and memory; the wire tests show the rest. */
describe('tries of a request', () => {
  let clock: VirtualClock;
  let counters: ProxyCounters;
  let room: ReplayRoom;
  let tries: FakeTry[];
  let heard: string[];
  let alternatives: (number | undefined)[];
  /** Connections come when they are let. */
  let hold: Promise<void> | undefined;
  let openAgain: boolean;
  /** The wait before a request that was refused unseen is sent again. */
  let again: Promise<void>;

  beforeEach(() => {
    clock = new VirtualClock();
    counters = new ProxyCounters();
    room = new ReplayRoom(100_000);
    tries = [];
    heard = [];
    alternatives = [];
    hold = undefined;
    openAgain = true;
    again = Promise.resolve();
  });

  async function begin(
    rules: RequestRules,
    framing: Framing = { kind: 'none' },
    others?: number,
  ): Promise<RetryingRequest> {
    const policy = new RequestPolicy(rules, { label: 'web:80', clock, random: () => 0, counters, room });
    const opener = {
      openAttempt: async (
        _: string,
        asked: OutgoingRequest,
        handler: UpstreamHandler,
        how: { readonly earlier: EarlierTries },
      ) => {
        expect(how.earlier).to.be.instanceOf(EarlierTries);
        alternatives.push(asked.alternatives);
        await hold;
        const one = new FakeTry(handler);
        tries.push(one);
        return one;
      },
      caught: (error: unknown) => counters.caught(error),
      mayOpenAgain: () => openAgain,
      untilOpenAgain: () => again,
    };
    const handler: UpstreamHandler = {
      onInterimResponse: (status) => void heard.push(`interim ${status}`),
      onResponse: ({ status }) => void heard.push(`${status}`),
      onResponseBody: (chunk) => void heard.push(`body ${chunk.length}`),
      onResponseEnd: () => void heard.push('end'),
      onRequestSent: (bytes) => void heard.push(`sent ${bytes}`),
      onFailure: (failure) => void heard.push(`${failure.kind}: ${failure.message}`),
    };
    const request = {
      method: 'GET',
      path: '/',
      authority: 'web',
      version: 'HTTP/1.1',
      fields: [],
      framing,
      alternatives: others,
    } as const;
    const one = new RetryingRequest({ opener, policy, protocol: 'http1', request, handler });
    one.begin();
    await settle();
    return one;
  }
  const last = (): FakeTry => {
    const one = tries.at(-1);
    if (one === undefined) throw new Error('no try');
    return one;
  };
  const retries = () => counters.route('web:80', '').retries;

  // The gateway said REFUSED_STREAM of a request whose first try an endpoint had answered, because there was
  // no endpoint for the second: the egress sent it to another cluster, whatever its method and beyond all
  // limits.
  it('tell the target of alternatives as long as no endpoint has had the request', async () => {
    await begin(RETRY, undefined, 3);
    last().handler.onFailure(new ProxyFailure('connection failed', 'REFUSED_STREAM'), true);
    await settle();
    last().answer(503);
    await clock.advance(1000);
    expect(alternatives).to.deep.equal([3, 3, undefined]);
  });

  it('pause between 25 and 250 ms, longer each time', async () => {
    await begin(RETRY);
    last().answer(503);
    await clock.advance(24);
    expect(tries).to.have.length(1);
    await clock.advance(1);
    expect(tries).to.have.length(2);
    last().answer(503);
    await clock.advance(49);
    expect(tries).to.have.length(2);
    await clock.advance(1);
    last().answer(503);
    expect(heard).to.deep.equal(['503', 'end']);
    expect(retries()).to.include({ sent: 2, exhausted: 1, succeeded: 0 });
    expect(clock.pending, 'nothing waits any more').to.equal(0);
  });

  it('end when the client leaves in a pause', async () => {
    const one = await begin(RETRY);
    last().answer(503);
    one.abandon();
    await clock.advance(10_000);
    expect([tries.length, clock.pending, heard]).to.deep.equal([1, 0, []]);
  });

  it('are not begun without a budget: what came is the answer', async () => {
    await begin({ ...RETRY, budget: NO_BUDGET });
    last().answer(503);
    expect(heard).to.deep.equal(['503', 'end']);
    expect(retries()).to.include({ sent: 0, overBudget: 1 });
  });

  it('go on when they have taken too long and there is no budget for another', async () => {
    const retry = { statuses: [], grpc: [], limit: 1, tryTimeoutMs: 100 };
    await begin({ retry, budget: NO_BUDGET });
    await clock.advance(1000);
    last().answer(200);
    expect([tries.length, heard]).to.deep.equal([1, ['200', 'end']]);
  });

  it('are given up when they take too long, by the doing of the endpoint; the last one is not', async () => {
    await begin({ retry: { statuses: [], grpc: [], limit: 1, tryTimeoutMs: 100 } });
    await clock.advance(100);
    expect(tries[0]?.left).to.equal('endpoint');
    await clock.advance(60_000);
    expect([tries.length, last().left]).to.deep.equal([2, undefined]);
    last().answer(200);
    expect(heard).to.deep.equal(['200', 'end']);
    expect(retries().succeeded).to.equal(1);
  });

  it('have their time from when the request has been sent', async () => {
    const one = await begin(
      { retry: { statuses: [], grpc: [], limit: 1, tryTimeoutMs: 100 } },
      { kind: 'chunked' },
    );
    last().slow = true;
    one.write(Buffer.from('body'));
    await clock.advance(1000);
    one.end(undefined);
    await clock.advance(1000);
    expect(tries[0]?.left).to.equal(undefined);
    last().handler.onRequestSent(4);
    await clock.advance(100);
    expect([tries[0]?.left, heard]).to.deep.equal(['endpoint', []]);
  });

  it('that come too late for the request do nothing', async () => {
    let release: () => void = () => undefined;
    hold = new Promise((resolve) => (release = resolve));
    await begin({ timeouts: { requestMs: 100 } });
    await clock.advance(100);
    expect(heard).to.deep.equal(['request timeout: web:80: no complete response within 100 ms']);
    release();
    await settle();
    expect([last().left, last().ended]).to.deep.equal(['client', false]);
  });

  it('keep the body once, and give the room back', async () => {
    const one = await begin(RETRY, { kind: 'chunked' });
    const chunk = Buffer.from('0123456789');
    expect(one.write(chunk)).to.equal(10);
    chunk.fill('x');
    one.end(undefined);
    expect(room.taken).to.equal(10);
    last().answer(503);
    await clock.advance(25);
    expect([String(Buffer.concat(last().got)), last().ended]).to.deep.equal(['0123456789', true]);
    last().answer(200);
    expect([room.taken, heard]).to.deep.equal([0, ['200', 'end']]);
  });

  it('are not repeated when there is no room for the body, and the client waits for what is not sent', async () => {
    room.take(99_995);
    let release: () => void = () => undefined;
    hold = new Promise((resolve) => (release = resolve));
    const one = await begin(RETRY, { kind: 'chunked' });
    expect([
      one.write(Buffer.from('1234')),
      one.write(Buffer.from('567')),
      one.write(Buffer.from('8')),
    ]).to.deep.equal([4, 0, 0]);
    release();
    await settle();
    expect([String(Buffer.concat(last().got)), heard]).to.deep.equal(['12345678', ['sent 4']]);
    one.end(undefined);
    last().answer(503);
    expect(heard.slice(1)).to.deep.equal(['503', 'end']);
    expect(retries().unreplayable).to.equal(1);
    expect(room.taken).to.equal(99_995);
  });

  it('that an endpoint has not begun with are sent again until there is room or time is up, and no retries', async () => {
    await begin({ timeouts: { requestMs: 1000 } });
    for (let count = 0; count < 3; count++) {
      last().handler.onFailure(new ProxyFailure('connection failed', 'web:80: gone'), true);
      await settle();
    }
    expect([tries.length, heard]).to.deep.equal([4, []]);
    openAgain = false;
    last().handler.onFailure(new ProxyFailure('connection failed', 'web:80: gone'), true);
    expect([tries.length, heard]).to.deep.equal([4, ['connection failed: web:80: gone']]);
    expect(Object.values(retries()).every((count) => count === 0)).to.equal(true);
    expect(clock.pending).to.equal(0);
  });

  it('idle time begins anew with every byte either way', async () => {
    const one = await begin({ timeouts: { idleMs: 100 } }, { kind: 'chunked' });
    for (let count = 0; count < 5; count++) {
      await clock.advance(80);
      one.write(Buffer.from('x'));
    }
    one.end(undefined);
    await clock.advance(80);
    last().answer(200, false);
    await clock.advance(80);
    last().handler.onResponseBody(Buffer.from('y'));
    await clock.advance(80);
    one.consumed(1);
    expect(heard).to.deep.equal(['200', 'body 1']);
    await clock.advance(100);
    expect(heard.at(-1)).to.equal('idle timeout: web:80: nothing moved within 100 ms');
    expect(last().left).to.equal('endpoint');
  });

  it('an answer that nobody wants is read as long as that is cheap', async () => {
    await begin(RETRY);
    last().answer(503, false);
    const first = last();
    first.handler.onResponseBody(Buffer.alloc(60_000));
    expect([first.consumedBytes, first.left]).to.deep.equal([60_000, undefined]);
    first.handler.onResponseBody(Buffer.alloc(10_000));
    expect(first.left).to.equal('client');
    await clock.advance(25);
    last().answer(503, false);
    const second = last();
    await clock.advance(1000);
    expect(second.left, 'after a second').to.equal('client');
  });

  // What came of a body in the wait after a refusal went to the try that had been refused, and the next try
  // got a body without it.
  it('send a whole body again, of which some came while they waited to', async () => {
    const wait = Promise.withResolvers<void>();
    again = wait.promise;
    const one = await begin({ timeouts: { requestMs: 60_000 } }, { kind: 'chunked' });
    const refused = last();
    one.write(Buffer.alloc(10, 'a'));
    refused.handler.onFailure(new ProxyFailure('connection failed', 'refused'), true);
    one.write(Buffer.alloc(10, 'b'));
    // More than is kept.
    expect(one.write(Buffer.alloc(MAX_UNSEEN, 'c'))).to.equal(0);
    one.end(undefined);
    wait.resolve();
    await settle();
    const got = Buffer.concat(last().got).toString();
    expect(got).to.equal(`${'a'.repeat(10)}${'b'.repeat(10)}${'c'.repeat(MAX_UNSEEN)}`);
    expect(last().ended).to.equal(true);
    expect(Buffer.concat(refused.got).toString(), 'the refused one').to.equal('a'.repeat(10));
    last().answer(200);
    expect(heard).to.deep.equal([`sent ${MAX_UNSEEN}`, '200', 'end']);
    expect(room.taken).to.equal(0);
  });
});
