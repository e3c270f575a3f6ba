import { expect } from 'chai';
import { type DemandReport, MAX_DEMANDS } from '../../../../src/api/answers/demand-report.ts';
import { EgressDemand } from '../../../../src/controllers/gateway-health/egress-demand.ts';

const WEB = 'shop/web-federated';
const report = (more: Partial<DemandReport> = {}): DemandReport => ({
  service: WEB,
  requests: 100,
  failures: 0,
  refused: 0,
  pending: 0,
  ...more,
});

describe('what egress pods say about requests', () => {
  let demand: EgressDemand;
  let changes: number;
  beforeEach(() => {
    demand = new EgressDemand();
    changes = 0;
    demand.follow(() => changes++);
  });
  /** Each of these pods says so at that time. */
  const say = (now: number, said: Readonly<Record<string, readonly DemandReport[]>>) => {
    for (const [pod, list] of Object.entries(said)) demand.heard(pod, list, now);
    demand.settle(now);
    return demand.of(WEB);
  };

  it('counts once a pod has named the Service twice; until pods had time to, nothing can be told', () => {
    expect(demand.of(WEB)).to.equal(undefined);
    expect(say(0, { a: [report()] })).to.equal(undefined);
    expect(say(2000, { a: [report()] })).to.equal('met');
    expect(demand.of('shop/other')).to.equal(undefined);
    expect(say(10_000, { a: [report()] })).to.equal('met');
    expect([demand.of('shop/other'), changes]).to.deep.equal([undefined, 1]);
    expect(say(10_001, { a: [report()] })).to.equal('met');
    expect([demand.of('shop/other'), changes]).to.deep.equal(['unheard', 2]);
    expect(say(14_000, { a: [] })).to.equal('unheard');
    expect(changes).to.equal(3);
  });

  it('is strained by the word of one pod, for a minute, whatever the others say', () => {
    say(0, { a: [report()], b: [report()] });
    expect(say(2000, { a: [report({ failures: 5 })], b: [report()] })).to.equal('strained');
    const quiet = { a: [report({ failures: 5 })], b: [report()] };
    for (let now = 4000; now < 62_000; now += 2000) expect(say(now, quiet)).to.equal('strained');
    expect(say(61_999, quiet)).to.equal('strained');
    expect(say(62_000, quiet)).to.equal('met');
  });

  it('outlives the pod that has met it', () => {
    say(0, { a: [report()], b: [report()] });
    expect(say(2000, { a: [report({ failures: 5 })], b: [report()] })).to.equal('strained');
    for (let now = 4000; now < 62_000; now += 2000)
      expect(say(now, { b: [report()] }), String(now)).to.equal('strained');
    expect(say(62_000, { b: [report()] })).to.equal('met');
  });

  it('is forgotten of a pod that was not heard for 10 s', () => {
    say(0, { a: [report()] });
    expect(say(2000, { a: [report()] })).to.equal('met');
    expect(say(12_000, {})).to.equal('met');
    expect(say(12_001, {})).to.equal('unheard');
    say(14_000, { a: [report()] });
    expect(say(16_000, { a: [report()] })).to.equal('met');
    demand.rest();
    expect(demand.of(WEB)).to.equal(undefined);
  });

  // A pod could make up a thousand names with each look, and keep each for a minute; or wash away what others
  // have met.
  it('holds a bounded number of names, and the lies of a pod are at its own cost', () => {
    say(0, { a: [report()], b: [] });
    say(2000, { a: [report({ pending: 1 })], b: [] });
    const names = (look: number, pending = 1) =>
      Array.from({ length: MAX_DEMANDS }, (_, at) => report({ service: `made-${look}/up-${at}`, pending }));
    let now = 2000;
    for (let look = 0; look < 20; look++)
      for (let twice = 0; twice < 2; twice++)
        expect(say((now += 1000), { a: [report()], b: names(look) })).to.equal('strained');
    expect(demand.of('made-19/up-0')).to.equal('strained');
    for (let twice = 0; twice < 2; twice++) say((now += 1000), { a: [report()], b: names(0, 0) });
    expect(demand.of('made-0/up-0'), 'forgotten, a minute has not passed').to.equal('met');
  });

  it('is read up to a bound', () => {
    const many = Array.from({ length: MAX_DEMANDS }, (_, at) => report({ service: `made/up-${at}` }));
    say(0, { a: [...many, report()] });
    expect(say(12_000, { a: [...many, report()] })).to.equal('unheard');
    expect(demand.of('made/up-0')).to.equal('met');
  });
});
