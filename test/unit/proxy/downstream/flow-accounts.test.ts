import { expect } from 'chai';
import { type AccessEntry, NO_ACCESS_LOG } from '../../../../src/proxy/downstream/access-log.ts';
import {
  beginFlow,
  type CountedFlow,
  type CountedSession,
  endFlow,
  flowAnswered,
  flowWaited,
} from '../../../../src/proxy/downstream/flow-accounts.ts';
import { ProxyFailure } from '../../../../src/proxy/http/failures.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { Tracer } from '../../../../src/proxy/tracing/tracer.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const WEB = 'web.demo.svc.cluster.local:80';

describe('Flows of one session', () => {
  const clock = new VirtualClock();
  let known: Set<string>;
  let looked: number;
  let counters: ProxyCounters;
  let session: CountedSession;

  beforeEach(() => {
    known = new Set([WEB]);
    looked = 0;
    const exists = (target: string) => {
      looked++;
      return known.has(target);
    };
    counters = new ProxyCounters({ clock, known: exists });
    const client = { remoteAddress: '10.0.0.1' };
    session = {
      counters,
      clock,
      accessLog: NO_ACCESS_LOG,
      client,
      clientName: 'web.east',
      target: { label: WEB },
      rules: {},
    };
  });

  const flow = (status: number): CountedFlow => ({
    counted: undefined,
    hold: undefined,
    startedAt: clock.monotonic(),
    protocol: 'http2',
    status,
    bytesIn: 1,
    bytesOut: 2,
  });
  const carry = (status = 200, failure?: ProxyFailure) => {
    const one = flow(status);
    beginFlow(session, one);
    flowAnswered(one, 1);
    endFlow(session, one, undefined, failure);
  };
  const numbers = () => {
    const { requests = 0, inFlight = 0 } = counters.snapshot().targets[WEB] ?? {};
    const pair = counters.pairs.numbers().find(({ target }) => target === WEB);
    return { requests, inFlight, pair: pair?.requests, failures: pair?.failures, errors: pair?.errors };
  };

  it('are looked up once, and count each', () => {
    carry();
    const before = looked;
    for (let count = 0; count < 3; count++) carry(503);
    carry(502, new ProxyFailure('failfast', 'no endpoint'));
    expect(looked).to.equal(before);
    const errors = { failfast: 1 };
    expect(numbers()).to.deep.equal({ requests: 5, inFlight: 0, pair: 5, failures: 4, errors });
  });

  it('that fail say in which trace they are recorded, in their line and as an example', () => {
    const sink = { add: () => undefined, capped: () => undefined };
    const how = { share: 0, paths: true, cluster: undefined };
    const tracer = new Tracer({ sink, clock, random: Math.random, ...how });
    const entries: AccessEntry[] = [];
    const accessLog = { wants: () => true, record: (entry: AccessEntry) => void entries.push(entry) };
    session = { ...session, tracer, accessLog };
    carry();
    carry(502, new ProxyFailure('failfast', 'no endpoint'));
    const { examples } = counters.snapshot();
    expect(examples).to.have.length(1);
    expect(examples[0]).to.include({ target: WEB, ms: 1, status: 502, failed: true, at: clock.now() });
    expect(entries.map(({ traceId }) => traceId)).to.deep.equal([undefined, examples[0]?.traceId]);
  });

  it('say how long those waited that were not sent on at once, and were answered', async () => {
    const answered = async (waits: boolean, upstream = {}) => {
      const one = flow(200);
      beginFlow(session, one);
      await clock.advance(30);
      if (waits) flowWaited(session, one);
      await clock.advance(50);
      flowAnswered(one, 80, upstream);
      endFlow(session, one, undefined);
    };
    const waited = () => {
      const { waits, waitedMs } = counters.snapshot().targets[WEB] ?? {};
      return { waits, waitedMs };
    };
    await answered(false);
    expect(waited()).to.deep.equal({ waits: 0, waitedMs: 0 });
    await answered(true);
    expect(waited()).to.deep.equal({ waits: 1, waitedMs: 30 });
    // One that is sent again, where rules say so, waits by itself.
    await answered(true, { waitedMs: 20 });
    await answered(false, { waitedMs: 5 });
    expect(waited()).to.deep.equal({ waits: 3, waitedMs: 85 });
  });

  it('count anew after what was counted was forgotten, and are not while one is under way', async () => {
    carry();
    known.delete(WEB);
    for (const minutes of [1, 11]) {
      counters.view();
      await clock.advance(minutes * 60_000);
    }
    counters.view();
    expect(numbers()).to.include({ requests: 0, pair: undefined });
    known.add(WEB);
    const long = flow(200);
    beginFlow(session, long);
    expect(numbers()).to.include({ requests: 1, inFlight: 1, pair: 1 });
    known.delete(WEB);
    for (const minutes of [1, 11]) {
      counters.view();
      await clock.advance(minutes * 60_000);
    }
    expect(numbers()).to.include({ requests: 1, inFlight: 1, pair: 1 });
    endFlow(session, long, undefined);
    expect(numbers()).to.include({ requests: 1, inFlight: 0 });
  });
});
