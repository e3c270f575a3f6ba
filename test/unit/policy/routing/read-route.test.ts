import { expect } from 'chai';
import { routeOf } from '../../../support/routing-facts.ts';

const filtered = (...filters: object[]) => routeOf({ rules: [{ filters }] });
const headers = (change: object) =>
  filtered({ type: 'RequestHeaderModifier', requestHeaderModifier: change });

describe('a route', () => {
  it('has the filters of its rules', () => {
    const { rules, problem } = filtered(
      {
        type: 'RequestHeaderModifier',
        requestHeaderModifier: { set: [{ name: 'X-Env', value: 'canary' }], remove: ['X-Debug'] },
      },
      { type: 'ResponseHeaderModifier', responseHeaderModifier: { add: [{ name: 'x-by', value: 'web' }] } },
      {
        type: 'URLRewrite',
        urlRewrite: {
          hostname: 'a.example',
          path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/v2' },
        },
      },
    );
    expect(problem).to.equal(undefined);
    expect(rules[0]?.filters).to.deep.equal({
      requestHeaders: { set: [['x-env', 'canary']], add: [], remove: ['x-debug'] },
      responseHeaders: { set: [], add: [['x-by', 'web']], remove: [] },
      rewrite: { hostname: 'a.example', path: { kind: 'prefix', value: '/v2' } },
    });
  });

  it('has retries and timeouts of its annotations, and of each rule before these', () => {
    const annotations = { 'retry.linkerd.io/http': '503', 'timeout.linkerd.io/request': '9s' };
    const rules = [
      {},
      { timeouts: { request: '1m30s', backendRequest: '500ms' }, retry: { codes: [500], attempts: 3 } },
      { retry: { attempts: 0 } },
    ];
    const read = routeOf({ annotations, rules });
    expect(read.rules.map(({ requests }) => requests)).to.deep.equal([
      {
        retry: { statuses: [{ min: 503, max: 503 }], grpc: [], limit: 1 },
        timeouts: { requestMs: 9000 },
      },
      {
        retry: { statuses: [{ min: 500, max: 500 }], grpc: [], limit: 3 },
        timeouts: { requestMs: 90_000, responseMs: 500 },
      },
      { timeouts: { requestMs: 9000 } },
    ]);
  });

  // They were taken for no word at all, and what the Service's annotations say held for the rule's requests.
  it('can say that there are no retries and no time limits', () => {
    const rules = [{ retry: { attempts: 0 } }, { timeouts: { request: '0s' } }, {}];
    expect(routeOf({ rules }).rules.map(({ requests }) => requests)).to.deep.equal([{}, {}, undefined]);
    const annotations = { 'timeout.linkerd.io/request': '9s' };
    const [, unlimited] = routeOf({ annotations, rules }).rules;
    expect(unlimited?.requests).to.deep.equal({});
  });

  it('says how long to wait before a retry', () => {
    const { rules } = routeOf({ rules: [{ retry: { attempts: 1, backoff: '1s' } }] });
    expect(rules[0]?.requests?.retry?.pauseMs).to.equal(1000);
  });

  it('has filters of single backends, which change headers', () => {
    const set = [{ name: 'X-Env', value: 'canary' }];
    const filters = [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set } }];
    const { rules, problem } = routeOf({ rules: [{ backendRefs: [{ name: 'a', filters }] }] });
    expect(problem).to.equal(undefined);
    expect(rules[0]?.backends[0]?.filters).to.deep.equal({
      requestHeaders: { set: [['x-env', 'canary']], add: [], remove: [] },
    });
  });

  // Reading one route of 300 KiB, and compiling it, stopped the gateway for more than a second, at each of
  // its changes; its automata could take gigabytes.
  it('has expressions of a bounded size', () => {
    const hard = { type: 'RegularExpression', value: '.*'.repeat(100) };
    const matches = Array.from({ length: 16 }, () => ({
      headers: Array.from({ length: 16 }, (_, n) => ({ ...hard, name: `x-${n}` })),
    }));
    const { problem, effort } = routeOf({ rules: [{ matches }] });
    expect(problem).to.match(/regular expressions are too many, or too large/);
    expect(effort).to.be.at.most(20_000);
    const usual = Array.from({ length: 128 }, (_, n) => ({
      path: { type: 'RegularExpression', value: `/api/v[0-9]+/things-${n}` },
    }));
    expect(routeOf({ rules: [{ matches: usual }] }).problem).to.equal(undefined);
  });

  it('holds without annotations that are wrong, and says which', () => {
    const annotations = {
      'timeout.linkerd.io/request': 'soon',
      'failover.linkspan.dev/policy': 'on-unavailable=no',
    };
    const { problem, notes } = routeOf({ annotations, rules: [{}] });
    expect(problem).to.equal(undefined);
    expect(notes.join('\n')).to.contain('timeout.linkerd.io/request').and.to.contain('on-unavailable');
  });

  it('may refuse what a backend that cannot be used would get', () => {
    const annotations = { 'failover.linkspan.dev/policy': 'on-unavailable=fail' };
    expect(routeOf({ annotations, rules: [{}] }).failUnavailable).to.equal(true);
  });

  const path = (type: string, value: string) => ({ path: { type, value } });
  const matched = (...matches: object[]) => routeOf({ rules: [{ matches }] });
  /** What is not followed must not be left out in silence: requests would go where nobody wants them. */
  const refused: readonly (readonly [string, ReturnType<typeof routeOf>])[] = [
    ['a filter that is not followed', filtered({ type: 'RequestMirror' })],
    ['another extension', filtered({ type: 'ExtensionRef' })],
    [
      'the same filter twice',
      filtered({ type: 'URLRewrite', urlRewrite: {} }, { type: 'URLRewrite', urlRewrite: {} }),
    ],
    [
      'a redirect and a rewrite',
      filtered(
        { type: 'RequestRedirect', requestRedirect: {} },
        { type: 'URLRewrite', urlRewrite: { hostname: 'a' } },
      ),
    ],
    [
      'a status that is no redirect',
      filtered({ type: 'RequestRedirect', requestRedirect: { statusCode: 200 } }),
    ],
    ['another scheme', filtered({ type: 'RequestRedirect', requestRedirect: { scheme: 'javascript' } })],
    ['a header of the proxy', headers({ set: [{ name: 'l5d-client-id', value: 'admin' }] })],
    ['one that looks like it', headers({ set: [{ name: 'L5D_Client_Id', value: 'admin' }] })],
    ['the framing', headers({ remove: ['Content-Length'] })],
    ['the host', headers({ set: [{ name: 'host', value: 'x' }] })],
    ['a header that ends a line', headers({ set: [{ name: 'x', value: 'a\r\nb: c' }] })],
    ['a name that ends a line', headers({ remove: ['x\r\ny'] })],
    [
      'a path that ends a line',
      filtered({
        type: 'URLRewrite',
        urlRewrite: { path: { type: 'ReplaceFullPath', replaceFullPath: '/ a' } },
      }),
    ],
    [
      'a prefix that is not matched',
      routeOf({
        rules: [
          {
            matches: [path('Exact', '/x')],
            filters: [
              {
                type: 'URLRewrite',
                urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/y' } },
              },
            ],
          },
        ],
      }),
    ],
    ['an expression that is none', matched(path('RegularExpression', '/('))],
    ['an expression that closes our group', matched(path('RegularExpression', 'a)|(b'))],
    ['a look-ahead', matched(path('RegularExpression', '/(?=x)'))],
    ['a path without a slash', matched(path('Exact', 'x'))],
    ['a match that is not known', matched(path('Glob', '/x'))],
    ['a header that is none', matched({ headers: [{ name: 'a b', value: '' }] })],
    ['a duration that is none', routeOf({ rules: [{ timeouts: { request: 'soon' } }] })],
    [
      'a redirect of one backend',
      routeOf({
        rules: [
          { backendRefs: [{ name: 'a', filters: [{ type: 'RequestRedirect', requestRedirect: {} }] }] },
        ],
      }),
    ],
    ['a weight below 0', routeOf({ rules: [{ backendRefs: [{ name: 'a', weight: -1 }] }] })],
    ['rules that are none', routeOf({ rules: 'all' })],
    [
      'a redirect of gRPC',
      routeOf({ rules: [{ filters: [{ type: 'RequestRedirect', requestRedirect: {} }] }] }, 'GRPCRoute'),
    ],
    [
      'a method that is none',
      routeOf({ rules: [{ matches: [{ method: { service: 'a/b' } }] }] }, 'GRPCRoute'),
    ],
  ];
  for (const [what, route] of refused)
    it(`is not accepted with ${what}`, () => {
      expect(route.problem).to.be.a('string');
      expect(route.rules).to.deep.equal([]);
    });
});
