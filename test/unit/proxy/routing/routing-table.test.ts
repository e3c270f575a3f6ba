import { expect } from 'chai';
import { serviceRouting } from '../../../../src/policy/routing/service-routing.ts';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import { RoutingTable } from '../../../../src/proxy/routing/routing-table.ts';
import type { RouteKind } from '../../../../src/policy/routing/read-route.ts';
import { expectUnnoticed } from '../../../support/linear-time.ts';
import { routeOf, routingFacts, type WrittenRoute } from '../../../support/routing-facts.ts';

interface Request {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The backend of a request, or why it has none. */
function backendOf(routes: readonly WrittenRoute[], request: Request, kind: RouteKind = 'HTTPRoute'): string {
  const read = routes.map((one) => routeOf(one, kind));
  const [problem] = read.flatMap((one) => one.problem ?? []);
  const { routing } = serviceRouting(routingFacts({ routes: read }));
  if (routing === undefined) return problem ?? 'no routing';
  const { method = 'GET', path = '/', headers = {} } = request;
  const fields = Object.entries(headers).map(([name, value]) => makeField(name, value));
  const found = new RoutingTable(routing).find({ method, path, fields });
  return found === undefined ? 'none' : (routing.rules[found.rule]?.backends[0]?.service ?? '');
}

const rule = (name: string, ...matches: object[]) => ({ matches, backendRefs: [{ name, port: 80 }] });
const prefix = (value: string) => ({ path: { type: 'PathPrefix', value } });
const exact = (value: string) => ({ path: { type: 'Exact', value } });
const regex = (value: string) => ({ path: { type: 'RegularExpression', value } });

type Row = readonly [what: string, rules: readonly object[], request: Request, backend: string];

/** As the documentation of HTTPRouteMatch and HTTPRouteRule.matches has it (Gateway API v1). */
const HTTP: readonly Row[] = [
  ['a prefix is of whole segments', [rule('a', prefix('/abc'))], { path: '/abc/def' }, 'a'],
  ['… the path itself', [rule('a', prefix('/abc'))], { path: '/abc' }, 'a'],
  ['… not of characters', [rule('a', prefix('/abc'))], { path: '/abcd' }, 'none'],
  ['a slash at its end is nothing', [rule('a', prefix('/abc/'))], { path: '/abc' }, 'a'],
  ['… on the path either', [rule('a', prefix('/abc'))], { path: '/abc/' }, 'a'],
  ['upper case is another path', [rule('a', prefix('/abc'))], { path: '/ABC' }, 'none'],
  ['an exact path is all of it', [rule('a', exact('/abc'))], { path: '/abc/' }, 'none'],
  ['the query is no part of it', [rule('a', exact('/abc'))], { path: '/abc?d' }, 'a'],
  ['an expression is of all of it', [rule('a', regex('/v[0-9]'))], { path: '/v1/x' }, 'none'],
  ['… and matches it', [rule('a', regex('/v[0-9]+'))], { path: '/v12' }, 'a'],
  ['methods are compared', [rule('a', { method: 'POST' })], { method: 'GET' }, 'none'],
  [
    'a header has this value',
    [rule('a', { headers: [{ name: 'Version', value: '2' }] })],
    { headers: { version: '2' } },
    'a',
  ],
  [
    '… exactly',
    [rule('a', { headers: [{ name: 'version', value: '2' }] })],
    { headers: { version: '21' } },
    'none',
  ],
  [
    '… or as an expression says',
    [rule('a', { headers: [{ name: 'version', type: 'RegularExpression', value: '2.*' }] })],
    { headers: { version: '21' } },
    'a',
  ],
  [
    'all headers of a match are there',
    [
      rule('a', {
        headers: [
          { name: 'x', value: '1' },
          { name: 'y', value: '2' },
        ],
      }),
    ],
    { headers: { x: '1' } },
    'none',
  ],
  [
    'of two entries for one header the first counts',
    [
      rule('a', {
        headers: [
          { name: 'x', value: '1' },
          { name: 'X', value: '2' },
        ],
      }),
    ],
    { headers: { x: '1' } },
    'a',
  ],
  [
    'a query parameter has this value',
    [rule('a', { queryParams: [{ name: 'animal', value: 'blue whale' }] })],
    { path: '/?x=1&animal=blue+whale' },
    'a',
  ],
  ['… decoded', [rule('a', { queryParams: [{ name: 'a&b', value: 'ä' }] })], { path: '/?a%26b=%C3%A4' }, 'a'],
  [
    '… or broken as it is',
    [rule('a', { queryParams: [{ name: 'a', value: '%zz' }] })],
    { path: '/?a=%zz' },
    'a',
  ],
  [
    'one of several matches is enough',
    [rule('a', exact('/x'), { headers: [{ name: 'v', value: '2' }] })],
    { path: '/y', headers: { v: '2' } },
    'a',
  ],
  ['without a match it is every request', [rule('a')], { path: '/any' }, 'a'],
  ['an exact path comes first', [rule('a', prefix('/x')), rule('b', exact('/x'))], { path: '/x' }, 'b'],
  ['the longest prefix', [rule('a', prefix('/x')), rule('b', prefix('/x/y'))], { path: '/x/y/z' }, 'b'],
  [
    'a path before a method',
    [rule('a', { ...prefix('/x'), method: 'GET' }), rule('b', prefix('/x/y'))],
    { path: '/x/y' },
    'b',
  ],
  [
    'a method before headers',
    [rule('a', { headers: [{ name: 'x', value: '1' }] }), rule('b', { method: 'GET' })],
    { headers: { x: '1' } },
    'b',
  ],
  [
    'more headers',
    [
      rule('a', { headers: [{ name: 'x', value: '1' }] }),
      rule('b', {
        headers: [
          { name: 'x', value: '1' },
          { name: 'y', value: '1' },
        ],
      }),
    ],
    { headers: { x: '1', y: '1' } },
    'b',
  ],
  [
    'headers before query parameters',
    [
      rule('a', { queryParams: [{ name: 'q', value: '1' }] }),
      rule('b', { headers: [{ name: 'x', value: '1' }] }),
    ],
    { path: '/?q=1', headers: { x: '1' } },
    'b',
  ],
  [
    'equal ones in the order of the rules',
    [rule('a', prefix('/x')), rule('b', prefix('/x'))],
    { path: '/x' },
    'a',
  ],
  // Left open by Gateway API; documented as ours.
  [
    'an expression before prefixes',
    [rule('a', prefix('/x/y')), rule('b', regex('/x/.*'))],
    { path: '/x/y' },
    'b',
  ],
  ['… and behind exact paths', [rule('a', regex('/x.*')), rule('b', exact('/x'))], { path: '/x' }, 'b'],
];

const call = (service?: string, method?: string, type?: string) => ({
  method: { ...(service ? { service } : {}), ...(method ? { method } : {}), ...(type ? { type } : {}) },
});

/** As the documentation of GRPCRouteMatch has it. */
const GRPC: readonly Row[] = [
  ['a service is all of its methods', [rule('a', call('shop.Cart'))], { path: '/shop.Cart/Add' }, 'a'],
  ['… and no other service', [rule('a', call('shop.Cart'))], { path: '/shop.Carts/Add' }, 'none'],
  ['a method is of the service', [rule('a', call('shop.Cart', 'Add'))], { path: '/shop.Cart/Add' }, 'a'],
  ['… alone', [rule('a', call('shop.Cart', 'Add'))], { path: '/shop.Cart/Addd' }, 'none'],
  ['a method without service is of any', [rule('a', call(undefined, 'Add'))], { path: '/x.Y/Add' }, 'a'],
  ['… whole', [rule('a', call(undefined, 'Add'))], { path: '/x.Y/AddAll' }, 'none'],
  [
    'expressions',
    [rule('a', call('shop\\..*', 'Add|Get', 'RegularExpression'))],
    { path: '/shop.X/Get' },
    'a',
  ],
  [
    '… of the whole method',
    [rule('a', call('shop', 'Add|Get', 'RegularExpression'))],
    { path: '/shop/Got' },
    'none',
  ],
  [
    'the longest service comes first',
    [rule('a', call(undefined, 'LongMethod')), rule('b', call('s'))],
    { path: '/s/LongMethod' },
    'b',
  ],
  ['then the longest method', [rule('a', call('s')), rule('b', call('s', 'M'))], { path: '/s/M' }, 'b'],
  [
    'then the most headers',
    [rule('a', call('s', 'M')), rule('b', { ...call('s', 'M'), headers: [{ name: 'x', value: '1' }] })],
    { path: '/s/M', headers: { x: '1' } },
    'b',
  ],
];

describe('the rule of a request', () => {
  for (const [what, rules, request, backend] of HTTP)
    it(`HTTPRoute: ${what}`, () => expect(backendOf([{ rules }], request)).to.equal(backend));

  for (const [what, rules, request, backend] of GRPC)
    it(`GRPCRoute: ${what}`, () => expect(backendOf([{ rules }], request, 'GRPCRoute')).to.equal(backend));

  it('is of the oldest route, then of the first by name, where matches are equal', () => {
    const of = (name: string, created: number) => ({ name, created, rules: [rule(name, prefix('/x'))] });
    expect(backendOf([of('a', 2), of('b', 1)], { path: '/x' })).to.equal('b');
    expect(backendOf([of('b', 1), of('a', 1)], { path: '/x' })).to.equal('a');
  });

  it('is by the more particular match of all routes, whatever their age', () => {
    const old = { name: 'old', created: 1, rules: [rule('a', prefix('/'))] };
    const young = { name: 'young', created: 2, rules: [rule('b', prefix('/x'))] };
    expect(backendOf([old, young], { path: '/x' })).to.equal('b');
  });

  // An expression that matches in time in proportion to the path can still be written many times over.
  it('is none where finding it would take too long', () => {
    const hard = '(a|b)*a(a|b){60}c';
    const slow = Array.from({ length: 20 }, (_, n) => regex(`/${n}|/${hard}`));
    const read = routeOf({ rules: [rule('slow', ...slow), rule('any')] });
    const { routing = { rules: [], entries: [] } } = serviceRouting(routingFacts({ routes: [read] }));
    const found = (path: string) => {
      const effort = { left: 40_000 };
      const to = new RoutingTable(routing).find({ method: 'GET', path, fields: [] }, effort);
      return [to === undefined ? 'none' : routing.rules[to.rule]?.backends[0]?.service, effort.left < 0];
    };
    expect(found(`/${'ab'.repeat(1000)}`)).to.deep.equal(['none', true]);
    expect(found('/short')).to.deep.equal(['any', false]);
  });

  // Compiled for each port and protocol, the expressions of one Service held an egress up for seconds.
  it('costs nothing more for a Service with a hundred ports', () => {
    const dear = Array.from({ length: 20 }, (_, n) => regex(`/(a|b|c)*x${n}[a-z]{1,200}`));
    const routes = Array.from({ length: 4 }, (_, n) =>
      routeOf({ name: `r-${n}`, rules: [rule('a', ...dear)] }),
    );
    expect(routes.map(({ problem }) => problem)).to.deep.equal([undefined, undefined, undefined, undefined]);
    const ofPort = (port: number) =>
      serviceRouting(routingFacts({ routes, port })).routing ?? { entries: [] };
    const routings = Array.from({ length: 100 }, (_, at) => ofPort(at + 1));
    expectUnnoticed(
      () => routings.flatMap((one) => [new RoutingTable(one), new RoutingTable(one)]),
      'tables',
    );
  });
});
