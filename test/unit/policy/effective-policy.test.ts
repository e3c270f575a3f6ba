import { expect } from 'chai';
import fc from 'fast-check';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { TRAFFIC_ANNOTATIONS } from '../../../src/api/linkerd/traffic-annotations.ts';
import { FAULTS, RATE_LIMIT, RATE_LIMIT_CLIENTS, RATE_LIMIT_PER_CLIENT } from '../../../src/api/names.ts';
import {
  effectivePolicy,
  POLICY_PARTS,
  type PolicySources,
  withServerLimits,
} from '../../../src/policy/effective-policy.ts';
import { readFaults } from '../../../src/policy/faults/fault-annotations.ts';
import { readServiceProfile } from '../../../src/policy/requests/service-profile.ts';

const KEY = 'demo/web';
const NOW = Date.parse('2026-11-24T12:00:00Z');
const of = (annotations: Record<string, string>, more: Partial<PolicySources> = {}) =>
  effectivePolicy({ key: KEY, annotations, ...more });
const FAULT = JSON.stringify([{ until: '2026-11-24T13:00:00Z', abort: { status: 503 } }]);
const ROUTES = { routes: [{ name: 'GET /', condition: { method: 'GET' }, isRetryable: true }] };
const SERVER_LIMIT = {
  key: 'policy.linkerd.io/httplocalratelimitpolicy/slow demo/web',
  policy: 'policy.linkerd.io/httplocalratelimitpolicy/slow',
  total: { perSecond: 5, burst: 5 },
  overrides: [],
} as const;

