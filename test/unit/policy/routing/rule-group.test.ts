import { expect } from 'chai';
import { decide } from '../../../../src/policy/failover/decide.ts';
import { backendName, ruleGroup } from '../../../../src/policy/routing/rule-group.ts';
import type { RouteBackend, RoutingRule } from '../../../../src/policy/routing/routing.ts';
import type { WeighedBackend } from '../../../../src/policy/failover/weighed-group.ts';

const backend = (service: string, weight = 1, more: Partial<RouteBackend> = {}): RouteBackend => ({
  namespace: 'shop',
  service,
  port: 80,
  weight,
  ...more,
});
const rule = (backends: readonly RouteBackend[], failover?: RoutingRule['failover']) => ({
  backends,
  ...(failover === undefined ? {} : { failover }),
});
const dead: WeighedBackend = {
  facts: { path: 'dead', ready: 1, known: 1, expected: 1, usableSince: null, flaps: 1, lastWord: 0 },
};
const now = 1_000_000;
/** The load of each backend, by name. */
function loads(
  one: ReturnType<typeof rule>,
  known: (backend: RouteBackend) => WeighedBackend = () => ({}),
): Record<string, number> {
  const group = ruleGroup(one, known);
  const { backends } = decide(group.backends, group.policy, now, group.weighing);
  return Object.fromEntries(backends.map(({ backend: { name }, load }) => [name, load]));
}

describe('the backends of a rule', () => {
  it('have their weights exactly, however small, and pass on what one cannot take', () => {
    const split = rule([backend('web', 99_999), backend('web-west', 1)]);
    expect(loads(split)['web-west']).to.be.closeTo(1 / 100_000, 1e-12);
    expect(loads(split, ({ service }) => (service === 'web' ? dead : {}))).to.deep.equal({
      web: 0,
      'web-west': 1,
    });
  });

  it('keep the part of a reference that is wrong', () => {
    const wrong = backend('web-west', 1, { invalid: 'there is no Service' });
    expect(
      loads(rule([backend('web'), wrong]), ({ service }) => (service === 'web' ? dead : {})),
    ).to.have.property('web-west', 1);
  });

  it('come in tiers, or the primary one first, where somebody says so', () => {
    const backends = [backend('web'), backend('web-west')];
    expect(loads(rule(backends, { tiers: 'web-west; web' }))).to.deep.equal({ web: 0, 'web-west': 1 });
    expect(loads(rule(backends, { managed: {} }))).to.deep.equal({ web: 1, 'web-west': 0 });
    expect(loads(rule(backends, { managed: { primary: 'web-west' } }))).to.deep.equal({
      web: 0,
      'web-west': 1,
    });
  });

  it('are divided as before where somebody slips', () => {
    const backends = [backend('web'), backend('web-west')];
    const before = ruleGroup(rule(backends, { tiers: 'web-west; web' }), () => ({})).texts;
    const { problems, placement } = ruleGroup(rule(backends, { tiers: '?' }), () => ({}), before);
    expect(problems).to.have.length(2);
    expect(placement.places.map(({ name, tier }) => [name, tier])).to.deep.equal([
      ['web', 1],
      ['web-west', 0],
    ]);
  });

  it('are called by their Services, and by more where that is not enough', () => {
    const backends = [backend('web'), backend('web', 1, { namespace: 'other' }), backend('api')];
    expect(backends.map((one) => backendName({ backends }, one))).to.deep.equal([
      'web.shop:80',
      'web.other:80',
      'api',
    ]);
  });
});
