import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { type FailoverFacts, writeFacts } from '../../../../src/api/failover/failover-facts.ts';
import { writeDrain } from '../../../../src/api/failover/failover-drain.ts';
import { FAILOVER_FACTS } from '../../../../src/api/failover/failover-names.ts';
import type { LinkObject } from '../../../../src/api/link/link-schema.ts';
import { failoverText, planText } from '../../../../src/cli/output/failover-text.ts';
import { apexText } from '../../../../src/cli/output/apex-text.ts';
import { groupsOf } from '../../../../src/cli/queries/apex-groups.ts';
import {
  type FailoverObjects,
  failoverRows,
  unknownMembers,
} from '../../../../src/cli/queries/failover-rows.ts';

const NOW = Date.UTC(2026, 10, 29, 14, 0, 0);

const service = (annotations: Record<string, string> = {}): V1Service => ({
  metadata: {
    name: 'web-federated',
    namespace: 'shop',
    labels: { 'mirror.linkerd.io/mirrored-service': 'true' },
    annotations: {
      'multicluster.linkerd.io/remote-discovery': 'web@west,web@north',
      'multicluster.linkerd.io/local-discovery': 'web',
      ...annotations,
    },
  },
});
const slice = (label: string, facts: Partial<FailoverFacts> | undefined): V1EndpointSlice => ({
  metadata: {
    name: `web-federated-${label}`,
    namespace: 'shop',
    labels: {
      'mirror.linkerd.io/mirrored-service': 'true',
      'mirror.linkerd.io/cluster-name': label,
      'kubernetes.io/service-name': 'web-federated',
    },
    ...(facts === undefined ? {} : { annotations: { [FAILOVER_FACTS]: writeFacts({ ...WELL, ...facts }) } }),
  },
  addressType: 'IPv4',
  endpoints: [],
});
const WELL: FailoverFacts = {
  path: 'alive',
  ready: 10,
  known: 10,
  expected: 10,
  usableSince: NOW - 180_000,
  flaps: 0,
  lastWord: NOW,
};
const objects = (change: Partial<FailoverObjects> = {}): FailoverObjects => ({
  services: [service({ 'failover.linkspan.dev/tiers': 'local; west; north' })],
  slices: [
    slice('LOCAL', { ready: 5 }),
    slice('west', {}),
    slice('north', { ready: 8, expected: 8, flaps: 2, usableSince: NOW - 16_000 }),
  ],
  links: [],
  ...change,
});
const shares = (given: FailoverObjects, without: readonly string[] = []) =>
  Object.fromEntries(
    (failoverRows(given, NOW, new Set(without))[0]?.backends ?? []).map(({ name, share }) => [name, share]),
  );

