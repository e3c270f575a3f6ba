import { expect } from 'chai';
import type { FaultRule } from '../../../../src/policy/faults/fault-rules.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import type { ProxyFailure } from '../../../../src/proxy/http/failures.ts';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import type { FilteredHead } from '../../../../src/proxy/filters/fault-injection.ts';
import { RequestFilter, type RequestFilterOptions } from '../../../../src/proxy/filters/request-filter.ts';
import { RateLimiter } from '../../../../src/proxy/filters/rate-limiter.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const LABEL = 'web.demo.svc.cluster.local:80';
const HEAD = { fields: [makeField('x-drill', 'yes'), makeField('accept', '*/*')] };
const PLAIN = { fields: [] };

describe('RequestFilter', () => {
  let clock: VirtualClock;
  let counters: ProxyCounters;
  let emptied: number;

  beforeEach(() => {
    clock = new VirtualClock();
    counters = new ProxyCounters();
    emptied = 0;
  });

  const filter = (options: Partial<RequestFilterOptions> = {}) =>
    new RequestFilter({
      label: LABEL,
      counters,
      clock,
      random: () => 0.5,
      onEmpty: () => emptied++,
      ...options,
    });
  const rule = (said: Partial<FaultRule>): FaultRule => ({
    until: clock.now() + 60_000,
    percent: 100,
    headers: [],
    delayMs: 0,
    jitterMs: 0,
    reset: false,
    ...said,
  });
  const abort = { status: 503, grpc: 14 };

  /** What becomes of one that comes. */
  function come(to: RequestFilter, head: FilteredHead | 'raw' = PLAIN, client = 'a') {
    const seen = { admitted: false, failure: undefined as ProxyFailure | undefined };
    const hold = to.pass(client, head === 'raw' ? undefined : head, {
      admit: () => (seen.admitted = true),
      refuse: (failure) => (seen.failure = failure),
    });
    return Object.assign(seen, { hold });
  }
  const faults = () => Object.fromEntries(counters.faults);

  it('says when to come again, in whole seconds, at least one', () => {
    const limits = { key: 'k', policy: 'core/service/web', overrides: [] };
    const one = filter();
    const fast = new RateLimiter({ ...limits, total: { perSecond: 10, burst: 1 } }, { matches: () => false });
    one.set([fast], []);
    expect(come(one).admitted).to.equal(true);
    const refused = come(one).failure;
    expect(refused).to.include({ kind: 'rate limited', status: 429, grpc: 8 });
    expect(refused?.fields).to.deep.equal([['retry-after', '1']]);
    expect(refused?.message).to.equal(
      `${LABEL}: over the rate limit of core/service/web for all clients together (10 a second, 1 at once)`,
    );
    expect([...counters.rateLimits]).to.deep.equal([[`${LABEL}\tcore/service/web\ttotal`, 1]]);
    const slow = new RateLimiter(
      { ...limits, total: { perSecond: 0.1, burst: 1 } },
      { matches: () => false },
    );
    one.set([slow], []);
    come(one);
    expect(come(one).failure?.fields).to.deep.equal([['retry-after', '10']]);
  });

  it('counts against one limit only what all of them let through', () => {
    const limits = { policy: 'p', overrides: [] };
    const wide = new RateLimiter(
      { ...limits, key: 'w', total: { perSecond: 1, burst: 5 } },
      { matches: () => false },
    );
    const own = new RateLimiter(
      { ...limits, key: 'o', perClient: { perSecond: 1, burst: 1 } },
      { matches: () => false },
    );
    const one = filter();
    one.set([wide, own], []);
    for (let i = 0; i < 10; i++) come(one, PLAIN, 'greedy');
    const others = ['b', 'c', 'd', 'e'].map((client) => come(one, PLAIN, client).admitted);
    expect(others).to.deep.equal([true, true, true, true]);
    expect(come(one, PLAIN, 'f').failure?.kind).to.equal('rate limited');
  });

  it('counts raw connections as it does requests: a client must not get past a limit by not speaking HTTP', () => {
    const one = filter();
    const limits = { key: 'http', policy: 'p', overrides: [], total: { perSecond: 1, burst: 2 } };
    one.set([new RateLimiter(limits, { matches: () => false })], []);
    expect([one, one].map((each) => come(each, 'raw').admitted)).to.deep.equal([true, true]);
    expect(come(one, 'raw').failure?.kind).to.equal('rate limited');
    expect(come(one).failure?.kind).to.equal('rate limited');
    expect([...counters.rateLimits]).to.deep.equal([[`${LABEL}\tp\ttotal`, 1]]);
  });

  it('delays, aborts and resets', async () => {
    const one = filter();
    one.set([], [rule({ delayMs: 200, jitterMs: 100 })]);
    const delayed = come(one);
    await clock.advance(249);
    expect(delayed).to.include({ admitted: false, failure: undefined });
    expect(delayed.hold?.waits).to.equal(true);
    await clock.advance(1);
    expect(delayed.admitted).to.equal(true);
    expect(delayed.hold).to.include({ waits: false, mark: 'delay' });

    one.set([], [rule({ abort })]);
    const aborted = come(one).failure;
    expect(aborted).to.include({ kind: 'injected fault', status: 503, grpc: 14, breaks: false });
    expect(aborted?.fields).to.deep.equal([['linkspan-injected-fault', 'abort']]);
    expect(aborted?.message).to.match(/injected fault \(abort\) of a drill that ends at 20/);

    one.set([], [rule({ reset: true })]);
    expect(come(one).failure).to.include({ kind: 'injected fault', breaks: true });

    one.set([], [rule({ delayMs: 50, abort: { status: 418, grpc: 2 } })]);
    const both = come(one);
    expect(both.failure).to.equal(undefined);
    await clock.advance(50);
    expect(both.failure).to.include({ status: 418 });
    expect(faults()).to.deep.equal({
      [`${LABEL}\tdelay`]: 2,
      [`${LABEL}\tabort`]: 2,
      [`${LABEL}\treset`]: 1,
    });
  });

  it('does nothing any more for who has left, and has room for others', async () => {
    const one = filter({ maxHeld: 2 });
    one.set([], [rule({ delayMs: 1000 })]);
    const [first, second, third] = [come(one), come(one), come(one)];
    expect(third.failure?.kind).to.equal('load shed');
    first.hold?.cancel();
    first.hold?.cancel();
    expect(come(one).hold?.waits).to.equal(true);
    expect(come(one).failure?.kind).to.equal('load shed');
    await clock.advance(1000);
    expect([first.admitted, second.admitted]).to.deep.equal([false, true]);
    expect(clock.pending).to.equal(0);
  });

  it('takes the first rule that a request meets, with all of its fields', () => {
    const one = filter();
    const header = { name: 'x-drill', value: 'yes' };
    one.set(
      [],
      [
        rule({ headers: [header, { name: 'accept', value: 'text/html' }], abort: { status: 500, grpc: 2 } }),
        rule({ headers: [header], abort: { status: 501, grpc: 2 } }),
        rule({ headers: [header], abort: { status: 502, grpc: 2 } }),
      ],
    );
    expect(come(one, HEAD).failure?.status).to.equal(501);
    expect(come(one, PLAIN).admitted).to.equal(true);
    expect(come(one, { fields: [makeField('x-drill', 'Yes')] }).admitted).to.equal(true);
  });

  it('does to raw connections only what can be done to them', () => {
    const one = filter();
    one.set([], [rule({ abort }), rule({ headers: [{ name: 'x-drill', value: 'yes' }], reset: true })]);
    expect(come(one, 'raw').admitted).to.equal(true);
    one.set([], [rule({ abort }), rule({ reset: true })]);
    expect(come(one, 'raw').failure?.breaks).to.equal(true);
  });

  it('meets the share that it was told; later rules get what earlier ones leave', () => {
    // A full-period generator modulo 2^32 (Numerical Recipes): the same numbers each time.
    let seed = 42;
    const random = () => (seed = (seed * 1_664_525 + 1_013_904_223) % 4_294_967_296) / 4_294_967_296;
    const one = filter({ random });
    one.set([], [rule({ percent: 10, abort }), rule({ percent: 50, abort: { status: 500, grpc: 2 } })]);
    const counts = { admitted: 0, 503: 0, 500: 0 };
    for (let i = 0; i < 20_000; i++) {
      const { admitted, failure } = come(one);
      if (admitted) counts.admitted++;
      else if (failure?.status === 503) counts[503]++;
      else counts[500]++;
    }
    expect(counts[503]).to.be.within(1900, 2100);
    expect(counts[500]).to.be.within(8750, 9250);
    expect(counts.admitted).to.be.within(8750, 9250);
  });

  it('ends by itself, each rule at its time, and then costs nothing', async () => {
    const one = filter();
    one.set([], [rule({ abort }), rule({ until: clock.now() + 90_000, abort: { status: 500, grpc: 2 } })]);
    await clock.advance(59_999);
    expect(come(one).failure?.status).to.equal(503);
    await clock.advance(1);
    expect(come(one).failure?.status).to.equal(500);
    expect(emptied).to.equal(0);
    await clock.advance(30_000);
    expect(come(one).admitted).to.equal(true);
    expect(emptied).to.equal(1);
    expect(one.set([], [rule({ until: clock.now(), abort })])).to.equal(false);
  });

  it('limits first: who is over a limit takes no part in a drill', () => {
    const limits = { key: 'k', policy: 'p', overrides: [], total: { perSecond: 1, burst: 1 } };
    const one = filter();
    one.set([new RateLimiter(limits, { matches: () => false })], [rule({ abort })]);
    expect([come(one).failure?.kind, come(one).failure?.kind]).to.deep.equal([
      'injected fault',
      'rate limited',
    ]);
  });
});
