import { expect } from 'chai';
import type { KubeObject } from '../../../src/api/kubernetes/resource.ts';
import { KubeRouting } from '../../../src/discovery/kube-routing.ts';
import { PATIENCE_MS } from '../../../src/kube/informer/patience.ts';
import { statusError } from '../../../src/kube/client/api-error.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import { FakeCluster } from '../../support/fake-cluster.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const LOOK_MS = 20_000;
const GROUPS = {
  splits: 'split.smi-spec.io',
  routes: 'gateway.networking.k8s.io',
  policies: 'policy.linkerd.io',
  profiles: 'linkerd.io',
} as const;
const WEB = 'shop/web';

/** What of this cluster is written about Services, as whoever leads or serves them reads it. */
describe('what is written about Services', () => {
  let clock: VirtualClock;
  let cluster: FakeCluster;
  /** Plurals by group; an error: the API server does not say. */
  let served: Map<string, readonly string[] | Error>;
  let routing: KubeRouting;
  let changed: string[];

  beforeEach(() => {
    clock = new VirtualClock();
    cluster = new FakeCluster();
    served = new Map();
    changed = [];
    const raw = (_: string, at: string) => {
      const [, , group = '', version] = at.split('/');
      const plurals = served.get(group);
      if (plurals instanceof Error) return Promise.reject(plurals);
      if (plurals === undefined)
        return Promise.reject(statusError(404, '{"reason":"NotFound"}', 'fake', undefined));
      if (version === undefined) return Promise.resolve({ versions: [{ version: 'v1' }] });
      return Promise.resolve({ resources: plurals.map((name) => ({ name })) });
    };
    routing = new KubeRouting({
      client: Object.assign(cluster.client, { raw }),
      clock,
      random: () => 0.5,
      log,
      clusterDomain: 'cluster.local',
      follow: 'all',
      lookMs: LOOK_MS,
      statusAs: undefined,
      failover: true,
      view: { zone: undefined, meshEndpoint: () => undefined },
      served: (_, slices) => slices,
      onChange: (key) => changed.push(key),
    });
  });
  afterEach(() => routing.stop());

  const start = async () => {
    routing.start();
    await settle(20);
  };
  const nextLook = async () => {
    await clock.advance(LOOK_MS + 1);
    await settle(20);
  };
  let uids = 0;
  const put = (plural: string, name: string, spec: object) =>
    cluster.put(plural, { metadata: { name, namespace: 'shop', uid: `uid-${++uids}` }, spec } as KubeObject);
  const split =
    (service: unknown, backends: unknown = [{ service: 'a', weight: 1 }]) =>
    () =>
      put('trafficsplits', 'one', { service, backends });
  const route = (plural: string, parent: object) => () =>
    put(plural, 'one', { parentRefs: [{ group: '', kind: 'Service', port: 80, ...parent }], rules: [] });
  const profile = (name: string, spec: object) => () => put('serviceprofiles', name, spec);
  const HOST = 'web.shop.svc.cluster.local';

  // A Service is left alone only where nothing is about it: what cannot be read is about it still.
  const cases: readonly [what: string, group: string, plural: string, write: () => void, is: boolean][] = [
    ['a split', GROUPS.splits, 'trafficsplits', split('web'), true],
    ['a split that cannot be read', GROUPS.splits, 'trafficsplits', split('web', 'all of them'), true],
    ['a split of another Service', GROUPS.splits, 'trafficsplits', split('api'), false],
    ['a split of nothing', GROUPS.splits, 'trafficsplits', split(7), false],
    ['an HTTPRoute', GROUPS.routes, 'httproutes', route('httproutes', { name: 'web' }), true],
    ['a GRPCRoute', GROUPS.routes, 'grpcroutes', route('grpcroutes', { name: 'web' }), true],
    ["Linkerd's HTTPRoute", GROUPS.policies, 'httproutes', route('httproutes', { name: 'web' }), true],
    [
      'a route for clients of another namespace',
      GROUPS.routes,
      'httproutes',
      route('httproutes', { name: 'web', namespace: 'till' }),
      false,
    ],
    [
      'a route of a gateway of that name',
      GROUPS.routes,
      'httproutes',
      route('httproutes', { name: 'web', group: GROUPS.routes, kind: 'Gateway' }),
      false,
    ],
    [
      'a profile with overrides',
      GROUPS.profiles,
      'serviceprofiles',
      profile(HOST, { dstOverrides: [{ authority: 'a.shop.svc.cluster.local:80', weight: 1 }] }),
      true,
    ],
    [
      'a profile whose overrides are wrong',
      GROUPS.profiles,
      'serviceprofiles',
      profile(HOST, { dstOverrides: 'all of them' }),
      true,
    ],
    ['a profile that says nothing', GROUPS.profiles, 'serviceprofiles', profile(HOST, {}), false],
    [
      'a profile of clients elsewhere',
      GROUPS.profiles,
      'serviceprofiles',
      profile('web.till.svc.cluster.local', { dstOverrides: 'all of them' }),
      false,
    ],
  ];
  for (const [what, group, plural, write, is] of cases)
    it(`${what} is ${is ? '' : 'not '}about the Service, whether that exists or not`, async () => {
      served.set(group, [plural]);
      const isTold = what === 'a profile that says nothing';
      await start();
      expect(routing.isSubject(WEB)).to.equal(false);
      write();
      await settle(20);
      expect(routing.isSubject(WEB)).to.equal(is);
      expect(routing.isSubject('till/web'), 'of another namespace').to.equal(false);
      expect(changed.includes(WEB), 'and whoever serves it is told').to.equal(is || isTold);
      cluster.remove(plural, 'shop', what.includes('profile') ? HOST : 'one');
      await settle(20);
      if (is) expect(routing.isSubject(WEB), 'until it is gone').to.equal(false);
    });

  for (const [kind, group, plural, write] of [
    ['a split', GROUPS.splits, 'trafficsplits', split('web')],
    ['a route', GROUPS.routes, 'httproutes', route('httproutes', { name: 'web' })],
    ['a profile', GROUPS.profiles, 'serviceprofiles', profile(HOST, { dstOverrides: 'all of them' })],
  ] as const) {
    it(`${kind} whose kind is installed later is about it from then on, and no longer than that`, async () => {
      write();
      await start();
      expect([routing.isSubject(WEB), routing.complete]).to.deep.equal([false, true]);
      served.set(group, [plural]);
      await nextLook();
      expect([routing.isSubject(WEB), routing.complete, changed.includes(WEB)]).to.deep.equal([
        true,
        true,
        true,
      ]);
      changed.length = 0;
      served.delete(group);
      await nextLook();
      expect(routing.isSubject(WEB), 'one answer is not believed').to.equal(true);
      await nextLook();
      expect([routing.isSubject(WEB), routing.complete, changed.includes(WEB)]).to.deep.equal([
        false,
        true,
        true,
      ]);
    });

    it(`${kind} that may be there and cannot be listed leaves it unknown what is written`, async () => {
      served.set(group, [plural]);
      cluster.listError = statusError(403, '{"reason":"Forbidden"}', 'fake', undefined);
      await start();
      expect(routing.complete).to.equal(false);
      cluster.listError = undefined;
      await clock.advance(60_000);
      await settle(20);
      expect(routing.complete).to.equal(true);
    });

    // One question that was not answered while a controller started, and all that splits and routes had led
    // elsewhere was given back.
    it(`${kind} of a kind that the API server has not said to serve, or not to, leaves it unknown`, async () => {
      write();
      served.set(group, statusError(429, '{"reason":"TooManyRequests"}', 'fake', undefined));
      await start();
      expect(routing.complete).to.equal(false);
      served.set(group, [plural]);
      await clock.advance(1100);
      await settle(20);
      expect([routing.isSubject(WEB), routing.complete], 'asked again within a second').to.deep.equal([
        true,
        true,
      ]);
      served.set(group, statusError(429, '{"reason":"TooManyRequests"}', 'fake', undefined));
      await nextLook();
      expect([routing.isSubject(WEB), routing.complete], 'what is known stays').to.deep.equal([true, true]);
    });
  }

  // Who may not ask at all must serve nevertheless: it reads what it may. But it takes nothing back.
  it('is settled, and not complete, where nobody says which kinds are installed', async () => {
    for (const group of Object.values(GROUPS))
      served.set(group, statusError(403, '{"reason":"Forbidden"}', 'fake', undefined));
    await start();
    expect([routing.settled, routing.complete]).to.deep.equal([true, false]);
  });

  // An egress that starts while its API server is busy would send requests where no rule says, and not where
  // one does.
  for (const [what, group] of Object.entries(GROUPS))
    it(`is not settled while nobody has said whether ${what} are installed, but not for ever`, async () => {
      served.set(group, statusError(503, '{"reason":"ServiceUnavailable"}', 'fake', undefined));
      await start();
      expect(routing.settled).to.equal(false);
      await clock.advance(PATIENCE_MS - 2000);
      expect(routing.settled, 'still').to.equal(false);
      expect(routing.unread.join()).to.contain(group);
      await clock.advance(4000);
      expect([routing.settled, routing.complete]).to.deep.equal([true, false]);
      served.delete(group);
      await clock.advance(2000);
      expect([routing.settled, routing.complete, routing.unread]).to.deep.equal([true, true, []]);
    });

  it('is not settled while a kind that is installed could not be listed, unless that is forbidden', async () => {
    served.set(GROUPS.splits, ['trafficsplits']);
    cluster.listError = statusError(500, '{"reason":"InternalError"}', 'fake', undefined);
    await start();
    expect(routing.settled).to.equal(false);
    cluster.listError = statusError(403, '{"reason":"Forbidden"}', 'fake', undefined);
    await clock.advance(5000);
    expect(routing.settled).to.equal(true);
    expect(routing.unread).to.have.length(1);
  });

  it('is not known before anybody has looked', async () => {
    expect([routing.complete, routing.settled]).to.deep.equal([false, false]);
    await start();
    expect([routing.complete, routing.settled]).to.deep.equal([true, true]);
  });
});
