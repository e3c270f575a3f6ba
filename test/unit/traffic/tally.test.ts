import { expect } from 'chai';
import { ENDPOINT_FAILURES, Tally } from '../../../src/traffic/tally.ts';
import { latencyOf, targetOf, times } from '../../support/traffic-readings.ts';

function tallyOf(...all: readonly (readonly [Parameters<typeof targetOf>[0], ms: number])[]): Tally {
  const tally = new Tally();
  for (const [change, ms] of all) tally.add(targetOf(change), ms);
  return tally;
}

describe('numbers of several processes together', () => {
  it('are null where there was no traffic', () => {
    const none = { requests: 0, responses: 0, latency: latencyOf() };
    expect(tallyOf([none, 1000]).fields).to.deep.equal({
      success: null,
      rps: null,
      latency_ms_p50: null,
      latency_ms_p95: null,
      latency_ms_p99: null,
      tcp_open_connections: null,
      tcp_read_bytes_rate: null,
      tcp_write_bytes_rate: null,
      in_flight: 0,
      errors: {},
    });
  });

  it('are rates by the window of each', () => {
    const tcp = { opened: 1, open: 2, readBytes: 1000, writtenBytes: 10, closes: {} };
    const both = tallyOf([{ tcp }, 1000], [{ tcp, inFlight: 3, errors: { unauthorized: 10 } }, 10_000]);
    const { fields } = both;
    expect(fields).to.include({ rps: 110, in_flight: 3, tcp_open_connections: 4, tcp_read_bytes_rate: 1100 });
    expect(fields.errors).to.deep.equal({ unauthorized: 1 });
    expect(both.rateOf('unauthorized', 'failfast')).to.equal(1);
    const again = new Tally();
    again.include(both);
    expect(again.fields).to.deep.equal(fields);
  });

  it('quantiles are of all answers together, within the 4.5 % of a bucket', () => {
    const slow = { latency: latencyOf(...times(10, 1000)) };
    const { fields } = tallyOf([{ latency: latencyOf(...times(90, 10)) }, 1000], [slow, 1000]);
    expect(fields.latency_ms_p50).to.be.within(9.55, 10.45);
    expect(fields.latency_ms_p95).to.be.within(955, 1045);
    expect(fields.latency_ms_p99).to.be.within(955, 1045);
  });

  for (const [what, change, success, worst] of [
    ['answers', {}, 1, undefined],
    ['5xx of endpoints', { failures: 5 }, 0.95, ENDPOINT_FAILURES],
    [
      'failures of the proxy are among the answers',
      { failures: 5, errors: { failfast: 5 } },
      0.95,
      'failfast',
    ],
    ['denials and limits are no failures', { errors: { unauthorized: 50, 'rate limited': 9 } }, 1, undefined],
    ['what a newer proxy may call them', { errors: { 'black hole': 5 }, failures: 5 }, 0.95, 'black hole'],
    ['a name that objects have', { errors: { constructor: 5 }, failures: 5 }, 0.95, 'constructor'],
    [
      'the most frequent kind',
      { failures: 9, errors: { failfast: 1, 'connect timeout': 2 } },
      0.91,
      ENDPOINT_FAILURES,
    ],
    [
      'raw connections, 10 open',
      { responses: 0, inFlight: 10, errors: { 'connection failed': 9 } },
      0.9,
      'connection failed',
    ],
    ['raw connections, all open', { responses: 0, inFlight: 100 }, null, undefined],
    ['a connection that is open for long', { responses: 0, requests: 0, inFlight: 5 }, null, undefined],
  ] as const)
    it(`success: ${what}`, () => {
      const tally = tallyOf([change, 1000]);
      expect(tally.fields.success).to.equal(success);
      expect(tally.worstKind).to.equal(worst);
    });
});
