import { expect } from 'chai';
import { NO_ENDPOINTS } from '../../../support/fake-target.ts';
import { TargetGroup } from '../../../../src/proxy/group/target-group.ts';
import type { Upstream, UpstreamHandler } from '../../../../src/proxy/http/messages.ts';
import { Http2ErrorCode } from '../../../../src/proxy/http2/errors.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { FakeTarget, type FakeStream, request } from '../../../support/fake-target.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

// A request to three clusters cost a tenth more than one to one of them: each had an object of its own that
// all its events went through.
describe('the first try of a request to a group', () => {
  let group: TargetGroup;
  let targets: FakeTarget[];
  /** What the client gets. */
  let told: string[];
  let clock: VirtualClock;

  const handler = (change: Partial<UpstreamHandler> = {}): UpstreamHandler => ({
    onInterimResponse: (status) => void told.push(`interim ${status}`),
    onResponse: ({ status }) => void told.push(String(status)),
    onResponseBody: (chunk) => void told.push(String(chunk)),
    onResponseEnd: () => void told.push('end'),
    onRequestSent: () => undefined,
    onFailure: ({ kind }) => void told.push(kind),
    ...change,
  });
  /** Sends a request, which hangs at the first backend. */
  const sent = (
    method = 'GET',
    change: Partial<UpstreamHandler> = {},
  ): { readonly upstream: Upstream; readonly stream: FakeStream } => {
    const upstream = group.openNow('http2', request(method), handler(change));
    const stream = targets[0]?.streams.at(-1);
    if (upstream === undefined || stream === undefined) throw new Error('not sent');
    return { upstream, stream };
  };
  const counts = () => group.numbers.numbers.backends;

  beforeEach(() => {
    told = [];
    clock = new VirtualClock();
    targets = ['a', 'b'].map((name) => new FakeTarget(name, [], ['hangs'], true));
    const counters = new ProxyCounters();
    group = new TargetGroup('web:80', { clock, random: () => 0, counters });
    group.update(targets.map((target) => ({ name: target.name, target })));
    asked();
  });

  /** All backends have been asked just now: a first try asks none of them. */
  const asked = () => expect(group.pickOpen([], clock.monotonic())).not.to.equal(undefined);

  // One that is watched and one that never is: what could not be watched must not be drawn again.
  it('leaves a backend that it cannot be sent to so its part', async () => {
    targets = ['a', 'b'].map((name) => new FakeTarget(name, [], ['serves'], name === 'a'));
    let at = 0;
    const random = () => (at++ % 10) / 10;
    group = new TargetGroup('web:80', { clock, random, counters: new ProxyCounters() });
    group.update(targets.map((target) => ({ name: target.name, target })));
    at = 0;
    for (let count = 0; count < 100; count++) {
      group.openNow('http2', request('GET'), handler());
      await settle(5);
    }
    expect(targets.map(({ opens }) => opens)).to.deep.equal([50, 50]);
  });

  it('is served as if there were no group, and counted at its end', () => {
    const { upstream, stream } = sent();
    expect([upstream.endpoint, upstream.attempts]).to.deep.equal(['a:1', 1]);
    stream.head(200, [], false);
    stream.data('x');
    upstream.consumed(1);
    expect(counts()['a']).to.deep.equal({ served: 0, failed: 0, moved: 0 });
    stream.end();
    expect(told).to.deep.equal(['200', 'x', 'end']);
    expect(stream.taken).to.equal(1);
    expect(counts()['a']).to.deep.equal({ served: 1, failed: 0, moved: 0 });
  });

  it('says how many others there are, also when that has changed', () => {
    const came = () => targets[0]?.came.map(({ alternatives }) => alternatives);
    sent();
    group.update(targets.slice(0, 1).map((target) => ({ name: target.name, target })));
    asked();
    sent();
    expect(came()).to.deep.equal([1, 0]);
  });

  it('goes on elsewhere behind the same object: what is read and given up reaches the second try', async () => {
    const { upstream, stream } = sent();
    stream.refuse(true);
    const second = targets[1]?.streams[0];
    await settle(10);
    const moved = targets[1]?.opens;
    expect(moved, 'it was sent to the other').to.equal(1);
    expect(second).to.equal(undefined);
    expect(told).to.deep.equal([]);
    expect([upstream.endpoint, upstream.attempts]).to.deep.equal(['b:1', 2]);
    upstream.consumed(3);
    upstream.abandon();
    expect(stream.taken, 'the first one hears of it no more').to.equal(0);
    expect(counts()).to.deep.equal({
      a: { served: 0, failed: 0, moved: 1 },
      b: { served: 0, failed: 0, moved: 0 },
    });
  });

  it('is read no further where its answer is that there is no endpoint, and goes on elsewhere', async () => {
    const { upstream, stream } = sent();
    stream.head(503, [NO_ENDPOINTS], false);
    await settle(10);
    expect([upstream.endpoint, upstream.attempts]).to.deep.equal(['b:1', 2]);
    stream.data('nobody wants it');
    stream.end();
    expect(told).to.deep.equal([]);
    expect(stream.taken, 'so that its connection does not stall').to.equal('nobody wants it'.length);
    expect(counts()['a']).to.deep.equal({ served: 0, failed: 0, moved: 1 });
  });

  it('keeps that answer where its method may change something', async () => {
    const { stream } = sent('POST');
    stream.head(503, [NO_ENDPOINTS], false);
    stream.data('why');
    stream.end();
    await settle(10);
    expect(told).to.deep.equal(['503', 'why', 'end']);
    expect(targets[1]?.opens).to.equal(0);
  });

  it('fails where its response breaks off, and is not sent again', async () => {
    const { stream } = sent();
    stream.head(200, [], false);
    stream.lose();
    await settle(10);
    expect(told).to.deep.equal(['200', 'connection failed']);
    expect(targets[1]?.opens).to.equal(0);
    expect(counts()['a']).to.deep.equal({ served: 0, failed: 1, moved: 0 });
  });

  it('has been processed where it was answered, whatever the endpoint says afterwards', () => {
    const said: boolean[] = [];
    const { stream } = sent('GET', { onFailure: (_, unprocessed) => void said.push(unprocessed) });
    stream.head(200, [], false);
    stream.refuse(true);
    expect(said).to.deep.equal([false]);
  });

  it('counts as served where the client goes in the middle of the response, and not at all before', () => {
    const { upstream, stream } = sent();
    upstream.abandon();
    expect(stream.code).to.equal(Http2ErrorCode.CANCEL);
    expect(counts()['a']).to.deep.equal({ served: 0, failed: 0, moved: 0 });
    const next = sent();
    next.stream.head(200, [], false);
    next.upstream.abandon();
    next.upstream.abandon();
    expect(next.stream.code).to.equal(Http2ErrorCode.CANCEL);
    expect(counts()['a']).to.deep.equal({ served: 1, failed: 0, moved: 0 });
    expect(told).to.deep.equal(['200']);
  });

  for (const [when, change] of [
    ['its head', { onResponse: throwing }],
    ['its body', { onResponseBody: throwing }],
    ['its end', { onResponseEnd: throwing }],
  ] as const)
    it(`ends with a failure of ours where whoever sent it throws at ${when}, and stays where it is`, async () => {
      const { stream } = sent('GET', change);
      stream.head(200, [], false);
      if (when !== 'its head') stream.data('x');
      if (when === 'its end') stream.end();
      await settle(10);
      expect(told.at(-1)).to.equal('internal error');
      expect(targets[1]?.opens).to.equal(0);
      expect(counts()['a']).to.deep.equal({ served: 0, failed: 1, moved: 0 });
    });
});

function throwing(): never {
  throw new Error('injected');
}
