import { expect } from 'chai';
import { once } from 'node:events';
import type { RoutedSpec, TargetSpec } from '../../src/discovery/target-spec.ts';
import { UNRESTRICTED } from '../../src/gateway/authorization/policy-verdict.ts';
import { NO_POLICIES, type PolicySource } from '../../src/gateway/authorization/policy-source.ts';
import type { DstOverride } from '../../src/api/routing/dst-overrides.ts';
import { type RoutingFacts, serviceRouting } from '../../src/policy/routing/service-routing.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { GRPC_FIELDS } from '../support/grpc.ts';
import { type LocalGateway, localGateway } from '../support/local-gateway.ts';
import type { MeshClient } from '../support/mesh-client.ts';
import { grpcOrigin, http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';
import { routeOf, routingFacts } from '../support/routing-facts.ts';
import type { ClientKind } from '../support/service-client.ts';
import { seeded } from '../support/seeded.ts';

const named = (name: string) => `${name}.demo.svc.cluster.local`;
const WEB = named('web');
const KINDS: readonly ClientKind[] = ['http1', 'http2'];
const to = (name: string, weight = 1, more: object = {}) => ({ name, port: 80, weight, ...more });
const split = (weights: Readonly<Record<string, number>>): Partial<RoutingFacts> => ({
  splits: [
    {
      name: 'canary',
      created: 0,
      service: 'web',
      backends: Object.entries(weights).map(([service, weight]) => ({ service, weight })),
    },
  ],
});

/**
 * Who replaced Linkerd's gateway by ours silently turned a canary of 90/10 into 100/0: nothing that is
 * written about a Service's routing in its own cluster was followed for clients of other clusters.
 */
describe('splits and routes of an exported Service', () => {
  const closed = closedIn(after);
  const origins = new Map<string, Origin>();
  const denied = new Set<string>();
  let policyVersion = 0;
  let tellPolicies: (namespace: string | undefined) => void = () => undefined;
  let gateway: LocalGateway;
  let client: MeshClient;

  const policies: PolicySource = {
    ...NO_POLICIES,
    version: () => policyVersion,
    verdict: ({ name }) =>
      denied.has(name) ? { allowed: false, policy: 'server/deny', reason: 'not for you' } : UNRESTRICTED,
    subscribe: (listener) => {
      tellPolicies = listener;
      return () => undefined;
    },
  };

  before(async () => {
    for (const name of ['web', 'web-a', 'web-b']) origins.set(name, await http1Origin(name));
    origins.set('web-h2', await http2Origin('web-h2'));
    origins.set('grpc-a', await grpcOrigin());
    origins.set('grpc-b', await grpcOrigin());
    origins.set('raw-a', await rawOrigin('a'));
    origins.set('raw-b', await rawOrigin('b'));
    for (const origin of origins.values()) closed(origin, (one) => one.close());
    gateway = closed(await localGateway([], { random: seeded(20), policies }), (one) => one.close());
    client = gateway.client;
  });
  afterEach(() => {
    denied.clear();
    policyVersion++;
  });

  function leaf(name: string, protocol?: TargetSpec['protocol']): TargetSpec {
    const port = origins.get(name)?.port;
    return {
      name: named(name),
      port: 80,
      endpoints: port === undefined ? [] : [{ host: '127.0.0.1', port, ready: true }],
      ...(protocol === undefined ? {} : { protocol }),
    };
  }

  /** Serves the Service `web` with these rules; its backends are origins of the same name. */
  function serve(facts: Partial<RoutingFacts> | undefined, more: Partial<TargetSpec> = {}): void {
    const routing = facts === undefined ? undefined : serviceRouting(routingFacts(facts)).routing;
    const names = routing?.rules.flatMap(({ backends }) => backends.map(({ service }) => service)) ?? [];
    const leaves = Object.fromEntries(
      [...new Set(names)]
        .filter((name) => name !== 'missing')
        .map((name) => [`demo/${name}:80`, leaf(name, name === 'web-h2' ? 'http2' : undefined)]),
    );
    const routed: { readonly routed?: RoutedSpec } =
      routing === undefined ? {} : { routed: { routing, leaves } };
    gateway.serve([{ ...leaf('web', 'http1'), ...more, ...routed }]);
  }
  const routes = (...rules: object[]) => ({ routes: [routeOf({ rules })] });

  async function ask(
    kind: ClientKind,
    path = '/hello',
    headers: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    const response = await client.request(kind, WEB, { path, headers });
    return response.status === 200 ? String(response.headers['x-origin']) : String(response.status);
  }

  /** How many of so many requests each origin had, or each status that is not 200. */
  async function spread(kind: ClientKind, count: number): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (let n = 0; n < count; n++) {
      const from = await ask(kind);
      counts[from] = (counts[from] ?? 0) + 1;
    }
    return counts;
  }

  for (const kind of KINDS) {
    it(`keep 90/10 over ${kind}, on one connection`, async () => {
      serve(split({ 'web-a': 90, 'web-b': 10 }));
      const counts = await spread(kind, 400);
      expect(counts).to.have.keys('web-a', 'web-b');
      expect(counts['web-b']).to.be.within(20, 60);
    });

    it(`follow a change, and the end of a split, over ${kind}`, async () => {
      serve(split({ 'web-a': 1 }));
      expect(await ask(kind)).to.equal('web-a');
      serve(split({ 'web-b': 1 }));
      expect(await ask(kind)).to.equal('web-b');
      serve(undefined);
      expect(await ask(kind)).to.equal('web');
    });

    it(`give the part of a backend without endpoints to the others over ${kind}`, async () => {
      serve(split({ 'web-a': 10, missing: 90 }));
      expect(await spread(kind, 20)).to.deep.equal({ 'web-a': 20 });
    });

    it(`refuse it where that is asked for over ${kind}`, async () => {
      const annotations = { 'failover.linkspan.dev/policy': 'on-unavailable=fail' };
      const rules = [{ backendRefs: [to('web-a'), to('missing')] }];
      serve({ routes: [routeOf({ rules, annotations })] });
      const counts = await spread(kind, 60);
      expect(counts).to.have.keys('web-a', '503');
    });

    it(`lead by header to the canary over ${kind}`, async () => {
      serve(
        routes(
          { matches: [{ headers: [{ name: 'x-canary', value: 'yes' }] }], backendRefs: [to('web-b')] },
          { backendRefs: [to('web-a')] },
        ),
      );
      expect(await ask(kind, '/hello', { 'x-canary': 'yes' })).to.equal('web-b');
      expect(await ask(kind, '/hello', { 'x-canary': 'no' })).to.equal('web-a');
    });

    it(`answer what no rule is for with 404 over ${kind}`, async () => {
      serve(routes({ matches: [{ path: { type: 'Exact', value: '/hello' } }], backendRefs: [to('web-a')] }));
      expect(await ask(kind)).to.equal('web-a');
      expect(await ask(kind, '/status/200')).to.equal('404');
    });

    it(`answer the part of a reference that is wrong with 500 over ${kind}`, async () => {
      const rules = [{ backendRefs: [to('web-a', 3), to('x', 1, { kind: 'Bucket' })] }];
      serve({ routes: [routeOf({ rules })] });
      const counts = await spread(kind, 200);
      expect(counts).to.have.keys('web-a', '500');
      expect(counts['500']).to.be.within(25, 80);
      serve(routes({ backendRefs: [to('web-a', 0)] }));
      expect(await ask(kind)).to.equal('500');
    });

    it(`change requests and responses over ${kind}`, async () => {
      serve(
        routes({
          matches: [{ path: { type: 'PathPrefix', value: '/api' } }],
          filters: [
            {
              type: 'RequestHeaderModifier',
              requestHeaderModifier: {
                set: [{ name: 'X-Env', value: 'canary' }],
                add: [{ name: 'x-list', value: 'b' }],
                remove: ['x-debug'],
              },
            },
            {
              type: 'ResponseHeaderModifier',
              responseHeaderModifier: { add: [{ name: 'x-by', value: 'route' }], remove: ['x-origin'] },
            },
            {
              type: 'URLRewrite',
              urlRewrite: {
                hostname: 'inner.example',
                path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/facts' },
              },
            },
          ],
          backendRefs: [to('web-a')],
        }),
      );
      const { status, headers, body } = await client.request(kind, WEB, {
        path: '/api/x?q=1',
        headers: { 'x-env': 'prod', 'x-list': 'a', 'x-debug': '1' },
      });
      expect(status).to.equal(200);
      expect(headers).to.include({ 'x-by': 'route' }).and.not.to.have.property('x-origin');
      const seen = JSON.parse(body.toString()) as { url: string; headers: Record<string, string> };
      expect(seen.url).to.equal('/facts/x?q=1');
      expect(seen.headers).to.include({ host: 'inner.example', 'x-env': 'canary', 'x-list': 'a, b' });
      expect(seen.headers).not.to.have.property('x-debug');
      expect(seen.headers['l5d-client-id']).to.equal('client.east');
    });

    it(`redirect over ${kind}, and go on with the connection`, async () => {
      serve(
        routes({
          matches: [{ path: { type: 'PathPrefix', value: '/old' } }],
          filters: [
            {
              type: 'RequestRedirect',
              requestRedirect: {
                statusCode: 301,
                path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/new' },
              },
            },
          ],
        }),
      );
      for (const body of [[], [Buffer.from('body')]]) {
        const response = await client.request(kind, WEB, { method: 'POST', path: '/old/a?b', body });
        expect(response.status).to.equal(301);
        expect(response.headers['location']).to.equal('/new/a?b');
      }
    });

    it(`limit the time of a rule and try again as it says, over ${kind}`, async () => {
      serve(
        routes(
          {
            matches: [{ path: { type: 'PathPrefix', value: '/silence' } }],
            timeouts: { request: '100ms' },
            backendRefs: [to('web-a')],
          },
          {
            matches: [{ path: { type: 'PathPrefix', value: '/status' } }],
            retry: { codes: [503], attempts: 2 },
            backendRefs: [to('web-a')],
          },
        ),
      );
      expect(await ask(kind, '/silence')).to.equal('504');
      const before = origins.get('web-a')?.count() ?? 0;
      expect(await ask(kind, '/status/503')).to.equal('503');
      expect((origins.get('web-a')?.count() ?? 0) - before).to.equal(3);
    });

    // Strictest wins: a route must not lead past the policy of the Service that it leads to.
    it(`refuse the part of a backend that the client may not use, over ${kind}`, async () => {
      serve(split({ 'web-a': 1, 'web-b': 1 }));
      denied.add(named('web-b'));
      policyVersion++;
      const counts = await spread(kind, 60);
      expect(counts).to.have.keys('web-a', '403');
      denied.clear();
      denied.add(WEB);
      policyVersion++;
      expect(await spread(kind, 4)).to.deep.equal({ '403': 4 });
    });

    it(`speak to a backend as its own port says, over ${kind}`, async () => {
      serve(split({ 'web-h2': 1 }));
      expect(await ask(kind)).to.equal('web-h2');
    });
  }

  it('are those of overrides of a ServiceProfile', async () => {
    const overrides: DstOverride[] = [
      { namespace: 'demo', service: 'web-a', weight: 0.9 },
      { namespace: 'demo', service: 'web-b', weight: 0.1 },
    ];
    serve({ profile: { overrides, hasRoutes: false } });
    const counts = await spread('http2', 400);
    expect(counts['web-b']).to.be.within(20, 60);
  });

  it('lead an upgrade by the rule that it meets', async () => {
    serve(
      routes(
        { matches: [{ path: { type: 'Exact', value: '/hello' } }], backendRefs: [to('web-a')] },
        { backendRefs: [to('x', 1, { kind: 'Bucket' })] },
      ),
    );
    const upgraded = async (path: string) => {
      const socket = await client.connect(WEB, 80, 'http1');
      socket.write(`GET ${path} HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n`);
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      return chunk.toString('latin1').split('\r\n')[0];
    };
    expect(await upgraded('/hello')).to.equal('HTTP/1.1 101 Switching Protocols');
    expect(await upgraded('/other')).to.match(/^HTTP\/1.1 500 /);
  });

  /** What is answered to a head that is sent as it stands, on one connection. */
  async function sent(...heads: readonly string[]): Promise<string[]> {
    const socket = await client.connect(WEB, 80, 'http1');
    const answers: string[] = [];
    for (const head of heads) {
      socket.write(`${head}\r\nhost: web\r\n\r\n`);
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      answers.push(chunk.toString('latin1'));
    }
    socket.destroy();
    return answers;
  }
  const headerModifiers = [
    {
      type: 'RequestHeaderModifier',
      requestHeaderModifier: { set: [{ name: 'x-tenant', value: 'mine' }], remove: ['x-debug'] },
    },
    {
      type: 'ResponseHeaderModifier',
      responseHeaderModifier: { set: [{ name: 'x-by', value: 'route' }], remove: ['x-origin'] },
    },
  ];

  // A client passed by every filter that it did not like: by asking for an upgrade, or by a field that says
  // that it signs in on its connection.
  for (const [what, fields] of [
    ['an upgrade', 'connection: upgrade, x-tenant\r\nupgrade: echo'],
    ['a request that signs in', 'authorization: Negotiate abc\r\nconnection: x-tenant'],
  ] as const) {
    it(`change ${what}, too`, async () => {
      const rewrite = {
        type: 'URLRewrite',
        urlRewrite: {
          hostname: 'inner.example',
          path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/facts' },
        },
      };
      const matches = [{ path: { type: 'PathPrefix', value: '/api' } }];
      serve(routes({ matches, filters: [...headerModifiers, rewrite], backendRefs: [to('web-a')] }));
      const [answer = ''] = await sent(`GET /api/x?q HTTP/1.1\r\nx-tenant: yours\r\nx-debug: 1\r\n${fields}`);
      expect(answer)
        .to.match(/^HTTP\/1.1 (101|200) /)
        .and.to.match(/\r\nx-by: route\r\n/);
      expect(answer).not.to.match(/\r\nx-origin: /);
      expect(answer).to.contain('"url":"/facts/x?q"').and.to.contain('"host":"inner.example"');
      expect(answer).to.contain('"x-tenant":"mine"').and.not.to.contain('x-debug');
    });

    it(`redirect ${what}, too`, async () => {
      const requestRedirect = { path: { type: 'ReplaceFullPath', replaceFullPath: '/new' } };
      serve(routes({ filters: [{ type: 'RequestRedirect', requestRedirect }] }));
      const [answer] = await sent(`GET /old HTTP/1.1\r\n${fields}`);
      expect(answer)
        .to.match(/^HTTP\/1.1 302 /)
        .and.to.match(/\r\nlocation: \/new\r\n/i);
    });
  }

  // Its connection to the endpoint was kept for it, and whatever it asked for then went there: past rules,
  // filters, and the policies of the Services that other rules lead to.
  it('decide about each request of a client that has signed in', async () => {
    serve(
      routes(
        { matches: [{ path: { type: 'Exact', value: '/hello' } }], backendRefs: [to('web-a')] },
        { matches: [{ path: { type: 'PathPrefix', value: '/b' } }], backendRefs: [to('web-b')] },
      ),
    );
    const signing = 'HTTP/1.1\r\nauthorization: Negotiate abc';
    const plain = 'HTTP/1.1\r\nx: y';
    const answers = await sent(
      `GET /hello ${signing}`,
      `GET /hello ${plain}`,
      `GET /b ${plain}`,
      `GET /c ${plain}`,
    );
    const origin = (answer: string) => /\r\nx-origin: (\S+)/.exec(answer)?.[1] ?? answer.split(' ', 2)[1];
    expect(answers.map(origin)).to.deep.equal(['web-a', 'web-a', 'web-b', '404']);
    denied.add(named('web-a'));
    policyVersion++;
    expect((await sent(`GET /hello ${signing}`)).map(origin)).to.deep.equal(['403']);
  });

  it('end an upgrade when the client may not use the backend any more', async () => {
    serve(routes({ backendRefs: [to('web-a')] }));
    const socket = await client.connect(WEB, 80, 'http1');
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n');
    await once(socket, 'data');
    denied.add(named('web-a'));
    policyVersion++;
    const closes = new Promise((resolve) => socket.once('close', resolve));
    tellPolicies('demo');
    await closes;
  });

  for (const kind of KINDS)
    it(`change what goes to one backend, and what comes from it, over ${kind}`, async () => {
      const set = (name: string, value: string) => [
        { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name, value }] } },
        { type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-origin', value }] } },
      ];
      serve(
        routes({
          filters: headerModifiers.slice(0, 1),
          backendRefs: [
            to('web-a', 1, { filters: set('x-tenant', 'first') }),
            to('web-a', 1, { filters: set('x-tenant', 'second') }),
            to('web-b', 1),
          ],
        }),
      );
      const seen = new Set<string>();
      for (let n = 0; n < 60; n++) {
        const { headers, body } = await client.request(kind, WEB, { path: '/facts' });
        const asked = JSON.parse(body.toString()) as { headers: Record<string, string> };
        seen.add(`${asked.headers['x-tenant']} ${String(headers['x-origin'])}`);
      }
      expect([...seen].sort()).to.deep.equal(['first first', 'mine web-b', 'second second']);
      denied.add(named('web-a'));
      policyVersion++;
      expect(await spread(kind, 40)).to.have.keys('web-b', '403');
    });

  it('wait before they try again as long as the rule says', async () => {
    const matches = [{ path: { type: 'PathPrefix', value: '/status' } }];
    const rule = (backoff: string) =>
      routes({
        matches,
        retry: { codes: [503], attempts: 1, backoff },
        timeouts: { request: '2s' },
        backendRefs: [to('web-a')],
      });
    // The time of the request ends before the pause does.
    serve(rule('30s'));
    const before = origins.get('web-a')?.count() ?? 0;
    expect(await ask('http2', '/status/503')).to.equal('504');
    expect((origins.get('web-a')?.count() ?? 0) - before).to.equal(1);
  });

  it('match methods of gRPC', async () => {
    const rules = [
      { matches: [{ method: { service: 'shop', method: 'cart' } }], backendRefs: [to('grpc-a')] },
      { matches: [{ method: { service: 'fail' } }], backendRefs: [to('grpc-b')] },
    ];
    serve({ routes: [routeOf({ rules }, 'GRPCRoute')] }, { protocol: 'http2' });
    const counts = () => ['grpc-a', 'grpc-b'].map((name) => origins.get(name)?.count() ?? 0);
    const before = counts();
    await client.request('http2', WEB, { method: 'POST', path: '/fail/5', headers: GRPC_FIELDS });
    expect(counts().map((count, n) => count - (before[n] ?? 0))).to.deep.equal([0, 1]);
    const none = await client.request('http2', WEB, {
      method: 'POST',
      path: '/other/x',
      headers: GRPC_FIELDS,
    });
    expect(none.headers['grpc-status'] ?? none.trailers['grpc-status']).to.equal('12');
  });

  describe('for raw connections', () => {
    const greeting = async () => {
      const socket = await client.connect(WEB, 80, 'opaque');
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      return { text: chunk.toString('latin1'), socket };
    };

    it('are weights of a split', async () => {
      serve(split({ 'raw-a': 0, 'raw-b': 1 }), { protocol: 'opaque' });
      const { text, socket } = await greeting();
      socket.destroy();
      expect(text).to.equal('b');
    });

    it('end when the client may not use the backend any more', async () => {
      serve(split({ 'raw-b': 1 }), { protocol: 'opaque' });
      const { socket } = await greeting();
      const ended = new Promise((resolve) => socket.once('close', resolve));
      denied.add(named('raw-b'));
      policyVersion++;
      tellPolicies('demo');
      await ended;
    });
  });

  it('count requests by backend', async () => {
    serve(split({ 'web-a': 1 }));
    await ask('http2');
    await eventually('it is counted', () => {
      const group = gateway.gateway.counters.snapshot().groups[`${WEB}:80`];
      return Promise.resolve((group?.backends[`${named('web-a')}:80`]?.served ?? 0) > 0);
    });
  });
});
