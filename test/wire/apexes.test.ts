import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { once } from 'node:events';
import { type FailoverDrain, writeDrain } from '../../src/api/failover/failover-drain.ts';
import { FAILOVER_DRAIN } from '../../src/api/failover/failover-names.ts';
import { serviceDrainKey } from '../../src/api/mirror/service-drain.ts';
import { ALLOWED_NAMESPACES } from '../../src/api/names.ts';
import {
  ANY_MEMBER,
  APEX_MEMBER,
  type EgressClaim,
  type RecordEntry,
} from '../../src/api/egress/egress-record.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { LinkObject } from '../../src/api/link/link-schema.ts';
import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import { PublishedBackends } from '../../src/egress/apexes/known-backends.ts';
import { publishEgress } from '../../src/egress/egress-metrics.ts';
import { routesOf } from '../../src/egress/routes/routes.ts';
import { endpointDial } from '../../src/gateway/endpoint-dial.ts';
import { endedDrain } from '../../src/policy/failover/drain-change.ts';
import { overGroup } from '../../src/policy/routing/group-routing.ts';
import { type RoutingFacts, serviceRouting } from '../../src/policy/routing/service-routing.ts';
import { createRegistry } from '../../src/telemetry/registry.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { freePorts } from '../support/free-port.ts';
import { factsSlice, GroupStores } from '../support/group-objects.ts';
import { GRPC_FIELDS } from '../support/grpc.ts';
import { ListedClients, pod } from '../support/listed-clients.ts';
import { grpcOrigin, http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';
import { PlainClient } from '../support/plain-client.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import { routeOf, routingFacts } from '../support/routing-facts.ts';
import { SetTargets } from '../support/set-targets.ts';
import type { ClientKind } from '../support/service-client.ts';
import { seeded } from '../support/seeded.ts';

const named = (name: string) => `${name}.demo.svc.cluster.local`;
const KINDS: readonly ClientKind[] = ['http1', 'http2'];
const APEX = 'checkout';
const GROUP = 'web-federated';
const to = (name: string, weight = 1, more: object = {}) => ({ name, port: 80, weight, ...more });
const split = (weights: Readonly<Record<string, number>>, more: object = {}): Partial<RoutingFacts> => ({
  splits: [
    {
      name: 'canary',
      created: 0,
      service: APEX,
      backends: Object.entries(weights).map(([service, weight]) => ({ service, weight })),
      ...more,
    },
  ],
});
const service = (name: string, annotations: Record<string, string> = {}): V1Service => ({
  metadata: { name, namespace: 'demo', annotations },
  spec: { ports: [{ port: 80 }] },
});
const OTHER = '127.0.0.21';
const HERE = '127.0.0.22';

// Clients without a mesh had no canary to another cluster: splits and routes were followed by the gateway of
// the target only, and a Service for one needs Linkerd's proxy beside its clients.
describe('a Service of a user that leads to pods here and to other clusters', () => {
  const closed = closedIn(after);
  const origins = new Map<string, Origin>();
  const stores = new GroupStores();
  const targets = new SetTargets();
  let relay: Relay;
  let client: PlainClient;
  let other: PlainClient;
  let here: PlainClient;
  let ports: number[];
  /** Annotations of backends, by name. */
  let rules: Readonly<Record<string, Record<string, string>>> = {};
  /** Of the apex. */
  let own: Record<string, string> = {};
  /** Clusters that a drill takes for dead. */
  const dead = new Set<string>();

  before(async () => {
    for (const name of ['web', 'west', 'north']) origins.set(name, await http1Origin(name));
    origins.set('h2', await http2Origin('h2'));
    origins.set('grpc', await grpcOrigin());
    origins.set('raw-a', await rawOrigin('a'));
    origins.set('raw-b', await rawOrigin('b'));
    for (const origin of origins.values()) closed(origin, (one) => one.close());
    relay = closed(
      await startRelay({
        specs: [],
        services: [],
        egress: {
          random: seeded(40),
          local: { targets, dial: endpointDial },
          drills: {
            isDead: (backend: object) => 'cluster' in backend && dead.has(String(backend.cluster)),
          },
          known: new PublishedBackends({ ...stores, local: targets, clock: systemClock }),
          clients: new ListedClients({ [OTHER]: [pod('other', 'o')], [HERE]: [pod('demo', 'd')] }),
        },
      }),
      (one) => one.close(),
    );
    ports = await freePorts(5);
    const open = (from?: string) =>
      closed(
        new PlainClient(
          new Map([
            [`${APEX}:80`, ports[0] ?? 0],
            [`${GROUP}:80`, ports[4] ?? 0],
          ]),
          from,
        ),
        (one) => one.close(),
      );
    [client, other, here] = [open(), open(OTHER), open(HERE)];
    west('west', 'north');
    pods('web', 'web');
    pods('h2', 'h2', 'http2');
    pods('grpc', 'grpc', 'http2');
  });
  afterEach(async () => {
    rules = {};
    own = {};
    dead.clear();
    stores.links.replace([link('west'), link('north')]);
    stores.slices.replace([]);
    west('west', 'north');
    pods('web', 'web');
    // What has refused requests for lack of endpoints is left out for a while, until it has answered one.
    await serve(split({ 'web-west': 1 }));
    for (const kind of KINDS)
      await eventually('west is used again', async () => (await ask(kind)) === 'west');
  });

  const endpointsOf = (origin: string | undefined) => {
    const port = origins.get(origin ?? '')?.port;
    return port === undefined ? [] : [{ host: '127.0.0.1', port, ready: true }];
  };
  /** Pods of this cluster behind a Service; undefined: none. */
  const pods = (name: string, origin: string | undefined, protocol: TargetSpec['protocol'] = 'http1') =>
    targets.set(named(name), endpointsOf(origin), protocol);
  /** What the gateway of the other clusters serves: each as `web`, one for each origin. */
  const west = (...served: readonly string[]) =>
    relay.local.serve(
      ['west', 'north'].map((origin) => ({
        name: named(origin),
        port: 80,
        endpoints: served.includes(origin) ? endpointsOf(origin) : [],
        protocol: 'http1',
      })),
    );
  const link = (cluster: string, annotations: Record<string, string> = {}): LinkObject =>
    ({
      metadata: { name: cluster, namespace: 'links', annotations, resourceVersion: String(Math.random()) },
      spec: {
        targetClusterName: cluster,
        gatewayAddress: '127.0.0.1',
        gatewayPort: String(relay.local.port),
        gatewayIdentity: 'gateway.west',
      },
    }) as LinkObject;
  const claim = (mirror: string, cluster: string, member?: string): EgressClaim => ({
    mirror: `demo/${mirror}`,
    ...(member === undefined ? {} : { member }),
    port: 80,
    export: `demo/${cluster}`,
    link: `links/${cluster}`,
    cluster,
    target: named(cluster),
  });

  /** What is published of the mirror in west. */
  const mirrorFacts = (facts: Parameters<typeof factsSlice>[2]['facts']) => {
    const slice = factsSlice('web', 'west', { facts: facts ?? {} });
    const labels = { ...slice.metadata?.labels, 'kubernetes.io/service-name': 'web-west' };
    stores.slices.set({ ...slice, metadata: { ...slice.metadata, labels } });
  };

  /** Has the egress serve the apex by these facts. */
  async function serve(facts: Partial<RoutingFacts>, about = APEX): Promise<void> {
    const found = serviceRouting(routingFacts({ service: about, failover: {}, ...facts })).routing;
    const isFederated = about === GROUP;
    const routing =
      found && isFederated ? overGroup(found, { namespace: 'demo', service: GROUP, port: 80 }) : found;
    const entries: RecordEntry[] = [
      { mirror: `demo/${APEX}`, member: APEX_MEMBER, port: 80 },
      claim('web-west', 'west'),
      claim('web-federated', 'west', 'west'),
      claim('web-federated', 'north', 'north'),
      { mirror: 'demo/web-federated', member: ANY_MEMBER, port: 80 },
    ];
    const record = new Map(entries.map((entry, at) => [ports[at] ?? 0, entry] as const));
    const object = (key: string) => {
      const name = key.slice('demo/'.length);
      return service(name, rules[name]);
    };
    const routes = routesOf({
      record,
      mirror: object,
      link: (key) => link(key.slice('links/'.length)),
      apex: (key) => {
        if (routing === undefined || key !== `demo/${about}`) return undefined;
        const backends = routing.rules.flatMap((rule) => rule.backends);
        return {
          service: service(about, own),
          isFederated,
          ports: new Map([[80, routing]]),
          backends: new Map(
            backends.map(({ service: name }) => [`demo/${name}`, object(`demo/${name}`)] as const),
          ),
        };
      },
    });
    relay.egress.update(routes);
    const port = ports[isFederated ? 4 : 0] ?? 0;
    await eventually('the egress listens', () => relay.egress.ports.includes(port));
  }
  const page = () => {
    const registry = createRegistry();
    const divisions = () => relay.egress.ruleDivisions();
    const { refused } = relay.egress;
    publishEgress(registry, { refused, pods: () => 0, divisions, gateways: () => [] });
    return registry.metrics();
  };
  /** The shares on metrics, by Service, backend and tier. */
  async function shown(): Promise<Record<string, number[]>> {
    const found: Record<string, number[]> = {};
    const line = /^linkspan_failover_share\{service="(.+?)",backend="(.+?)",tier="(\d)"\} (\S+)$/gm;
    for (const [, service = '', backend = '', tier = '', share] of (await page()).matchAll(line))
      (found[`${service} ${backend} ${tier}`] ??= []).push(Number(share));
    return found;
  }
  /** The states on metrics, by backend. */
  async function states(): Promise<Record<string, string>> {
    const line = /^linkspan_failover_state\{.*backend="(.+?)",state="(\w+)"\} 1$/gm;
    return Object.fromEntries(
      [...(await page()).matchAll(line)].map(([, backend = '', state = '']) => [backend, state]),
    );
  }
  const routesOn = (name: string, ...all: object[]) => ({
    routes: [routeOf({ rules: all, parentRefs: [{ group: '', kind: 'Service', name }] })],
  });
  const routes = (...all: object[]) => routesOn(APEX, ...all);

  async function ask(
    kind: ClientKind,
    path = '/hello',
    headers: Readonly<Record<string, string>> = {},
    by = client,
    name = APEX,
  ): Promise<string> {
    const response = await by.request(kind, name, { path, headers });
    return response.status === 200 ? String(response.headers['x-origin']) : String(response.status);
  }

  /** How many of so many requests each origin had, or each status that is not 200. */
  async function spread(kind: ClientKind, count: number, by = client): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (let n = 0; n < count; n++) {
      const from = await ask(kind, '/hello', {}, by);
      counts[from] = (counts[from] ?? 0) + 1;
    }
    return counts;
  }

  /** Answers to requests on one connection, whose heads are these. */
  async function sent(by: PlainClient, ...heads: readonly string[]): Promise<string[]> {
    const socket = await by.connect(APEX);
    const answers: string[] = [];
    for (const head of heads) {
      socket.write(`${head}\r\nhost: ${APEX}\r\n\r\n`);
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      answers.push(chunk.toString('latin1'));
    }
    socket.destroy();
    return answers;
  }

  // What stands before the routes for each client did not pass on whether a route answers a request itself,
  // and whether a client's own connection may carry the next one.
  for (const [what, fields] of [
    ['an upgrade', 'connection: upgrade\r\nupgrade: echo'],
    ['a request that signs in', 'authorization: Negotiate abc'],
  ] as const) {
    it(`redirects ${what}`, async () => {
      const requestRedirect = { path: { type: 'ReplaceFullPath', replaceFullPath: '/new' } };
      await serve(routes({ filters: [{ type: 'RequestRedirect', requestRedirect }] }));
      const [answer] = await sent(client, `GET /old HTTP/1.1\r\n${fields}`);
      expect(answer).to.match(/^HTTP\/1.1 302 /);
    });

    it(`changes ${what} as its backend says`, async () => {
      const filters = [
        { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'x-a', value: 'set' }] } },
        { type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-by', value: 'it' }] } },
      ];
      await serve(routes({ backendRefs: [to('web', 1, { filters })] }));
      const [answer] = await sent(client, `GET /facts HTTP/1.1\r\n${fields}`);
      expect(answer)
        .to.match(/\r\nx-by: it\r\n/)
        .and.to.contain('"x-a":"set"');
    });
  }

  it('asks for each request of a client that has signed in who may use its backend', async () => {
    rules = { 'web-west': { [ALLOWED_NAMESPACES]: 'demo' } };
    await serve(
      routes(
        { matches: [{ path: { type: 'Exact', value: '/hello' } }], backendRefs: [to('web')] },
        { matches: [{ path: { type: 'PathPrefix', value: '/facts' } }], backendRefs: [to('web-west')] },
      ),
    );
    const origin = (answer: string) => /\r\nx-origin: (\S+)/.exec(answer)?.[1] ?? answer.split(' ', 2)[1];
    const heads = ['GET /hello HTTP/1.1\r\nauthorization: Negotiate abc', 'GET /facts HTTP/1.1'];
    expect((await sent(here, ...heads)).map(origin)).to.deep.equal(['web', 'west']);
    expect((await sent(other, ...heads)).map(origin)).to.deep.equal(['web', '403']);
  });

  it('ends an upgrade when its backend lets the client in no more', async () => {
    await serve(routes({ backendRefs: [to('web')] }));
    const socket = await other.connect(APEX);
    socket.on('error', () => undefined);
    socket.write(`GET / HTTP/1.1\r\nhost: ${APEX}\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n`);
    await once(socket, 'data');
    const closes = new Promise((resolve) => socket.once('close', resolve));
    rules = { web: { [ALLOWED_NAMESPACES]: 'demo' } };
    await serve(routes({ backendRefs: [to('web')] }));
    await closes;
  });

  for (const kind of KINDS) {
    it(`divides 90/10 over ${kind}`, async () => {
      await serve(split({ web: 90, 'web-west': 10 }));
      const counts = await spread(kind, 400);
      expect(counts).to.have.keys('web', 'west');
      expect(counts['west']).to.be.within(20, 60);
    });

    it(`follows changes on open connections over ${kind}`, async () => {
      await serve(split({ web: 1 }));
      expect(await ask(kind)).to.equal('web');
      await serve(split({ 'web-west': 1 }));
      expect(await ask(kind)).to.equal('west');
    });

    it(`gives the part of a backend that cannot be used to the others over ${kind}`, async () => {
      await serve(split({ web: 90, 'web-west': 10, missing: 5 }));
      pods('web', undefined);
      expect(await spread(kind, 20)).to.deep.equal({ west: 20 });
      pods('web', 'web');
      west();
      const counts = await spread(kind, 20);
      expect(counts).to.deep.equal({ web: 20 });
    });

    it(`refuses it where that is asked for over ${kind}`, async () => {
      await serve(split({ web: 50, missing: 50 }, { failUnavailable: true }));
      expect(await spread(kind, 40)).to.have.keys('web', '503');
    });

    it(`leads by header, path and method over ${kind}, and refuses what is wrong`, async () => {
      await serve(
        routes(
          {
            matches: [
              {
                path: { type: 'Exact', value: '/hello' },
                headers: [{ name: 'x-canary', value: 'yes' }],
              },
            ],
            backendRefs: [to('web-west')],
          },
          {
            matches: [{ path: { type: 'Exact', value: '/status/200' } }],
            backendRefs: [to('x', 1, { kind: 'Bucket' })],
          },
          {
            matches: [{ path: { type: 'PathPrefix', value: '/old' } }],
            filters: [
              {
                type: 'URLRewrite',
                urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/hello' } },
              },
            ],
            backendRefs: [to('web-west')],
          },
          { matches: [{ path: { type: 'Exact', value: '/hello' } }], backendRefs: [to('web')] },
        ),
      );
      expect(await ask(kind, '/hello', { 'x-canary': 'yes' })).to.equal('west');
      expect(await ask(kind, '/hello')).to.equal('web');
      expect(await ask(kind, '/old')).to.equal('west');
      expect(await ask(kind, '/status/200')).to.equal('500');
      expect(await ask(kind, '/none')).to.equal('404');
    });

    it(`limits the time of a rule and tries again as it says, over ${kind}`, async () => {
      await serve(
        routes(
          {
            matches: [{ path: { type: 'PathPrefix', value: '/silence' } }],
            timeouts: { request: '100ms' },
            backendRefs: [to('web-west')],
          },
          {
            matches: [{ path: { type: 'PathPrefix', value: '/status' } }],
            retry: { codes: [503], attempts: 2 },
            backendRefs: [to('web-west')],
          },
        ),
      );
      expect(await ask(kind, '/silence')).to.equal('504');
      const before = origins.get('west')?.count() ?? 0;
      expect(await ask(kind, '/status/503')).to.equal('503');
      expect((origins.get('west')?.count() ?? 0) - before).to.equal(3);
    });

    // What stood there twice had one draw, and its second entry got no request. So did a reference that is
    // wrong and has the name of one that is right.
    for (const [how, failover] of [
      ['by weight', {}],
      ['by tiers', { tiers: 'web; web-west' }],
    ] as [string, { tiers?: string }][])
      it(`divides the part of a Service among its entries with other filters ${how}, over ${kind}`, async () => {
        const sets = (value: string) => ({
          filters: [
            { type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-by', value }] } },
          ],
        });
        const wrong = to('web', 100, { kind: 'Bucket' });
        const served = async (...backendRefs: object[]) => {
          await serve({ ...routes({ backendRefs }), failover });
          const counts: Record<string, number> = {};
          for (let n = 0; n < 100; n++) {
            const { status, headers } = await client.request(kind, APEX, { path: '/hello' });
            const by = status === 200 ? String(headers['x-by']) : String(status);
            counts[by] = (counts[by] ?? 0) + 1;
          }
          return counts;
        };
        const counts = await served(
          to('web', 3, sets('a')),
          to('web', 1, sets('b')),
          to('web', 0, sets('c')),
        );
        expect(counts).to.have.keys('a', 'b');
        expect(counts['b']).to.be.within(10, 40);
        const isRefused = failover.tiers === undefined;
        expect(await served(to('web', 100, sets('a')), wrong)).to.have.keys(
          ...(isRefused ? ['a', '500'] : ['a']),
        );
      });

    it(`divides the part of a federated Service among its clusters over ${kind}`, async () => {
      await serve(split({ web: 50, 'web-federated': 50 }));
      const counts = await spread(kind, 200);
      expect(counts).to.have.keys('web', 'west', 'north');
      expect(counts['web']).to.be.within(70, 130);
      // One of the clusters is lost: its part stays in the federated Service.
      west('north');
      const after = await spread(kind, 200);
      expect(after).to.have.keys('web', 'north');
      expect(after['web']).to.be.within(70, 130);
      // Both are: another backend takes it.
      west();
      expect(await spread(kind, 20)).to.deep.equal({ web: 20 });
    });

    it(`takes a drained cluster's part away over ${kind}, and gives it back`, async () => {
      await serve(split({ web: 50, 'web-west': 50 }));
      const now = Date.now();
      const drain: FailoverDrain = {
        to: 0,
        start: now - 2000,
        rampMs: 1000,
        until: now + 60_000,
        by: 'test',
      } as FailoverDrain;
      stores.links.set(link('west', { [FAILOVER_DRAIN]: writeDrain(drain) }));
      await eventually('nobody is sent there', async () => (await spread(kind, 20))['web'] === 20);
      // Nobody else: what is drained still serves.
      pods('web', undefined);
      expect(await spread(kind, 5)).to.deep.equal({ west: 5 });
      pods('web', 'web');
      stores.links.set(link('west'));
      expect(await spread(kind, 40)).to.have.keys('web', 'west');
    });

    // A drain of one Service was for federated ones only: of a canary only all of the cluster could be
    // drained.
    it(`takes its part away from a cluster that the Service drains for itself over ${kind}`, async () => {
      await serve(split({ web: 50, 'web-west': 50 }));
      const now = Date.now();
      const drain = writeDrain({ to: 0, start: now - 2000, rampMs: 1000, until: now + 60_000, drill: false });
      const drained = async (cluster: string) => {
        own = { [serviceDrainKey(cluster)]: drain };
        await serve(split({ web: 50, 'web-west': 50 }));
      };
      await drained('west');
      expect(await spread(kind, 20)).to.deep.equal({ web: 20 });
      expect(await states()).to.deep.equal({ web: 'Active', 'web-west': 'Drained' });
      // Nobody else: what is drained still serves.
      pods('web', undefined);
      expect(await spread(kind, 5)).to.deep.equal({ west: 5 });
      pods('web', 'web');
      await drained('local');
      expect(await spread(kind, 20)).to.deep.equal({ west: 20 });
      await drained('south');
      expect(await spread(kind, 40)).to.have.keys('web', 'west');
      // The clusters of a federated backend have drains of their own.
      await drained('west');
      await serve(split({ 'web-federated': 1 }));
      expect(await spread(kind, 40)).to.have.keys('west', 'north');
    });

    // The report said that clients had not noticed: nothing had been taken from them.
    it(`has requests find another backend where a drill takes a cluster for dead over ${kind}`, async () => {
      await serve(split({ web: 50, 'web-west': 50 }));
      expect(await spread(kind, 40)).to.have.keys('web', 'west');
      dead.add('west');
      expect(await spread(kind, 40)).to.deep.equal({ web: 40 });
      dead.clear();
      await eventually('west serves again', async () => (await ask(kind)) === 'west');
    });

    // Time moves its share both ways, and nobody writes anything meanwhile.
    it(`takes it away along the ramp, and gives it back along the same over ${kind}`, async () => {
      const start = Date.now();
      const fall = { to: 0, start, rampMs: 1500, until: start + 60_000, drill: false } as const;
      const said = async (drain: FailoverDrain) => {
        own = { [serviceDrainKey('west')]: writeDrain(drain) };
        await serve(split({ web: 50, 'web-west': 50 }));
      };
      /** The share of `west` until it is that, as it was seen. */
      const until = async (wanted: number) => {
        const seen: number[] = [];
        const isThere = async () => {
          seen.push((await shown())[`demo/${APEX} web-west 0`]?.[0] ?? Number.NaN);
          return seen.at(-1) === wanted;
        };
        await eventually(`west has ${wanted}`, isThere);
        return seen;
      };
      const ways = (seen: readonly number[]) => seen.filter((share) => share > 0 && share < 0.5);
      await said(fall);
      const falling = await until(0);
      expect(falling).to.deep.equal(falling.toSorted((a, b) => b - a));
      expect(ways(falling), falling.join(' ')).not.to.have.lengthOf(0);
      expect(await spread(kind, 20)).to.deep.equal({ web: 20 });
      await said(endedDrain(fall, Date.now()) ?? fall);
      const rising = await until(0.5);
      expect(rising).to.deep.equal(rising.toSorted((a, b) => a - b));
      expect(ways(rising), rising.join(' ')).not.to.have.lengthOf(0);
      expect(await spread(kind, 40)).to.have.keys('web', 'west');
    });

    it(`uses the next tier when the first is lost over ${kind}`, async () => {
      await serve(split({ web: 1, 'web-west': 0 }, { failover: { tiers: 'web; web-west' } }));
      expect(await spread(kind, 10)).to.deep.equal({ web: 10 });
      const refused = split({ web: 1, 'web-west': 0 }, { failover: { managed: { primary: 'web-west' } } });
      await serve(refused);
      expect(await spread(kind, 10)).to.deep.equal({ west: 10 });
      west();
      expect(await spread(kind, 10)).to.deep.equal({ web: 10 });
    });

    // Strictest wins: whoever may make an apex must not lead clients past the rule of a mirror.
    it(`refuses the part of a backend that the client may not use, over ${kind}`, async () => {
      rules = { 'web-west': { [ALLOWED_NAMESPACES]: 'demo' } };
      await serve(split({ web: 50, 'web-west': 50 }));
      expect(await spread(kind, 40, other)).to.have.keys('web', '403');
      expect(await spread(kind, 40, here)).to.have.keys('web', 'west');
      // On connections that are open, too.
      rules = {};
      await serve(split({ web: 50, 'web-west': 50 }));
      expect(await spread(kind, 40, other)).to.have.keys('web', 'west');
      own = { [ALLOWED_NAMESPACES]: 'demo' };
      await serve(split({ web: 50, 'web-west': 50 }));
      expect(await spread(kind, 4, other)).to.deep.equal({ '403': 4 });
    });

    it(`speaks to pods here as their Service says, over ${kind}`, async () => {
      await serve(split({ h2: 1 }));
      expect(await ask(kind)).to.equal('h2');
    });
  }

  // A route whose parent was a federated Service was ignored, and its clients had no canary.
  describe('that is federated, and about which something is written', () => {
    const asked = (kind: ClientKind, path = '/hello', headers: Readonly<Record<string, string>> = {}) =>
      ask(kind, path, headers, client, GROUP);
    const several = async (kind: ClientKind, count: number) => {
      const all = new Set<string>();
      for (let n = 0; n < count; n++) all.add(await asked(kind));
      return [...all].sort();
    };
    const rule = (value: string, ...backendRefs: object[]) => ({
      matches: [{ path: { type: 'Exact', value } }],
      backendRefs,
    });

    for (const kind of KINDS) {
      it(`leads where its rules say over ${kind}, and else to its clusters`, async () => {
        await serve(routesOn(GROUP, rule('/canary', to('web'))), GROUP);
        expect(await several(kind, 40)).to.deep.equal(['north', 'west']);
        const rewrite = { path: { type: 'ReplaceFullPath', replaceFullPath: '/hello' } };
        const filters = [{ type: 'URLRewrite', urlRewrite: rewrite }];
        const canary = { ...rule('/canary', to('web')), filters };
        await serve(routesOn(GROUP, canary), GROUP);
        expect(await asked(kind, '/canary')).to.equal('web');
        // Of a rule, too, they are a backend.
        await serve(routesOn(GROUP, { backendRefs: [to(GROUP), to('web')] }), GROUP);
        expect(await several(kind, 60)).to.deep.equal(['north', 'web', 'west']);
        // Without a rule it is as before, once connections that had one are left.
        await serve({}, GROUP);
        await eventually('as before', async () => (await several(kind, 40)).join() === 'north,west');
      });

      it(`follows a split over ${kind}, and the shares of its clusters within`, async () => {
        const facts = split({ web: 50, [GROUP]: 50 }, { service: GROUP });
        await serve(facts, GROUP);
        expect(await several(kind, 60)).to.deep.equal(['north', 'web', 'west']);
        west('north');
        await eventually('west is left', async () => (await several(kind, 20)).join() === 'north,web');
        west('west', 'north');
      });

      it(`keeps what is refused refused over ${kind}: a reference that is wrong, a client`, async () => {
        await serve(routesOn(GROUP, rule('/hello', to('x', 1, { kind: 'Bucket' }))), GROUP);
        expect(await asked(kind)).to.equal('500');
        rules = { web: { [ALLOWED_NAMESPACES]: 'demo' } };
        await serve(routesOn(GROUP, rule('/hello', to('web'))), GROUP);
        expect(await ask(kind, '/hello', {}, other, GROUP)).to.equal('403');
        expect(await ask(kind, '/hello', {}, here, GROUP)).to.equal('web');
      });
    }

    // Those of the Service are about the clusters of the Service, as its tiers and policy are.
    it('follows no drain of its own in its rules', async () => {
      const now = Date.now();
      const drain = writeDrain({ to: 0, start: now - 2000, rampMs: 1000, until: now + 60_000, drill: false });
      own = { [serviceDrainKey('west')]: drain };
      await serve(routesOn(GROUP, rule('/hello', to('web'), to('web-west'))), GROUP);
      expect(await several('http1', 40)).to.deep.equal(['web', 'west']);
    });

    it('shows its rules beside its clusters', async () => {
      await serve(routesOn(GROUP, rule('/hello', to('web'), to(GROUP))), GROUP);
      expect(await shown()).to.deep.equal({
        'demo/web-federated rule 1 web 0': [0.5],
        'demo/web-federated rule 1 web-federated 0': [0.5],
      });
    });

    it('takes raw connections to its clusters where there are routes only', async () => {
      const raw = { port: 80, endpoints: endpointsOf('raw-a'), protocol: 'opaque' } as const;
      relay.local.serve(['west', 'north'].map((cluster) => ({ name: named(cluster), ...raw })));
      own = { 'config.linkerd.io/opaque-ports': '80' };
      await serve(routesOn(GROUP, rule('/hello', to('web'))), GROUP);
      const socket = await client.connect(GROUP);
      socket.write('x');
      let said = '';
      for await (const chunk of socket) if ((said += String(chunk)).length > 1) break;
      expect(said).to.equal('ax');
    });
  });

  it('leads gRPC by its method', async () => {
    const more = { parentRefs: [{ group: '', kind: 'Service', name: APEX }] };
    const all = [{ matches: [{ method: { service: 'fail' } }], backendRefs: [to('grpc')] }];
    await serve({ routes: [routeOf({ rules: all, ...more }, 'GRPCRoute')] });
    const call = (path: string) =>
      client.request('http2', APEX, { method: 'POST', path, headers: GRPC_FIELDS });
    const before = origins.get('grpc')?.count() ?? 0;
    await call('/fail/5');
    expect((origins.get('grpc')?.count() ?? 0) - before).to.equal(1);
    const none = await call('/other/x');
    expect(none.headers['grpc-status'] ?? none.trailers['grpc-status']).to.equal('12');
  });

  describe('for raw connections', () => {
    const greeting = async (by = client) => {
      const socket = await by.connect(APEX);
      socket.write('x');
      let said = '';
      let ended = false;
      socket.on('data', (chunk: Buffer) => (said += String(chunk)));
      for (const how of ['end', 'close']) socket.once(how, () => (ended = true));
      await eventually('it answers or ends', () => said.endsWith('x') || ended);
      socket.destroy();
      return said.endsWith('x') ? said : 'closed';
    };
    const opaque = () => {
      own = { 'config.linkerd.io/opaque-ports': '80' };
    };

    it('follows a split, once for each connection', async () => {
      opaque();
      pods('raw-a', 'raw-a', 'opaque');
      pods('raw-b', 'raw-b', 'opaque');
      await serve(split({ 'raw-a': 50, 'raw-b': 50 }));
      const said = new Set<string>();
      await eventually('both are reached', async () => {
        said.add(await greeting());
        return said.size === 2;
      });
      expect([...said].sort()).to.deep.equal(['ax', 'bx']);
      pods('raw-a', undefined, 'opaque');
      for (let n = 0; n < 5; n++) expect(await greeting()).to.equal('bx');
    });

    it('ends those to a backend that the client may not use any more', async () => {
      opaque();
      await serve(split({ 'raw-a': 1 }));
      pods('raw-a', 'raw-a', 'opaque');
      const socket = await other.connect(APEX);
      socket.write('x');
      await once(socket, 'data');
      const gone = new Promise((resolve) => socket.once('close', resolve));
      rules = { 'raw-a': { [ALLOWED_NAMESPACES]: 'demo' } };
      await serve(split({ 'raw-a': 1 }));
      await gone;
      expect(await greeting(other)).to.equal('closed');
      expect(await greeting(here)).to.equal('ax');
    });
  });

  // Dashboards and alerts of federated Services said nothing of a canary that was led by the egress.
  it('says on metrics what each rule gives to whom, as `linkspan failover` does', async () => {
    const now = Date.now();
    const drain = { to: 0, start: now - 2000, rampMs: 1000, until: now + 60_000, by: 'test' };
    await serve(split({ web: 90, 'web-west': 10 }));
    expect(await shown()).to.deep.equal({ 'demo/checkout web 0': [0.9], 'demo/checkout web-west 0': [0.1] });
    expect(await states()).to.deep.equal({ web: 'Active', 'web-west': 'Unknown' });
    stores.links.set(link('west', { [FAILOVER_DRAIN]: writeDrain(drain as FailoverDrain) }));
    expect(await shown()).to.deep.equal({ 'demo/checkout web 0': [1], 'demo/checkout web-west 0': [0] });
    expect(await states()).to.deep.equal({ web: 'Active', 'web-west': 'Drained' });
    await serve(
      routes(
        { matches: [{ path: { type: 'Exact', value: '/hello' } }], backendRefs: [to('web')] },
        { backendRefs: [to('web-federated'), to('web')] },
      ),
    );
    expect(await shown()).to.deep.equal({
      'demo/checkout rule 1 web 0': [1],
      'demo/checkout rule 2 web 0': [0.5],
      'demo/checkout rule 2 web-federated 0': [0.5],
    });
  });

  it('shows no more backends of a port than a page of metrics can bear', async () => {
    const rule = (nth: number) => ({
      matches: [{ path: { type: 'Exact', value: `/${nth}` } }],
      backendRefs: Array.from({ length: 16 }, (_, at) => to(`web-${at}`)),
    });
    await serve(routes(...Array.from({ length: 16 }, (_, nth) => rule(nth))));
    expect(Object.keys(await shown())).to.have.lengthOf(128);
  });

  it('knows the facts of mirrors, and goes on by them', async () => {
    await serve(split({ 'web-west': 1, web: 1 }, { failover: { tiers: 'web-west; web' } }));
    expect(await spread('http1', 5)).to.deep.equal({ west: 5 });
    mirrorFacts({ path: 'dead', usableSince: null });
    expect(await spread('http1', 5)).to.deep.equal({ web: 5 });
  });

  // Pods here counted as one, however many there were, and as one where there was none: `linkspan failover`,
  // which counts them, said 75/25 of what was 50/50.
  it('knows how many pods here are ready, and divides by that as by the facts of mirrors', async () => {
    mirrorFacts({ ready: 1, known: 1, expected: 1 });
    const endpoint = { host: '127.0.0.1', port: 1, ready: true };
    const isShown = (web: number, west_: number) =>
      eventually(`web has ${web}`, async () => {
        const is = await shown();
        expect(is).to.deep.equal({ 'demo/checkout web 0': [web], 'demo/checkout web-west 0': [west_] });
        return true;
      });
    targets.set(named('web'), [endpoint, endpoint, endpoint], 'http1');
    await serve(split({ web: 1, 'web-west': 1 }, { failover: { tiers: 'web, web-west' } }));
    await isShown(0.75, 0.25);
    targets.set(named('web'), [endpoint, { ...endpoint, ready: false }], 'http1');
    await isShown(0.5, 0.5);
    // They serve because no other does, but are about to go.
    targets.set(
      named('web'),
      [endpoint, endpoint].map((one) => ({ ...one, leaving: true as const })),
      'http1',
    );
    await isShown(0, 1);
  });
});
