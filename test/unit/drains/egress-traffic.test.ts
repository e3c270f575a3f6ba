import { expect } from 'chai';
import fc from 'fast-check';
import { DRAIN_RULE, readAbortRule, troubleIn } from '../../../src/drains/abort-rule.ts';
import {
  errorRate,
  noTraffic,
  p99,
  readTraffic,
  type ServiceTraffic,
  trafficBetween,
} from '../../../src/drains/egress-traffic.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { ProxyCounters } from '../../../src/proxy/metrics/counters.ts';
import { publishCounters } from '../../../src/proxy/metrics/counters-exposition.ts';
import { Registry } from '../../../src/telemetry/registry.ts';
import { begun } from '../../support/begun-flow.ts';

const WEB = 'shop/web-federated';

/** The page of an egress that has counted this. */
async function page(...answers: readonly (readonly [status: number, ms: number])[]): Promise<string> {
  const counters = new ProxyCounters({ known: () => true, clock: systemClock, onCaught: () => undefined });
  const registry = new Registry();
  publishCounters(registry, counters, 'outbound');
  for (const [status, ms] of answers) begun(counters, `${WEB}:80`).response(status, ms);
  const group = counters.group(`${WEB}:80`);
  const [west, north] = [group.backend('west'), group.backend('north')];
  west.served += 3;
  west.moved += 2;
  north.served += 1;
  north.failed += 1;
  group.moved.connect += 2;
  return registry.metrics();
}

const traffic = (responses: number, failures: number, bucket = 5): ServiceTraffic => {
  const one = noTraffic();
  one.responses = responses;
  one.failures = failures;
  one.buckets[bucket] = responses;
  return one;
};

// What clients get was in the metrics, and nobody looked at it while a cluster was taken away.
describe('what the metrics of an egress say of a group', () => {
  it('is read as the egress publishes it', async () => {
    const found = readTraffic(await page([200, 7], [200, 7], [503, 80])).get(WEB);
    expect(found).to.include({ responses: 3, failures: 1, moved: 2, failed: 1 });
    expect([...(found?.served ?? [])]).to.deep.equal([
      ['west', 3],
      ['north', 1],
    ]);
    // 5 to 10 ms, and 50 to 100 ms.
    expect(found?.buckets.map((value, at) => [at, value]).filter(([, value]) => value !== 0)).to.deep.equal([
      [5, 2],
      [10, 1],
    ]);
  });

  it('is the difference of two looks, for each pod by itself', async () => {
    const before = new Map([
      ['a', readTraffic(await page([200, 7]))],
      ['b', readTraffic(await page([200, 7], [200, 7], [200, 7]))],
    ]);
    const after = new Map([
      ['a', readTraffic(await page([200, 7], [503, 7], [503, 7]))],
      // It was restarted, and has counted one since.
      ['b', readTraffic(await page([200, 7]))],
      ['c', readTraffic(await page([200, 7]))],
    ]);
    expect(trafficBetween(before, after).get(WEB)).to.include({ responses: 4, failures: 2 });
  });

  it('of any text is nothing bad', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (labels, value) => {
        readTraffic(`response_total{${labels}} ${value}\nresponse_latency_ms_bucket{${labels}} ${value}`);
      }),
    );
  });

  it('has a p99 as Prometheus counts it', () => {
    expect(p99(noTraffic())).to.equal(undefined);
    // All between 5 and 10 ms.
    expect(p99(traffic(100, 0))).to.be.closeTo(9.95, 1e-9);
    const slow = traffic(98, 0);
    slow.buckets[10] = 2;
    expect(p99(slow)).to.equal(75);
    expect(errorRate(traffic(200, 3))).to.equal(0.015);
  });
});

describe('a page that lies', () => {
  // One pod that counted below nothing hid what all others had counted from whoever waited for a drain.
  it('takes nothing away from what others have counted', () => {
    const line = (value: string) =>
      readTraffic(`response_total{dst="${WEB}:80",classification="failure"} ${value}\n`);
    const honest = line('100');
    for (const value of ['-1000000', '-1e300', 'NaN', '1e999', '-0.5']) {
      const between = trafficBetween(
        new Map(),
        new Map([
          ['liar', line(value)],
          ['honest', honest],
        ]),
      );
      expect(between.get(WEB), value).to.deep.include({ responses: 100, failures: 100 });
    }
  });
});

describe('when what clients get is too bad', () => {
  const usual = new Map([[WEB, traffic(1000, 10)]]);
  const found = (now: ServiceTraffic, rule = DRAIN_RULE) => troubleIn(new Map([[WEB, now]]), usual, rule);

  it('is read from a text', () => {
    expect(readAbortRule('errors>1%,p99>2x')).to.deep.equal({ errors: 0.01, p99: 2 });
    expect(readAbortRule('errors>0.5%')).to.deep.equal({ errors: 0.005, p99: undefined });
    for (const text of ['', 'errors', 'errors>1x', 'errors>101%', 'p99>2%', 'p99>1x', 'p50>2x', 'errors>1%,'])
      expect(readAbortRule(text), text).to.equal(undefined);
  });

  it('is when failures are more than is allowed, and twice as many as usual', () => {
    expect(found(traffic(100, 1))).to.deep.equal([]);
    expect(found(traffic(100, 2)), '1% before').to.deep.equal([]);
    expect(found(traffic(100, 3))).to.deep.equal([`${WEB}: 3% of responses are failures, 1% before`]);
    expect(found(traffic(49, 24)), 'too few').to.deep.equal([]);
    expect(found(traffic(49, 49))).to.deep.equal([`${WEB}: 100% of responses are failures, 1% before`]);
  });

  it('is when the slowest take that many times as long, where that is asked for', () => {
    const rule = { errors: undefined, p99: 2 };
    expect(found(traffic(100, 0, 10))).to.deep.equal([]);
    expect(found(traffic(100, 0, 10), rule)).to.deep.equal([`${WEB}: p99 is 100 ms, 10 ms before`]);
    expect(found(traffic(100, 100, 6), rule)).to.deep.equal([]);
    expect(troubleIn(new Map([[WEB, traffic(100, 0, 10)]]), new Map(), rule)).to.deep.equal([]);
  });
});
