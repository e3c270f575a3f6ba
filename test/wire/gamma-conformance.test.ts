import { expect } from 'chai';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import type { RouteKind } from '../../src/policy/routing/read-route.ts';
import { type RoutingFacts, serviceRouting } from '../../src/policy/routing/service-routing.ts';
import { closedIn } from '../support/closed-in.ts';
import type { Case, Fields } from '../support/gamma-case.ts';
import { named, NAMESPACE, PORTED, to, V1, V2 } from '../support/gamma-cases.ts';
import { type LocalGateway, localGateway } from '../support/local-gateway.ts';
import { routeOf, routingFacts } from '../support/routing-facts.ts';
import type { ClientKind } from '../support/service-client.ts';

const KINDS: readonly ClientKind[] = ['http1', 'http2'];
/** What an application says of what it got. */
interface Echoed {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/**
 * Upstream's tests of a mesh need the mesh's own proxy in front of each of their clients; here their requests
 * come to the gateway, as those of other clusters do. What is not ported: a Service that is asked for
 * under another's name (`mesh-frontend-hostname`), as a name is all that a gateway has of it.
 */
describe("Gateway API's conformance tests for meshes", () => {
  const closed = closedIn(after);
  const origins = new Map<string, number>();
  let gateway: LocalGateway;

  before(async () => {
    for (const name of [V1, V2]) origins.set(name, await origin(name));
    gateway = closed(await localGateway([], {}), (one) => one.close());
  });

  async function origin(name: string): Promise<number> {
    const server = http.createServer((request, response) => {
      response.setHeader('x-origin', name);
      response.end(JSON.stringify({ path: request.url, headers: request.headers }));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closed(server, (one) => {
      one.closeAllConnections();
      one.close();
    });
    return (server.address() as AddressInfo).port;
  }

  const endpointsOf = (name: string) => {
    const port = origins.get(name);
    return port === undefined ? [] : [{ host: '127.0.0.1', port, ready: true }];
  };

  /** Serves `echo` and what is behind it; routes hold where their parent is. */
  function serve(route: object, kind: RouteKind, more: Partial<RoutingFacts> = {}): void {
    const specs: TargetSpec[] = [];
    for (const service of ['echo', V1, V2])
      for (const port of [80, 8080]) {
        const facts = routingFacts({ service, port, routes: [routeOf(route, kind)], ...more });
        const { routing } = serviceRouting({ ...facts, service, port });
        const names = routing?.rules.flatMap(({ backends }) => backends.map((one) => one.service)) ?? [];
        const leaves = Object.fromEntries(
          [...new Set(names)].map((name) => [
            `${NAMESPACE}/${name}:80`,
            { name: named(name), port: 80, endpoints: endpointsOf(name), protocol: 'http1' as const },
          ]),
        );
        specs.push({
          name: named(service),
          port,
          endpoints: service === 'echo' ? [V1, V2].flatMap(endpointsOf) : endpointsOf(service),
          protocol: 'http1',
          ...(routing === undefined ? {} : { routed: { routing, leaves } }),
        });
      }
    gateway.serve(specs);
  }

  async function check(kind: ClientKind, one: Case): Promise<void> {
    const { host = 'echo', port = 80, path, headers = {}, status = 200, backend, seen, answer } = one;
    const response = await gateway.client.request(kind, named(host), { path, headers }, port);
    const words = `${path} ${JSON.stringify(headers)}`;
    expect(response.status, words).to.equal(status);
    if (backend !== undefined) expect(response.headers['x-origin'], words).to.equal(backend);
    hasFields(response.headers, answer, words);
    if (seen !== undefined) {
      const echoed = JSON.parse(response.body.toString()) as Echoed;
      if (seen.path !== undefined) expect(echoed.path, words).to.equal(seen.path);
      hasFields(echoed.headers, seen, words);
    }
    if (one.redirected === undefined) return;
    const asked = `http://${named(host)}`;
    const place = new URL(String(response.headers['location']), asked);
    expect(
      { protocol: place.protocol, host: place.hostname, port: place.port, path: place.pathname },
      words,
    ).to.deep.equal({ protocol: 'http:', host: named(host), port: '', path, ...one.redirected });
  }

  for (const {
    file,
    rules,
    parent = { name: 'echo', port: 80 },
    namespace,
    clientNamespace,
    cases,
  } of PORTED)
    for (const kind of KINDS)
      it(`${file} of ${parent.name}${clientNamespace === undefined ? '' : ', clients of a namespace'}, over ${kind}`, async () => {
        const parentRefs = [
          {
            group: '',
            kind: 'Service',
            ...parent,
            ...(namespace === undefined ? {} : { namespace: NAMESPACE }),
          },
        ];
        const route = { rules, parentRefs, ...(namespace === undefined ? {} : { namespace }) };
        serve(route, 'HTTPRoute', clientNamespace === undefined ? {} : { clientNamespace });
        for (const one of cases) await check(kind, one);
      });

  for (const [file, kind, more] of [
    ['httproute-weight', 'HTTPRoute', []],
    ['grpcroute-weight', 'GRPCRoute', [to('echo-v3', { weight: 0 })]],
  ] as const)
    it(`${file}: 70/30 within 5 points`, async () => {
      const backendRefs = [to(V1, { weight: 70 }), to(V2, { weight: 30 }), ...more];
      const parentRefs = [{ group: '', kind: 'Service', name: 'echo', port: 80 }];
      serve({ rules: [{ backendRefs }], parentRefs }, kind);
      const counts: Record<string, number> = {};
      for (let n = 0; n < 1500; n++) {
        const { headers } = await gateway.client.request('http2', named('echo'), { path: '/a.B/C' });
        const from = String(headers['x-origin']);
        counts[from] = (counts[from] ?? 0) + 1;
      }
      expect(counts).to.have.keys(V1, V2);
      expect((counts[V2] ?? 0) / 1500).to.be.within(0.25, 0.35);
    });
});

function hasFields(
  headers: Readonly<Record<string, unknown>>,
  wanted: { readonly headers?: Fields; readonly absent?: readonly string[] } | undefined,
  words: string,
): void {
  for (const [name, value] of Object.entries(wanted?.headers ?? {})) {
    const there = headers[name.toLowerCase()];
    const text = Array.isArray(there) ? there.join(',') : String(there);
    // Values of one field may stand in one line, with a space behind the comma or not (RFC 9110 section 5.3).
    expect(text.replaceAll(', ', ','), `${words}: ${name}`).to.equal(value);
  }
  for (const name of wanted?.absent ?? [])
    expect(headers[name.toLowerCase()], `${words}: ${name}`).to.equal(undefined);
}