// Gateway and egress put the pieces together in four places, and read everything a second time to say what
// was wrong with it.
describe('the policy of a Service', () => {
  it('says nothing where nothing is said', () => {
    const nothing = { policy: {}, origins: {}, refused: [] };
    expect(effectivePolicy({ key: KEY, annotations: undefined })).to.deep.equal(nothing);
    expect(of({ team: 'blue' })).to.deep.equal(nothing);
    expect(of({}, { faults: { rules: [], problems: [] } })).to.deep.equal(nothing);
  });

  it('has each subject, and where it was said', () => {
    const { policy, origins, refused } = of(
      {
        'balancer.linkerd.io/failure-accrual': 'consecutive',
        'balancer.linkerd.io/failure-accrual-consecutive-max-failures': '3',
        'linkspan.dev/rate-limit': '100/s burst 200',
        'retry.linkerd.io/http': '5xx',
        'linkspan.dev/retry-budget-ratio': '0.5',
        'timeout.linkerd.io/request': '2s',
      },
      { faults: readFaults(FAULT, NOW) },
    );
    expect(policy.accrual?.maxFailures).to.equal(3);
    expect(policy.limits?.map(({ key }) => key)).to.deep.equal(['Service demo/web']);
    expect(policy.faults).to.have.length(1);
    expect(policy.requests?.retry?.statuses).to.deep.equal([{ min: 500, max: 599 }]);
    expect(policy.requests?.timeouts).to.deep.equal({ requestMs: 2000 });
    expect(policy.requests?.budget?.ratio).to.equal(0.5);
    expect(origins).to.deep.equal({
      accrual: [
        'balancer.linkerd.io/failure-accrual',
        'balancer.linkerd.io/failure-accrual-consecutive-max-failures',
      ],
      limits: ['linkspan.dev/rate-limit'],
      faults: ['linkspan.dev/faults'],
      requests: ['retry.linkerd.io/http', 'timeout.linkerd.io/request', 'linkspan.dev/retry-budget-ratio'],
    });
    expect(refused).to.deep.equal([]);
  });

  it('says what is refused and of which subject, and does not name it as an origin', () => {
    const { policy, origins, refused } = of({
      'balancer.linkerd.io/failure-accrual': 'consecutive',
      'balancer.linkerd.io/failure-accrual-consecutive-min-penalty': '2m',
      'balancer.linkerd.io/failure-accrual-consecutive-max-penalty': '1m',
      'linkspan.dev/rate-limit': 'lots',
      'linkspan.dev/rate-limit-clients': 'a',
      'timeout.linkerd.io/request': 'soon',
      'timeout.linkerd.io/idle': '5s',
      'linkspan.dev/retry-budget-ratio': '0.5',
    });
    expect(policy.accrual).to.include({ minPenaltyMs: 1000, maxPenaltyMs: 60_000 });
    expect(policy).not.to.have.property('limits');
    expect(policy.requests).to.deep.equal({ timeouts: { idleMs: 5000 } });
    expect(origins).to.deep.equal({
      accrual: ['balancer.linkerd.io/failure-accrual'],
      requests: ['timeout.linkerd.io/idle'],
    });
    expect(refused.map(({ part }) => part)).to.deep.equal(['accrual', 'limits', 'limits', 'requests']);
  });

  it("takes the older spelling of Linkerd's annotations only where the newer is not there", () => {
    const { policy, origins } = of({ 'linkerd.io/timeout': '1s', 'timeout.linkerd.io/request': '2s' });
    expect(policy.requests?.timeouts).to.deep.equal({ requestMs: 2000 });
    expect(origins.requests).to.deep.equal(['timeout.linkerd.io/request']);
    expect(of({ 'linkerd.io/timeout': '1s' }).origins.requests).to.deep.equal(['linkerd.io/timeout']);
  });

  it('takes the routes of a ServiceProfile instead of the annotations about requests', () => {
    const annotations = { 'retry.linkerd.io/http': '5xx', 'linkspan.dev/rate-limit': '5/s' };
    const { policy, origins } = of(annotations, { profile: readServiceProfile(ROUTES) });
    expect(policy.requests?.routes?.map(({ name }) => name)).to.deep.equal(['GET /']);
    expect(policy.requests).not.to.have.property('retry');
    expect(policy.limits).to.have.length(1);
    expect(origins.requests).to.deep.equal(['linkerd.io/serviceprofile']);
    const without = of(annotations, { profile: readServiceProfile({}) });
    expect(without.policy.requests).to.have.property('retry');
  });

  it('is of those subjects alone that mean something where it is asked for', () => {
    const sources = {
      key: KEY,
      annotations: { 'linkspan.dev/rate-limit': 'lots', 'timeout.linkerd.io/request': '1s' },
    };
    const { policy, refused } = effectivePolicy(sources, ['requests']);
    expect(policy).to.deep.equal({ requests: { timeouts: { requestMs: 1000 } } });
    expect(refused).to.deep.equal([]);
  });

  it("has limits of Servers behind the Service's own", () => {
    const own = of({ 'linkspan.dev/rate-limit': '5/s' }).policy;
    expect(withServerLimits(own, [SERVER_LIMIT]).limits?.[1]).to.equal(SERVER_LIMIT);
    expect(withServerLimits({}, [SERVER_LIMIT])).to.deep.equal({ limits: [SERVER_LIMIT] });
    expect(withServerLimits(own, [])).to.equal(own);
  });

  it('is the same for the same, names as origins only what is there, and never throws', () => {
    const names = [...TRAFFIC_ANNOTATIONS, RATE_LIMIT, RATE_LIMIT_PER_CLIENT, RATE_LIMIT_CLIENTS, FAULTS];
    const text = fc.oneof(
      fc.string(),
      fc.constantFrom('consecutive', '5xx', '1s', '2', '0.5', '100/s', 'a=1/s', 'internal', FAULT),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), text), (annotations) => {
        const faults = FAULTS in annotations ? readFaults(annotations[FAULTS] ?? '', NOW) : undefined;
        const first = of(annotations, { faults });
        expect(of(annotations, { faults })).to.deep.equal(first);
        for (const part of POLICY_PARTS) {
          const from = first.origins[part] ?? [];
          expect(from.length > 0, part).to.equal(first.policy[part] !== undefined);
          for (const name of from) expect(Object.keys(annotations)).to.include(name);
        }
      }),
    );
  });

  // A subject that has a folder and no field would be read by nobody, or once more beside this.
  it('has a field for every folder of src/policy', () => {
    const root = path.resolve(import.meta.dirname, '../../../src/policy');
    // Of failover: who serves is decided over several Services, and none of them says it alone. Of routing:
    // where requests go is decided for each port, and leads to other Services. Weights are what failover
    // writes into lists of others.
    const folders = readdirSync(root, { withFileTypes: true }).filter(
      (entry) => entry.isDirectory() && !['failover', 'routing', 'weights'].includes(entry.name),
    );
    const fieldOf: Record<string, string> = {
      'rate-limits': 'limits',
      retries: 'requests',
      timeouts: 'requests',
      routes: 'requests',
    };
    const fields = new Set(folders.map(({ name }) => fieldOf[name] ?? name));
    expect([...fields].sort()).to.deep.equal([...POLICY_PARTS].sort());
  });
});