// Who would serve for whom could be worked out by nobody but the egress.
describe('linkspan failover', () => {
  it('decides as egress and controller do', () => {
    expect(shares(objects())).to.deep.equal({ local: 0.7, west: 0.3, north: 0 });
  });

  // A drain of the only other backend of a split was called safe, and nobody could see who serves it.
  it('shows Services without selector, and what is left of them without a cluster', () => {
    const leaf = { name: 'web.shop.svc.cluster.local', port: 80, endpoints: [] };
    const ready = [{ host: '10.0.0.1', port: 80, ready: true }];
    const backends = ['web', 'web-west'].map((name, nth) => ({
      namespace: 'shop',
      service: name,
      port: 80,
      weight: nth === 0 ? 90 : 10,
    }));
    const spec = (endpoints: typeof ready) => ({
      routing: { rules: [{ name: 'split', backends }], entries: [] },
      leaves: { 'shop/web:80': { ...leaf, endpoints } },
    });
    const mirror = {
      metadata: { name: 'web-west', namespace: 'shop', labels: { 'mirror.linkerd.io/cluster-name': 'west' } },
    };
    const mirrors = { services: [mirror], slices: [], said: new Map() };
    const rows = (endpoints: typeof ready, ...without: string[]) => {
      const apexes = groupsOf(
        { metadata: { namespace: 'shop', name: 'checkout' } },
        new Map([[80, spec(endpoints)]]),
        mirrors,
      );
      return failoverRows({ services: [], slices: [], links: [], apexes }, NOW, new Set(without));
    };
    const shown = (...given: Parameters<typeof rows>) =>
      rows(...given).map(({ service, backends: all }) => [service, ...all.map(({ share }) => share)]);
    expect(shown(ready)).to.deep.equal([['checkout', 0.9, 0.1]]);
    expect(shown([])).to.deep.equal([['checkout', 0, 1]]);
    expect(shown(ready, 'west')).to.deep.equal([['checkout', 1, 0]]);
    expect(shown(ready, 'local')).to.deep.equal([['checkout', 0, 1]]);
    // `explain svc` says the same, and what stands in the way.
    const conditions = [
      {
        type: 'linkspan.dev/FailoverReady',
        status: 'False',
        reason: 'ApexHasEndpoints',
        message: 'not ours: x',
      },
    ] as unknown as NonNullable<V1Service['status']>['conditions'];
    const checkout = { metadata: { name: 'checkout', namespace: 'shop' }, status: { conditions } };
    const text = apexText(checkout as V1Service, rows(ready), NOW) ?? '';
    expect(text).to.match(
      /^Service +shop\/checkout of this cluster\nFailoverReady +False, ApexHasEndpoints: not ours: x\n/,
    );
    expect(text).to.match(/checkout +0 +web +90\.00%/);
    expect(apexText({ ...checkout, status: {} } as V1Service, [], NOW)).to.equal(undefined);
  });

  it('knows where each backend of a rule leads, and what the Service drains for itself', () => {
    const names = ['web', 'web-west', 'web-federated'];
    const backends = names.map((name) => ({ namespace: 'shop', service: name, port: 80, weight: 1 }));
    const spec = { routing: { rules: [{ name: 'split', backends }], entries: [] }, leaves: {} };
    const labels = { 'mirror.linkerd.io/cluster-name': 'west' };
    const mirror = { metadata: { name: 'web-west', namespace: 'shop', labels } };
    const drain = (until: number) => writeDrain({ to: 0, start: NOW - 1000, rampMs: 0, until, drill: false });
    const drains = {
      'drain.linkspan.dev/west': drain(NOW + 1000),
      'drain.linkspan.dev/local': drain(NOW + 2000),
      'drain.linkspan.dev/north': drain(NOW + 3000),
    };
    const groups = (about: V1Service) =>
      groupsOf(about, new Map([[80, spec]]), {
        services: [mirror, service()],
        slices: [],
        said: new Map(),
      });
    const about = { metadata: { namespace: 'shop', name: 'checkout', annotations: drains } };
    const [group] = groups(about);
    expect(group).to.deep.include({
      owner: about,
      clusters: new Map([
        ['web', 'local'],
        ['web-west', 'west'],
      ]),
      within: new Map(['west', 'north', 'local'].map((cluster) => [cluster, 'shop/web-federated'])),
    });
    const ends = (one: typeof group) =>
      one?.group.backends.map(({ name, drains: its = [] }) => [name, ...its.map(({ until }) => until - NOW)]);
    expect(ends(group)).to.deep.equal([['web', 2000], ['web-west', 1000], ['web-federated']]);
    // `linkspan explain` shows the same.
    const conditions = [
      {
        type: 'linkspan.dev/FailoverReady',
        status: 'True',
        reason: 'PrimaryServing',
        message: '',
        lastTransitionTime: new Date(NOW),
      },
    ];
    const apexes = groups(about);
    const rows = failoverRows({ services: [], slices: [], links: [], apexes }, NOW);
    expect(apexText({ ...about, status: { conditions } }, rows, NOW)).to.match(
      /web-west +0\.00% .*Drained \(Drained\)/,
    );
    // Those of a federated Service are of its clusters.
    expect(ends(groups(service(drains))[0])).to.deep.equal(names.map((name) => [name]));
  });

  // The egress gives it its part; here it was withdrawn, as its slices show no endpoint of its own.
  it('gives a federated Service behind a split its part, as the egress does', () => {
    const backends = ['web-federated', 'web-west'].map((name) => ({
      namespace: 'shop',
      service: name,
      port: 80,
      weight: 1,
    }));
    const routing = { rules: [{ name: 'split', backends }], entries: [] };
    const leaf = { name: 'web-federated.shop.svc.cluster.local', port: 80, endpoints: [] };
    const spec = { routing, leaves: { 'shop/web-federated:80': leaf } };
    const mirrors = { services: [service()], slices: [], said: new Map() };
    const apexes = groupsOf(
      { metadata: { namespace: 'shop', name: 'checkout' } },
      new Map([[80, spec]]),
      mirrors,
    );
    expect(shares({ services: [], slices: [], links: [], apexes })).to.deep.equal({
      'web-federated': 0.5,
      'web-west': 0.5,
    });
  });

  it('takes tiers and drains from Links where the Service says nothing', () => {
    const link = (name: string, annotations: Record<string, string>) =>
      ({ metadata: { name, annotations }, spec: { targetClusterName: name } }) as unknown as LinkObject;
    const links = [
      link('west', { 'failover.linkspan.dev/tier': '1' }),
      link('north', { 'failover.linkspan.dev/tier': '1', 'failover.linkspan.dev/weight': '0' }),
    ];
    expect(shares(objects({ services: [service()], links }))).to.deep.equal({
      local: 0.7,
      west: 0.3,
      north: 0,
    });
  });

  it('takes what holds before what was written', () => {
    const services = [
      service({
        'failover.linkspan.dev/tiers': 'west; ?',
        'failover.linkspan.dev/effective-tiers': 'local; west; north',
      }),
    ];
    expect(shares(objects({ services }))).to.deep.equal({ local: 0.7, west: 0.3, north: 0 });
  });

  it('is not short of capacity where the controller has heard that none fails or waits, but is in a plan', () => {
    const conditions = [{ type: 'linkspan.dev/CapacityShort', status: 'False', reason: 'DemandMet' }];
    const met = { ...service(), status: { conditions } } as V1Service;
    const slices = ['local', 'west', 'north'].map((name) => slice(name, { ready: 1 }));
    const rows = (one: V1Service, without: readonly string[] = []) =>
      failoverRows(objects({ services: [one], slices }), NOW, new Set(without));
    const shorts = (list: ReturnType<typeof rows>) =>
      list.map(({ capacityShort, endpointsShort }) => [capacityShort, endpointsShort]);
    expect(shorts(rows(service()))).to.deep.equal([[true, true]]);
    expect(shorts(rows(met))).to.deep.equal([[false, true]]);
    expect(shorts(rows(met, ['north']))).to.deep.equal([[true, true]]);
    expect(failoverText(rows(met), NOW)).to.match(
      /CapacityShort: no \(\S+% of what is expected, but no request/,
    );
  });

  it('prints a table', () => {
    expect(failoverText(failoverRows(objects(), NOW), NOW)).to.equal(
      [
        'SERVICE         TIER   BACKEND   SHARE    READY   PATH    STATE                                SINCE',
        'web-federated   0      local     70.00%   5/10    -       Active                               3m',
        'web-federated   1      west      30.00%   10/10   alive   Spilling (SpillLowCapacity)          3m',
        'web-federated   2      north     0.00%    8/8     alive   Held (withdrawn 2 times, 44s left)   16s',
        '',
        'web-federated: SpillLowCapacity · CapacityShort: no · next change: 14:00:44Z',
        '',
      ].join('\n'),
    );
  });

  it('knows nothing of a member without facts, and says so', () => {
    const text = failoverText(failoverRows(objects({ slices: [] }), NOW), NOW);
    expect(text).to.match(/local +100\.00% +- +- +Unknown +-/);
    expect(failoverText([], NOW)).to.equal('No federated Service.\n');
  });

  it('plans what would be if clusters were gone, and whether that is enough', () => {
    const plan = (...without: string[]) => {
      const [before, after] = [failoverRows(objects(), NOW), failoverRows(objects(), NOW, new Set(without))];
      return planText(before, after, { without, now: NOW });
    };
    expect(shares(objects(), ['local'])).to.deep.equal({ local: 0, west: 1, north: 0 });
    expect(plan('local')).to.contain('Without local:').and.to.contain('Every Service would have enough.');
    expect(plan('west', 'north')).to.contain(
      'shop/web-federated: capacity would be short, 70.00% of what is asked',
    );
    expect(plan('local', 'west', 'north')).to.contain('shop/web-federated: nobody could serve');
  });

  const plan = (given: FailoverObjects, ...without: string[]) =>
    planText(failoverRows(given, NOW), failoverRows(given, NOW, new Set(without)), { without, now: NOW });

  // With shares that are limited the plan said that there is enough, and half of all requests were refused.
  it('plans how many requests would be refused', () => {
    const services = [
      service({
        'failover.linkspan.dev/tiers': 'west, north',
        'failover.linkspan.dev/policy': 'max-share=west:50%,north:50%',
      }),
    ];
    const slices = [slice('west', {}), slice('north', {})];
    expect(plan(objects({ services, slices }), 'local')).to.contain('Every Service would have enough.');
    expect(plan(objects({ services, slices }), 'north'))
      .to.contain('shop/web-federated: 50.00% of the requests would be refused')
      .and.not.to.contain('enough');
  });

  // It said that nobody could serve, above a table in which a drained cluster does.
  it('plans who would be left, though somebody drains it', () => {
    const drain = { to: 0, start: NOW - 3_600_000, rampMs: 1000, until: NOW + 3_600_000, drill: false };
    const north = {
      metadata: { name: 'north', annotations: { 'linkspan.dev/drain': writeDrain(drain) } },
      spec: { targetClusterName: 'north' },
    } as unknown as LinkObject;
    const given = objects({ links: [north] });
    expect(shares(given, ['local', 'west'])).to.deep.equal({ local: 0, west: 0, north: 1 });
    expect(plan(given, 'local', 'west'))
      .to.contain('shop/web-federated: nobody would be left but north (Drained)')
      .and.not.to.contain('nobody could serve');
    expect(plan(given, 'local', 'west', 'north')).to.contain('shop/web-federated: nobody could serve');
  });

  // A cluster whose name was mistyped was planned to be gone: "Every Service would have enough."
  it('knows which names are of nobody', () => {
    const link = { metadata: { name: 'x' }, spec: { targetClusterName: 'south' } } as unknown as LinkObject;
    const given = objects({ links: [link] });
    expect(unknownMembers(given, ['local', 'west', 'south', 'wset'])).to.deep.equal(['wset']);
    expect(unknownMembers(objects({ services: [] }), ['local'])).to.deep.equal([]);
  });
});
