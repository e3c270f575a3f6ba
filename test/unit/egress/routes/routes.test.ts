import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import type { LinkObject } from '../../../../src/api/link/link-schema.ts';
import {
  ANY_MEMBER,
  APEX_MEMBER,
  type EgressClaim,
  readShard,
  type RecordEntry,
  shardOf,
  writeEntry,
} from '../../../../src/api/egress/egress-record.ts';
import { useSurfaced } from '../../../support/surfaced.ts';
import type { RoutedService } from '../../../../src/discovery/apex-routing.ts';
import { isApex, isGroup, type Route } from '../../../../src/egress/routes/route.ts';
import { routesOf } from '../../../../src/egress/routes/routes.ts';

const westGateway = { addresses: ['10.0.0.1', 'gw.example'], port: 4143, identity: 'gw' };
const west: LinkObject = {
  metadata: { name: 'west' },
  spec: {
    targetClusterName: 'west',
    gatewayAddress: '10.0.0.1, gw.example,10.0.0.1',
    gatewayPort: '4143',
    gatewayIdentity: 'gw',
  },
};
const north: LinkObject = {
  metadata: { name: 'north' },
  spec: {
    targetClusterName: 'north',
    gatewayAddress: '10.1.0.1',
    gatewayPort: '4143',
    gatewayIdentity: 'gw.north',
  },
};
const northGateway = { addresses: ['10.1.0.1'], port: 4143, identity: 'gw.north' };

function mirror(annotations: Record<string, string> = {}): V1Service {
  return {
    metadata: { name: 'web-west', namespace: 'demo', annotations },
    spec: { ports: [{ port: 80, appProtocol: 'http' }] },
  };
}

const web = {
  mirror: 'demo/web-west',
  port: 80,
  export: 'demo/web',
  link: 'links/west',
  cluster: 'west',
  target: 'web.demo.svc.cluster.local',
};

/** The routes of a record, as it is read from its ConfigMaps. */
function routes(
  record: Readonly<Record<number, RecordEntry | string>>,
  facts: {
    mirrors?: readonly V1Service[];
    links?: Readonly<Record<string, LinkObject>>;
    apex?: RoutedService;
    former?: ReadonlyMap<number, Route>;
  } = {},
): Map<number, Route> {
  const { mirrors = [mirror()], links = { 'links/west': west, 'links/north': north } } = facts;
  const entries = new Map<number, RecordEntry>();
  for (const [text, entry] of Object.entries(record)) {
    const value = typeof entry === 'string' ? entry : (writeEntry(entry) ?? '');
    for (const [port, found] of readShard(shardOf(Number(text)), { [text]: value })) entries.set(port, found);
  }
  return routesOf({
    record: entries,
    mirror: (key) => mirrors.find(({ metadata }) => `${metadata?.namespace}/${metadata?.name}` === key),
    link: (key) => links[key],
    former: (port) => facts.former?.get(port),
    apex: (key) => (key === `demo/${facts.apex?.service.metadata?.name}` ? facts.apex : undefined),
  });
}

