import { expect } from 'chai';
import { overGroup } from '../../../../src/policy/routing/group-routing.ts';
import { ANY_REQUEST } from '../../../../src/policy/routing/routing.ts';

const own = { namespace: 'shop', service: 'web-federated', port: 80 };
const backend = { namespace: 'shop', service: 'web', port: 80, weight: 1 };
const path = { path: { kind: 'exact', value: '/a' }, headers: [], query: [] } as const;

// A rule for one path of a federated Service must not end all others.
describe('the routing of a federated Service', () => {
  it('leads what no rule meets to its clusters, behind all rules', () => {
    const rule = { name: 'HTTPRoute shop/a rule 1', backends: [backend] };
    const routing = overGroup({ rules: [rule], entries: [{ match: path, rule: 0 }] }, own);
    expect(routing.rules[0]).to.equal(rule);
    expect(routing.rules[1]?.backends).to.deep.equal([{ ...own, weight: 1 }]);
    expect(routing.entries).to.deep.equal([
      { match: path, rule: 0 },
      { match: ANY_REQUEST, rule: 1 },
    ]);
    expect(routing.raw).to.equal(1);
  });

  it('leaves raw connections to a split', () => {
    const rule = { name: 'TrafficSplit shop/web', backends: [backend] };
    const routing = overGroup({ rules: [rule], entries: [{ match: ANY_REQUEST, rule: 0 }], raw: 0 }, own);
    expect(routing.raw).to.equal(0);
  });
});
