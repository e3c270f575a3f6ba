import { expect } from 'chai';
import type { FaultRule } from '../../../src/policy/faults/fault-rules.ts';
import type { RateLimits } from '../../../src/policy/rate-limits/rate-limits.ts';
import { RequestFilters } from '../../../src/gateway/request-filters.ts';
import { limitsOf } from '../../../src/gateway/authorization/policy-rate-limits.ts';
import type { HttpLocalRateLimitPolicy, Server } from '../../../src/api/linkerd/linkerd-kinds.ts';
import { ProxyCounters } from '../../../src/proxy/metrics/counters.ts';
import { ProxyFailure } from '../../../src/proxy/http/failures.ts';
import { Target } from '../../../src/proxy/upstream/target.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

describe('RequestFilters', () => {
  let clock: VirtualClock;
  let filters: RequestFilters;
  let counters: ProxyCounters;

  beforeEach(() => {
    clock = new VirtualClock();
    counters = new ProxyCounters();
    filters = new RequestFilters({ counters, clock, random: () => 0, workers: 1 });
  });

  const target = (label: string) =>
    new Target({
      label,
      clock,
      random: () => 0,
      dial: () => Promise.reject(new ProxyFailure('connection failed', 'nobody')),
    });
  const limits = (burst: number, key = 'Service demo/web'): RateLimits => ({
    key,
    policy: 'core/service/web',
    total: { perSecond: 0.001, burst },
    overrides: [],
  });
  const fault = (): FaultRule => ({
    until: clock.now() + 1000,
    percent: 100,
    headers: [],
    delayMs: 0,
    jitterMs: 0,
    abort: { status: 503, grpc: 14 },
    reset: false,
  });

  /** How many of ten pass. */
  function passing(at: Target): number {
    let count = 0;
    for (let i = 0; i < 10; i++)
      if (at.filter === undefined) count++;
      else at.filter.pass('client', { fields: [] }, { admit: () => count++, refuse: () => undefined });
    return count;
  }

  it('stand only where there is something to look at', () => {
    const one = target('web:80');
    filters.set(one, { limits: [] });
    expect(one.filter).to.equal(undefined);
    filters.set(one, { limits: [limits(3)] });
    expect(passing(one)).to.equal(3);
    filters.set(one, { limits: [] });
    expect(one.filter).to.equal(undefined);
  });

  it('share a limit of one key between targets, and keep what has been used of it while it says the same', () => {
    const [one, two] = [target('web:80'), target('web:81')];
    filters.set(one, { limits: [limits(3)] });
    filters.set(two, { limits: [limits(3)] });
    expect([passing(one), passing(two)]).to.deep.equal([3, 0]);
    filters.set(one, { limits: [limits(3)], faults: [fault()] });
    filters.set(one, { limits: [limits(3)] });
    expect(passing(one)).to.equal(0);
    filters.set(one, { limits: [] });
    filters.set(one, { limits: [limits(3)] });
    expect(passing(one), 'the other target has kept it').to.equal(0);
    filters.set(one, { limits: [limits(5)] });
    expect(passing(one)).to.equal(5);
  });

  it('forget a limit with its last target', () => {
    const one = target('web:80');
    filters.set(one, { limits: [limits(3)] });
    passing(one);
    filters.drop(one);
    filters.set(one, { limits: [limits(3)] });
    expect(passing(one)).to.equal(3);
  });

  it('hold requests to every limit', () => {
    const one = target('web:80');
    filters.set(one, { limits: [limits(3), limits(2, 'policy')] });
    expect(passing(one)).to.equal(2);
  });

  it('go away with the last fault', async () => {
    const one = target('web:80');
    filters.set(one, { limits: [], faults: [fault()] });
    expect(passing(one)).to.equal(0);
    await clock.advance(1000);
    expect(one.filter).not.to.equal(undefined);
    expect(passing(one)).to.equal(10);
    expect(one.filter).to.equal(undefined);
    filters.set(one, { limits: [], faults: [{ ...fault(), until: clock.now() }] });
    expect(one.filter).to.equal(undefined);
  });
});

describe("limits of Linkerd's HTTPLocalRateLimitPolicy", () => {
  const setting = { controlNamespace: 'linkerd', trustDomain: 'cluster.local', clusterNetworks: [] };
  const server = (name: string): Server => ({ metadata: { name, namespace: 'demo' } });
  const policy = (
    name: string,
    spec: HttpLocalRateLimitPolicy['spec'],
    created = '2026-01-01T00:00:00Z',
  ): HttpLocalRateLimitPolicy => ({
    metadata: { name, namespace: 'demo', creationTimestamp: new Date(created) },
    spec: { targetRef: { group: 'policy.linkerd.io', kind: 'Server', name: 'web' }, ...spec },
  });
  const read = (...policies: HttpLocalRateLimitPolicy[]) =>
    limitsOf(
      { rateLimits: (namespace) => (namespace === 'demo' ? policies : []) },
      [
        { kind: 'server', server: server('web') },
        { kind: 'default', policy: 'deny' },
      ],
      setting,
    );

  it('are those of all, of each identity, and of service accounts that it names', () => {
    const found = read(
      policy('web-limit', {
        total: { requestsPerSecond: 100 },
        identity: { requestsPerSecond: 20 },
        overrides: [
          {
            requestsPerSecond: 50,
            clientRefs: [
              { kind: 'ServiceAccount', name: 'front' },
              { kind: 'ServiceAccount', name: 'api', namespace: 'shop' },
            ],
          },
        ],
      }),
    );
    expect(found).to.deep.equal([
      {
        key: 'policy.linkerd.io/httplocalratelimitpolicy/web-limit demo/web',
        policy: 'policy.linkerd.io/httplocalratelimitpolicy/web-limit',
        total: { perSecond: 100, burst: 100 },
        perClient: { perSecond: 20, burst: 20 },
        overrides: [
          {
            clients: [
              'front.demo.serviceaccount.identity.linkerd.cluster.local',
              'api.shop.serviceaccount.identity.linkerd.cluster.local',
            ],
            rate: { perSecond: 50, burst: 50 },
          },
        ],
      },
    ]);
  });

  it('are those of the oldest where several name one Server', () => {
    const total = { requestsPerSecond: 1 };
    const found = read(policy('a', { total }, '2026-02-01T00:00:00Z'), policy('b', { total }));
    expect(found.map((one) => one.policy)).to.deep.equal(['policy.linkerd.io/httplocalratelimitpolicy/b']);
  });

  it('are none for other Servers, other kinds, and rates that are none', () => {
    const total = { requestsPerSecond: 1 };
    const ref = { group: 'policy.linkerd.io', kind: 'Server', name: 'web' };
    expect(read(policy('a', { targetRef: { ...ref, name: 'db' }, total }))).to.deep.equal([]);
    expect(read(policy('a', { targetRef: { ...ref, kind: 'HTTPRoute' }, total }))).to.deep.equal([]);
    const [none] = read(
      policy('a', { total: { requestsPerSecond: 0 }, overrides: [{ requestsPerSecond: 5, clientRefs: [] }] }),
    );
    expect(none).to.deep.include({ overrides: [] }).and.not.include.keys('total');
  });
});