describe('egress routes of the record', () => {
  const surfaced = useSurfaced();

  it('are what record and Link say together', () => {
    expect([...routes({ 12_000: web })]).to.deep.equal([
      [
        12_000,
        {
          label: 'demo/web-west:80',
          namespace: 'demo',
          listenPort: 12_000,
          targetCluster: 'west',
          name: 'web.demo.svc.cluster.local',
          port: 80,
          protocol: 'http1',
          gateway: westGateway,
        },
      ],
    ]);
  });

  // Whoever may make an apex must not say where somebody's mirror leads, nor be able to make a port by it.
  it("of a user's Service lead where the entries of mirrors lead, and to pods by their Services", () => {
    const to = (service: string, weight: number) => ({ namespace: 'demo', service, port: 80, weight });
    const backends = [to('web-west', 1), to('web', 9), to('gone-north', 1)];
    const routing = { rules: [{ name: 'split', backends }], entries: [] };
    const own = (name: string): V1Service => ({ metadata: { name, namespace: 'demo' }, spec: {} });
    const apex: RoutedService = {
      service: own('checkout'),
      ports: new Map([[80, routing]]),
      backends: new Map([['demo/web', own('web')]]),
    };
    const claim = { mirror: 'demo/checkout', member: APEX_MEMBER, port: 80 } as const;
    const gone = { ...web, mirror: 'demo/gone-north', link: 'links/gone' };
    const found = routes({ 12_000: web, 12_001: claim, 12_002: gone }, { apex }).get(12_001);
    expect(found).to.include({
      label: 'demo/checkout:80',
      namespace: 'demo',
      apex: 'demo/checkout',
      routing,
    });
    expect(found).to.have.deep.property('groups', ['demo/checkout']);
    expect(found !== undefined && isApex(found) && found.backends).to.deep.equal([
      {
        key: 'demo/web-west:80',
        label: 'demo/checkout@web-west:80',
        service: 'demo/web-west',
        namespace: 'demo',
        to: { cluster: 'west', gateway: { name: web.target, port: 80, gateway: westGateway } },
      },
      {
        key: 'demo/web:80',
        label: 'demo/checkout@web:80',
        service: 'demo/web',
        namespace: 'demo',
        to: { local: { name: 'web.demo.svc.cluster.local', port: 80 } },
      },
    ]);
    // Without an entry, and for a port about which nothing is said, there is none.
    expect([...routes({ 12_000: web }, { apex }).keys()]).to.deep.equal([12_000]);
    expect(routes({ 12_001: { ...claim, port: 90 } }, { apex }).size).to.equal(0);
    expect(routes({ 12_001: claim }).size).to.equal(0);
  });

  // Each backend of each port is kept ready: one tenant's routes took gigabytes of all egress pods.
  it('have no more backends of apexes than their namespace may, and take none from others', () => {
    const apexOf = (namespace: string, count: number): RoutedService => {
      const backends = Array.from({ length: count }, (_, n) => ({
        namespace,
        service: `web-${n}`,
        port: 80,
        weight: 1,
      }));
      const routing = { rules: [{ name: 'it', backends }], entries: [] };
      const service: V1Service = { metadata: { name: 'a', namespace }, spec: { ports: [{ port: 80 }] } };
      return { service, ports: new Map([80, 81, 82].map((port) => [port, routing])), backends: new Map() };
    };
    const record = new Map<number, RecordEntry>();
    for (const namespace of ['small', 'greedy', ...Array.from({ length: 18 }, (_, n) => `n-${n}`)])
      for (const port of [80, 81, 82])
        record.set(12_000 + record.size, { mirror: `${namespace}/a`, member: APEX_MEMBER, port });
    const kept = (entries: ReadonlyMap<number, RecordEntry>) => {
      const found = routesOf({
        record: entries,
        mirror: () => undefined,
        link: () => undefined,
        apex: (key) => {
          const namespace = key.split('/')[0] ?? '';
          return apexOf(namespace, namespace === 'small' ? 5 : 400);
        },
      });
      return [...found.values()]
        .filter(isApex)
        .sort((a, b) => a.listenPort - b.listenPort)
        .map(({ backends, leftOut }) => [backends.length, leftOut]);
    };
    const found = kept(record);
    expect(found.slice(0, 6)).to.deep.equal([
      [5, undefined],
      [5, undefined],
      [5, undefined],
      [400, undefined],
      [100, 300],
      [0, 400],
    ]);
    // The same ones, in whatever order the record is.
    expect(kept(new Map([...record].reverse()))).to.deep.equal(found);
    expect(kept(new Map([...record].slice(3, 6)))).to.deep.equal([
      [400, undefined],
      [400, undefined],
      [200, 200],
    ]);
  });

  // Where a namespace had rules about federated Services alone, all of their backends were left out.
  it('have room for the backends of rules about federated Services, whose clusters do not count', () => {
    const to = (service: string) => ({ namespace: 'demo', service, port: 80, weight: 1 });
    const others = Array.from({ length: 1200 }, (_, n) => to(`web-${n}`));
    const rules = [
      { name: 'canary', backends: others },
      { name: 'rest', backends: [to('web-federated')] },
    ];
    const service: V1Service = { metadata: { name: 'web-federated', namespace: 'demo' }, spec: {} };
    const ports = new Map([[80, { rules, entries: [] }]]);
    const apex: RoutedService = { service, ports, backends: new Map(), isFederated: true };
    const group = { mirror: 'demo/web-federated', member: ANY_MEMBER, port: 80 } as const;
    const member = { ...web, mirror: 'demo/web-federated', member: 'west' };
    const mirrors = [service];
    const found = routes({ 12_000: member, 12_001: group }, { apex, mirrors }).get(12_001);
    if (found === undefined || !isApex(found)) throw new Error('no rules are followed');
    expect(found.backends).to.have.lengthOf(1001);
    expect(found.leftOut).to.equal(200);
    expect(found.backends.at(-1)?.service).to.equal('demo/web-federated');
  });

  // What one tenant has written must not be able to stop the routes of all others, nor to close its own.
  it('at which a mistake of ours comes stay as they were, and the others follow', () => {
    const former = routes({ 12_000: web }).get(12_000);
    const found = routesOf({
      record: new Map([
        [12_000, web],
        [12_001, { ...web, mirror: 'demo/other-west' }],
        [12_002, web],
      ]),
      mirror: (key) => {
        if (key === 'demo/web-west') throw new TypeError('a bug');
        return mirror();
      },
      link: () => west,
      former: (port) => (port === 12_000 ? former : undefined),
    });
    expect([...found.keys()].toSorted((a, b) => a - b)).to.deep.equal([12_000, 12_001]);
    expect(found.get(12_000)).to.equal(former);
    expect(surfaced.map(({ port }) => port)).to.deep.equal(['12000', '12002']);
  });

  it('have the retries and timeouts of the mirror, as far as they can be followed', () => {
    const annotations = { 'retry.linkerd.io/http': '503', 'timeout.linkerd.io/idle': 'long' };
    const { requests } = routes({ 12_000: web }, { mirrors: [mirror(annotations)] }).get(12_000) ?? {};
    expect(requests).to.deep.equal({ retry: { statuses: [{ min: 503, max: 503 }], grpc: [], limit: 1 } });
  });

  // A tenant's mirror, older than the victim's, said "my port is 24307" and got its traffic, tokens included;
  // and two Services could claim all 20,000 ports.
  it('are not moved, added or led elsewhere by anything that stands on a Service', () => {
    const all = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [index + 1, 10_000 + index]));
    const annotations = {
      'linkspan.dev/egress-ports': JSON.stringify({ ...all, 80: 12_000 }),
      'linkspan.dev/data-path': 'relay',
      'mirror.linkerd.io/remote-svc-fq-name': 'evil.tenant.svc.cluster.local',
      'linkspan.dev/gateway': JSON.stringify({ addresses: ['10.66.0.1'], port: 4143, identity: 'evil' }),
      'multicluster.linkerd.io/remote-discovery': 'evil@west',
      'egress-ports.linkspan.dev/west': '{"80":12000}',
    };
    const labels = { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'west' };
    const evil = (namespace: string, name: string): V1Service => ({
      metadata: { name, namespace, labels, annotations, creationTimestamp: new Date('2020-01-01') },
      spec: { ports: [{ port: 80, appProtocol: 'http' }] },
    });
    const mirrors = [evil('tenant', 'evil-west'), evil('tenant', 'evil-federated'), evil('demo', 'web-west')];
    expect([...routes({ 12_000: web }, { mirrors })]).to.deep.equal([...routes({ 12_000: web })]);
  });

  it("go to the gateway that the record names instead of the Link's", () => {
    const gateway = { addresses: ['10.9.0.1'], port: 5143, identity: 'other.gw' };
    const found = routes(
      { 12_000: { ...web, gateway } },
      { links: { 'links/west': { spec: { targetClusterName: 'west' } } } },
    );
    expect(found.get(12_000)).to.have.deep.property('gateway', gateway);
  });

  it("are none where the gateway of an export is not known: the Link's may not serve it", () => {
    expect(routes({ 12_000: { ...web, gateway: null } }).size).to.equal(0);
  });

  it("go to each cluster of a federated Service through its own Link's gateway", () => {
    const member = (cluster: string) => ({
      ...web,
      mirror: 'demo/web-federated',
      member: cluster,
      link: `links/${cluster}`,
      cluster,
    });
    const found = [...routes({ 12_000: member('west'), 12_001: member('north') }).values()];
    expect(found.map((route) => [route.label, 'gateway' in route && route.gateway])).to.deep.equal([
      ['demo/web-federated@west:80', westGateway],
      ['demo/web-federated@north:80', northGateway],
    ]);
  });

  describe('of all members of a federated Service', () => {
    const member = (cluster: string, change: Partial<EgressClaim> = {}): EgressClaim => ({
      ...web,
      mirror: 'demo/web-federated',
      member: cluster,
      link: `links/${cluster}`,
      cluster,
      ...change,
    });
    const group = { mirror: 'demo/web-federated', member: ANY_MEMBER, port: 80 } as const;
    const backend = { name: web.target, port: 80 };
    const expected = {
      label: 'demo/web-federated:80',
      service: 'demo/web-federated',
      namespace: 'demo',
      listenPort: 12_002,
      protocol: undefined,
      allowedNamespaces: [],
      members: [
        { cluster: 'north', label: 'demo/web-federated@north:80', ...backend, gateway: northGateway },
        { cluster: 'west', label: 'demo/web-federated@west:80', ...backend, gateway: westGateway },
      ],
    };

    // There are thousands: a second object for each would be kept by whoever serves the first one.
    it('are the same objects where nothing has changed, and one object is the gateway of all', () => {
      const record = { 12_000: member('west'), 12_001: member('north'), 12_002: group };
      const former = routes(record);
      const next = { ...record, 12_003: { ...web, cluster: 'north', link: 'links/north' } };
      const now = routes(next, { former });
      for (const [port, route] of former) expect(now.get(port)).to.equal(route);
      const gateways = [...now.values()].flatMap((one) => {
        if (isGroup(one)) return one.members.map(({ gateway }) => gateway);
        return isApex(one) ? [] : [one.gateway];
      });
      expect([gateways.length, new Set(gateways).size]).to.deep.equal([5, 2]);
    });

    // The port of a federated Service led to one cluster, whichever it was that kube-proxy had drawn.
    it('lead to those that have a port of their own, in whichever order the record has them', () => {
      const record = { 12_000: member('west'), 12_001: member('north'), 12_002: group };
      expect(routes(record).get(12_002)).to.deep.equal(expected);
      const turned = { 12_000: member('north'), 12_001: member('west'), 12_002: group };
      expect(routes(turned).get(12_002)).to.deep.equal(expected);
    });

    it('leave out a member whose Link is gone or names another cluster, and other Services and ports', () => {
      const record = {
        12_000: member('west'),
        12_001: member('south'),
        12_002: group,
        12_003: member('north', { port: 81 }),
        12_004: member('north', { mirror: 'demo/shop-federated' }),
        12_005: { ...web, link: 'links/north', cluster: 'north', mirror: 'demo/web-federated' },
        12_006: { mirror: 'demo/web-federated', member: 'north', port: 80, freed: 1 },
      };
      expect(routes(record).get(12_002)).to.deep.equal({
        ...expected,
        members: expected.members.slice(1),
      });
    });

    // Its pods were beside the egress pods, and not in the group.
    it('lead to the member of this cluster, too, where the Service says that it has one', () => {
      const record = { 12_000: member('west'), 12_002: group };
      const localOf = (name: string, entries: Readonly<Record<number, RecordEntry>> = record): unknown => {
        const annotations = { 'multicluster.linkerd.io/local-discovery': name };
        const mirror = { metadata: { name: 'web-federated', namespace: 'demo', annotations } };
        const route = routes(entries, { mirrors: [mirror] }).get(12_002);
        return route !== undefined && isGroup(route) ? route.local : 'no route';
      };
      const there = { name: 'web.demo.svc.cluster.local', port: 80 };
      expect(localOf('web')).to.deep.equal(there);
      expect(localOf('other'), 'another than its name says').to.equal(undefined);
      // The last other member has gone a moment ago.
      const freed = { mirror: 'demo/web-federated', member: ANY_MEMBER, port: 80, freed: 1 };
      expect(localOf('web', { 12_002: freed })).to.deep.equal(there);
      expect([...routes({ 12_002: freed }).keys()]).to.deep.equal([]);
    });

    it('are none without a member', () => {
      expect([...routes({ 12_001: member('south'), 12_002: group }).keys()]).to.deep.equal([]);
    });
  });

  const none: [string, RecordEntry | string, Readonly<Record<string, LinkObject>>?][] = [
    ['a Link', web, {}],
    ['a Link that still names the cluster', web, { 'links/west': north }],
    ['a port of the gateway', web, { 'links/west': { spec: { ...west.spec, gatewayPort: 'abc' } } }],
    ['an address of the gateway', web, { 'links/west': { spec: { ...west.spec, gatewayAddress: ' ,' } } }],
    ['an identity of the gateway', web, { 'links/west': { spec: { ...west.spec, gatewayIdentity: '' } } }],
    ['a claim, when it was given back', { mirror: 'demo/web-west', port: 80, freed: 1 }],
    ['a readable entry', '{"mirror":'],
    ['an entry of a bearable length', JSON.stringify({ ...web, target: 'x'.repeat(3000) })],
    ['a target', JSON.stringify({ ...web, target: '' })],
    [
      'a readable gateway, where the entry names one',
      JSON.stringify({ ...web, gateway: { addresses: 'x' } }),
    ],
  ];
  for (const [what, entry, links] of none) {
    it(`are none without ${what}, and unharmed for others`, () => {
      const other = { ...web, mirror: 'demo/shop-north', link: 'links/north', cluster: 'north' };
      const found = routes(
        { 12_000: entry, 12_001: other },
        links === undefined ? {} : { links: { ...links, 'links/north': north } },
      );
      expect([...found.keys()]).to.deep.equal([12_001]);
    });
  }

  it('are none for a port outside of the range, or that stands in another shard than its own', () => {
    expect(routes({ 80: web, 30_000: web, 9999: web }).size).to.equal(0);
    expect(readShard(shardOf(12_000) + 1, { 12000: writeEntry(web) ?? '' }).size).to.equal(0);
  });
});
