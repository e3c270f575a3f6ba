import { expect } from 'chai';
import { systemClock } from '../../../../../src/base/clock.ts';
import { linearRegex } from '../../../../../src/base/linear-regex.ts';
import { readServiceProfile } from '../../../../../src/policy/requests/service-profile.ts';
import { ProxyCounters } from '../../../../../src/proxy/metrics/counters.ts';
import { RequestPolicy } from '../../../../../src/proxy/upstream/retry/policy.ts';
import { expectUnnoticed } from '../../../../support/linear-time.ts';

/** After each "a" it may or may not have begun: every text leads to states that no other text led to. */
const HARD = '(a|b)*a(a|b){100}c';
const PATH = Array.from({ length: 2000 }, (_, nth) => 'ab'[((nth * nth * 7 + nth) % 11) % 2]).join('');

function policyOf(conditions: readonly object[]): RequestPolicy {
  const routes = conditions.map((condition, nth) => ({ name: `r${nth}`, condition, isRetryable: true }));
  const { requests = {} } = readServiceProfile({ routes });
  const counters = new ProxyCounters({ known: () => true, clock: systemClock });
  return new RequestPolicy(requests, {
    label: 'web.demo:80',
    clock: systemClock,
    random: Math.random,
    counters,
  });
}
const configOf = (policy: RequestPolicy, path: string) =>
  policy.configOf({ method: 'GET', path } as Parameters<RequestPolicy['configOf']>[0]);

// The expressions of a ServiceProfile are its owner's, and each is linear in the path; but 256 of them, each
// as hard as can be, took 2.6 s of the gateway for one request.
describe('routes whose expressions are as hard as can be', () => {
  it('cost a request no more than others notice', () => {
    const policy = policyOf(Array.from({ length: 256 }, () => ({ pathRegex: HARD })));
    expectUnnoticed(() => configOf(policy, PATH), 'one request');
    const lists = policyOf([{ any: Array.from({ length: 1900 }, () => ({ pathRegex: HARD })) }]);
    expectUnnoticed(() => configOf(lists, PATH), 'one request, lists');
  });

  it('that were given up are no route, and neither is their opposite', () => {
    const hard = Array.from({ length: 200 }, () => ({ pathRegex: HARD }));
    const policy = policyOf([...hard, { not: { pathRegex: HARD } }, { method: 'GET' }]);
    expect(configOf(policy, PATH).retry).to.equal(undefined);
    expect(configOf(policy, '/short').retry).not.to.equal(undefined);
  });

  it('do not shut out usual ones, however many and however long the path is', () => {
    const usual = Array.from({ length: 255 }, (_, nth) => ({
      pathRegex: `/api/v1/things${nth}/[^/]+/parts(/.*)?`,
    }));
    const policy = policyOf([...usual, { pathRegex: '/last/.*' }]);
    expect(configOf(policy, `/last/${'x'.repeat(2000)}`).retry).not.to.equal(undefined);
  });

  it('are of one profile 2,000 at most', () => {
    const routes = Array.from({ length: 3 }, (_, nth) => ({
      name: `r${nth}`,
      condition: { any: Array.from({ length: 900 }, () => ({ pathRegex: '/a' })) },
    }));
    const { requests, problems } = readServiceProfile({ routes });
    expect(requests?.routes).to.have.length(2);
    expect(problems).to.deep.equal([
      'spec.routes[2] is not valid (more than 2000 conditions in the profile), it is left out',
    ]);
  });

  it('say "no" when what may be spent is spent', () => {
    const effort = { left: 50 };
    expect(linearRegex('^a*$').test('a'.repeat(1000), effort)).to.equal(false);
    expect(effort.left).to.be.below(0);
    expect(linearRegex('^a*$').test('a'.repeat(1000), { left: 1000 })).to.equal(true);
  });
});
