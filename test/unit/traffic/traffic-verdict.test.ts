import { expect } from 'chai';
import { DEFAULT_OBJECTIVE, parseObjective } from '../../../src/api/objective.ts';
import { Tally } from '../../../src/traffic/tally.ts';
import {
  isBadMirror,
  percent,
  type TrafficFacts,
  trafficVerdict,
} from '../../../src/traffic/traffic-verdict.ts';
import { latencyOf, targetOf, times } from '../../support/traffic-readings.ts';

const tallyOf = (change: Parameters<typeof targetOf>[0] = {}) => {
  const tally = new Tally();
  tally.add(targetOf(change), 1000);
  return tally;
};
const objective = (text: string) => parseObjective(text) ?? DEFAULT_OBJECTIVE;
const facts = (change: Partial<TrafficFacts> = {}): TrafficFacts => ({
  objective: DEFAULT_OBJECTIVE,
  tally: tallyOf(),
  ...change,
});
const mirror = { reason: 'GatewayDead', message: 'nobody answers' } as const;

describe('whether a Service fails', () => {
  for (const [what, change, reason, message] of [
    ['its mirror is not as it should be', { mirror }, 'GatewayDead', 'nobody answers'],
    [
      'no endpoint is ready',
      { endpoints: { ready: 0, known: 3 } },
      'NoReadyEndpoints',
      'none of 3 endpoints is ready',
    ],
    [
      'the mirror says more than endpoints',
      { mirror, endpoints: { ready: 0, known: 0 } },
      'GatewayDead',
      'nobody answers',
    ],
    [
      'fewer succeed than are expected',
      { tally: tallyOf({ failures: 1 }) },
      'ServerErrors',
      '99% of 100 requests succeed, 99.9% are expected',
    ],
    [
      'the proxy says why',
      { tally: tallyOf({ failures: 30, errors: { failfast: 30 } }) },
      'failfast',
      '70% of 100 requests succeed, 99.9% are expected',
    ],
    [
      'it is slower than is expected',
      { objective: objective('p99<50ms'), tally: tallyOf({ latency: latencyOf(...times(100, 100)) }) },
      'LatencyAboveObjective',
      'p99 is 103 ms, 50 ms are expected',
    ],
  ] as const)
    it(what, () => {
      expect(trafficVerdict(facts(change))).to.deep.equal({ failing: true, reason, message });
    });

  for (const [what, change, reason] of [
    ['all is well', {}, ''],
    ['the mirror is fine', { mirror: { reason: 'Mirrored', message: '' } }, 'Mirrored'],
    [
      'the source refuses it',
      { mirror: { reason: 'ImportNameRefused', message: 'no' } },
      'ImportNameRefused',
    ],
    [
      'exactly as many succeed as are expected',
      { tally: tallyOf({ requests: 1000, responses: 1000, failures: 1 }) },
      '',
    ],
    ['its own objective allows it', { objective: objective('90%'), tally: tallyOf({ failures: 10 }) }, ''],
    ['nine requests say nothing', { tally: tallyOf({ requests: 9, responses: 9, failures: 9 }) }, ''],
    [
      'nine slow answers say nothing',
      { objective: objective('p99<1ms'), tally: tallyOf({ latency: latencyOf(...times(9, 100)) }) },
      '',
    ],
    ['no traffic', { tally: new Tally() }, ''],
  ] as const)
    it(`not: ${what}`, () => {
      expect(trafficVerdict(facts(change))).to.deep.equal({ failing: false, reason, message: '' });
    });

  it('a reason that is not known here is bad', () => {
    expect(isBadMirror('SomethingNew' as never)).to.equal(true);
    expect(isBadMirror('constructor' as never)).to.equal(true);
    expect(isBadMirror('NotExported')).to.equal(false);
  });

  it('percentages never say 100 for what is less', () => {
    expect([1, 0.99999, 0.999, 0.5, 0].map(percent)).to.deep.equal(['100%', '99.99%', '99.9%', '50%', '0%']);
  });
});
