/**
 * The cases of Gateway API's conformance tests for meshes, in our words: what is written in a route, what is
 * asked, and what has to become of it.
 */

import type { Case, Ported, Redirected } from './gamma-case.ts';

/** Where the Services are. */
export const NAMESPACE = 'demo';
const CONSUMERS = 'consumers';
/** What a Service is called for clients of a gateway. */
export const named = (name: string) => `${name}.${NAMESPACE}.svc.cluster.local`;
/** The two applications. */
export const [V1, V2] = ['echo-v1', 'echo-v2'];
/** A backend of a route. */
export const to = (name: string, more: object = {}) => ({ name, port: 80, ...more });
const prefix = (value: string) => ({ path: { type: 'PathPrefix', value } });
const field = (value: string) => ({ headers: [{ name: 'version', value }] });
const query = (value: string) => ({ queryParams: [{ name: 'animal', value }] });
/** A filter that changes a request's fields. */
const modifier = (requestHeaderModifier: object) => ({
  type: 'RequestHeaderModifier',
  requestHeaderModifier,
});
const responseField = (value: string) => ({
  type: 'ResponseHeaderModifier',
  responseHeaderModifier: { set: [{ name: 'X-Header-Set', value }] },
});
const redirect = (at: string, requestRedirect: object) => ({
  matches: [prefix(at)],
  filters: [{ type: 'RequestRedirect', requestRedirect }],
});
const rewrite = (at: string, path: object, ...more: object[]) => ({
  matches: [prefix(at)],
  filters: [{ type: 'URLRewrite', urlRewrite: { path } }, ...more],
  backendRefs: [to(V1)],
});
const replacePrefix = (value: string) => ({ type: 'ReplacePrefixMatch', replacePrefixMatch: value });
const replaceFull = (value: string) => ({ type: 'ReplaceFullPath', replaceFullPath: value });

const moved = (path: string, status: number, redirected: Redirected): Case => ({
  path,
  status,
  redirected,
});

/** One test for each; the weights are tested by themselves. */
export const PORTED: readonly Ported[] = [
  {
    file: 'httproute-simple-same-namespace',
    rules: [{ backendRefs: [to(V1)] }],
    cases: [{ path: '/', backend: V1 }],
  },
  {
    file: 'mesh-split',
    rules: [V1, V2].map((name, nth) => ({
      matches: [{ path: { type: 'Exact', value: `/v${nth + 1}` } }],
      backendRefs: [to(name)],
    })),
    cases: [
      { path: '/v1', backend: V1 },
      { path: '/v2', backend: V2 },
    ],
  },
  {
    file: 'httproute-matching',
    rules: [
      { matches: [prefix('/'), field('one')], backendRefs: [to(V1)] },
      { matches: [prefix('/v2'), field('two')], backendRefs: [to(V2)] },
    ],
    cases: [
      { path: '/', backend: V1 },
      { path: '/example', backend: V1 },
      { path: '/', headers: { Version: 'one' }, backend: V1 },
      { path: '/v2', backend: V2 },
      { path: '/v2/example', backend: V2 },
      { path: '/', headers: { Version: 'two' }, backend: V2 },
      { path: '/v2/', backend: V2 },
      { path: '/v2example', backend: V1 },
      { path: '/foo/v2/example', backend: V1 },
    ],
  },
  {
    file: 'httproute-named-rule',
    rules: [
      { name: 'named-rule', matches: [prefix('/named')], backendRefs: [to(V1)] },
      { matches: [prefix('/unnamed')], backendRefs: [to(V2)] },
    ],
    cases: [
      { path: '/named', backend: V1 },
      { path: '/unnamed', backend: V2 },
    ],
  },
  {
    file: 'httproute-query-param-matching',
    rules: [
      { matches: [query('whale')], backendRefs: [to(V1)] },
      { matches: [query('dolphin')], backendRefs: [to(V2)] },
      { matches: [{ ...prefix('/path1'), ...query('whale') }], backendRefs: [to(V1)] },
      { matches: [{ ...field('one'), ...query('whale') }], backendRefs: [to(V2)] },
      {
        matches: [
          { ...prefix('/path3'), ...query('shark') },
          { ...prefix('/path4'), ...field('three'), ...query('kraken') },
        ],
        backendRefs: [to(V1)],
      },
      { matches: [prefix('/path5')], backendRefs: [to(V1)] },
      { matches: [query('hydra')], backendRefs: [to(V2)] },
    ],
    cases: [
      { path: '/?animal=whale', backend: V1 },
      { path: '/?animal=dolphin', backend: V2 },
      { path: '/?animal=whale&otherparam=irrelevant', backend: V1 },
      { path: '/?animal=dolphin&color=yellow', backend: V2 },
      { path: '/?color=blue', status: 404 },
      { path: '/?animal=dog', status: 404 },
      { path: '/?animal=whaledolphin', status: 404 },
      { path: '/', status: 404 },
      { path: '/path1?animal=whale', backend: V1 },
      { path: '/?animal=whale', headers: { version: 'one' }, backend: V2 },
      { path: '/path3?animal=shark', backend: V1 },
      { path: '/path4?animal=kraken', headers: { version: 'three' }, backend: V1 },
      { path: '/?animal=shark', status: 404 },
      { path: '/path4?animal=kraken', status: 404 },
      { path: '/path5?animal=hydra', backend: V1 },
    ],
  },
  ...[303, 307, 308].map(
    (statusCode): Ported => ({
      file: `httproute-${statusCode}-redirect`,
      rules: [redirect('/moved', { statusCode })],
      cases: [{ path: '/moved', status: statusCode, redirected: {} }],
    }),
  ),
  {
    file: 'httproute-redirect-host-and-status',
    rules: [
      redirect('/hostname-redirect', { hostname: 'example.org' }),
      redirect('/host-and-status', { hostname: 'example.org', statusCode: 301 }),
    ],
    cases: [
      moved('/hostname-redirect', 302, { host: 'example.org' }),
      moved('/host-and-status', 301, { host: 'example.org' }),
    ],
  },
  {
    file: 'httproute-redirect-path',
    rules: [
      redirect('/original-prefix', { path: replacePrefix('/replacement-prefix') }),
      redirect('/full', { path: replaceFull('/full-path-replacement') }),
      redirect('/path-and-host', { hostname: 'example.org', path: replacePrefix('/replacement-prefix') }),
      redirect('/path-and-status', { path: replacePrefix('/replacement-prefix'), statusCode: 301 }),
      redirect('/full-path-and-host', { hostname: 'example.org', path: replaceFull('/replacement-full') }),
      redirect('/full-path-and-status', { path: replaceFull('/replacement-full'), statusCode: 301 }),
    ],
    cases: [
      moved('/original-prefix/lemon', 302, { path: '/replacement-prefix/lemon' }),
      moved('/full/path/original', 302, { path: '/full-path-replacement' }),
      moved('/path-and-host', 302, { host: 'example.org', path: '/replacement-prefix' }),
      moved('/path-and-status', 301, { path: '/replacement-prefix' }),
      moved('/full-path-and-host', 302, { host: 'example.org', path: '/replacement-full' }),
      moved('/full-path-and-status', 301, { path: '/replacement-full' }),
    ],
  },
  {
    file: 'httproute-redirect-port',
    rules: [
      redirect('/port', { port: 8083 }),
      redirect('/port-and-host', { port: 8083, hostname: 'example.org' }),
      redirect('/port-and-status', { port: 8083, statusCode: 301 }),
      redirect('/port-and-host-and-status', { port: 8083, hostname: 'example.org', statusCode: 302 }),
    ],
    cases: [
      moved('/port', 302, { port: '8083' }),
      moved('/port-and-host', 302, { port: '8083', host: 'example.org' }),
      moved('/port-and-status', 301, { port: '8083' }),
      moved('/port-and-host-and-status', 302, { port: '8083', host: 'example.org' }),
    ],
  },
  {
    file: 'httproute-redirect-scheme',
    rules: [
      redirect('/scheme', { scheme: 'https' }),
      redirect('/scheme-and-host', { scheme: 'https', hostname: 'example.org' }),
      redirect('/scheme-and-status', { scheme: 'https', statusCode: 301 }),
      redirect('/scheme-and-host-and-status', { scheme: 'https', hostname: 'example.org', statusCode: 302 }),
    ],
    cases: [
      moved('/scheme', 302, { protocol: 'https:' }),
      moved('/scheme-and-host', 302, { protocol: 'https:', host: 'example.org' }),
      moved('/scheme-and-status', 301, { protocol: 'https:' }),
      moved('/scheme-and-host-and-status', 302, { protocol: 'https:', host: 'example.org' }),
    ],
  },
  changedFields('httproute-request-header-modifier', (filter) => ({
    filters: [filter],
    backendRefs: [to(V1)],
  })),
  changedFields('httproute-request-header-modifier-backend', (filter) => ({
    backendRefs: [to(V1, { filters: [filter] })],
  })),
  {
    file: 'httproute-rewrite-path',
    rules: [
      rewrite('/prefix/one', replacePrefix('/one')),
      rewrite('/strip-prefix', replacePrefix('/')),
      rewrite('/full/one', replaceFull('/one')),
      ...[
        ['/full/rewrite-path-and-modify-headers', replaceFull('/test')] as const,
        ['/prefix/rewrite-path-and-modify-headers', replacePrefix('/prefix')] as const,
      ].map(([at, path]) =>
        rewrite(
          at,
          path,
          modifier({
            set: [{ name: 'X-Header-Set', value: 'set-overwrites-values' }],
            add: [
              { name: 'X-Header-Add', value: 'header-val-1' },
              { name: 'X-Header-Add-Append', value: 'header-val-2' },
            ],
            remove: ['X-Header-Remove'],
          }),
        ),
      ),
    ],
    cases: [
      { path: '/prefix/one/two', backend: V1, seen: { path: '/one/two' } },
      { path: '/strip-prefix/three', backend: V1, seen: { path: '/three' } },
      { path: '/strip-prefix', backend: V1, seen: { path: '/' } },
      { path: '/full/one/two', backend: V1, seen: { path: '/one' } },
      ...[
        ['/full/rewrite-path-and-modify-headers/test', '/test'] as const,
        ['/prefix/rewrite-path-and-modify-headers/one', '/prefix/one'] as const,
      ].map(
        ([path, seen]): Case => ({
          path,
          headers: {
            'X-Header-Remove': 'remove-val',
            'X-Header-Add-Append': 'append-val-1',
            'X-Header-Set': 'set-val',
          },
          backend: V1,
          seen: {
            path: seen,
            headers: {
              'X-Header-Add': 'header-val-1',
              'X-Header-Add-Append': 'append-val-1,header-val-2',
              'X-Header-Set': 'set-overwrites-values',
            },
            absent: ['X-Header-Remove'],
          },
        }),
      ),
    ],
  },
  {
    file: 'mesh-ports',
    parent: { name: V1, port: 80 },
    rules: [{ filters: [responseField('v1')], backendRefs: [to(V1)] }],
    cases: [
      { host: V1, path: '/', backend: V1, answer: { headers: { 'X-Header-Set': 'v1' } } },
      { host: V1, port: 8080, path: '/', backend: V1, answer: { absent: ['X-Header-Set'] } },
    ],
  },
  {
    file: 'mesh-ports',
    parent: { name: V2 },
    rules: [{ filters: [responseField('v2')], backendRefs: [to(V2)] }],
    cases: [80, 8080].map((port) => ({
      host: V2,
      port,
      path: '/',
      backend: V2,
      answer: { headers: { 'X-Header-Set': 'v2' } },
    })),
  },
  {
    // A request that goes to a pod's address goes past every gateway, and is left out.
    file: 'mesh-frontend',
    parent: { name: V2 },
    rules: [{ filters: [responseField('set')], backendRefs: [to(V2)] }],
    cases: [
      { host: V2, path: '/', backend: V2, answer: { headers: { 'X-Header-Set': 'set' } } },
      { host: V1, path: '/', backend: V1, answer: { absent: ['X-Header-Set'] } },
    ],
  },
  {
    // Clients of a gateway are in another cluster: a consumer route is for none of them.
    file: 'mesh-consumer-route',
    parent: { name: V1 },
    namespace: CONSUMERS,
    rules: [{ filters: [responseField('set')], backendRefs: [to(V1, { namespace: NAMESPACE })] }],
    cases: [{ host: V1, path: '/', backend: V1, answer: { absent: ['X-Header-Set'] } }],
  },
  {
    file: 'mesh-consumer-route',
    parent: { name: V1 },
    namespace: CONSUMERS,
    clientNamespace: CONSUMERS,
    rules: [{ filters: [responseField('set')], backendRefs: [to(V1, { namespace: NAMESPACE })] }],
    cases: [{ host: V1, path: '/', backend: V1, answer: { headers: { 'X-Header-Set': 'set' } } }],
  },
];

/** The same changes of fields, by a rule or by a backend. */
function changedFields(file: string, changing: (filter: object) => object): Ported {
  return {
    file,
    rules: Object.entries({
      '/set': { set: [{ name: 'X-Header-Set', value: 'set-overwrites-values' }] },
      '/add': { add: [{ name: 'X-Header-Add', value: 'add-appends-values' }] },
      '/remove': { remove: ['X-Header-Remove'] },
      '/multiple': {
        set: [1, 2].map((n) => ({ name: `X-Header-Set-${n}`, value: `header-set-${n}` })),
        add: [1, 2, 3].map((n) => ({ name: `X-Header-Add-${n}`, value: `header-add-${n}` })),
        remove: ['X-Header-Remove-1', 'X-Header-Remove-2'],
      },
      '/case-insensitivity': {
        set: [{ name: 'X-Header-Set', value: 'header-set' }],
        add: [{ name: 'X-Header-Add', value: 'header-add' }],
        remove: ['X-Header-Remove'],
      },
    }).map(([at, change]) => ({
      matches: [prefix(at)],
      ...changing(modifier(change)),
    })),
    cases: [
      ...['', 'some-other-value'].map(
        (before): Case => ({
          path: '/set',
          headers: { 'Some-Other-Header': 'val', ...(before === '' ? {} : { 'X-Header-Set': before }) },
          backend: V1,
          seen: { headers: { 'Some-Other-Header': 'val', 'X-Header-Set': 'set-overwrites-values' } },
        }),
      ),
      {
        path: '/add',
        headers: { 'Some-Other-Header': 'val' },
        backend: V1,
        seen: { headers: { 'Some-Other-Header': 'val', 'X-Header-Add': 'add-appends-values' } },
      },
      {
        path: '/add',
        headers: { 'X-Header-Add': 'some-other-value' },
        backend: V1,
        seen: { headers: { 'X-Header-Add': 'some-other-value,add-appends-values' } },
      },
      {
        path: '/remove',
        headers: { 'X-Header-Remove': 'val' },
        backend: V1,
        seen: { absent: ['X-Header-Remove'] },
      },
      {
        path: '/multiple',
        headers: {
          'X-Header-Set-2': 'set-val-2',
          'X-Header-Add-2': 'add-val-2',
          'X-Header-Remove-2': 'remove-val-2',
          'Another-Header': 'another-header-val',
        },
        backend: V1,
        seen: {
          headers: {
            'X-Header-Set-1': 'header-set-1',
            'X-Header-Set-2': 'header-set-2',
            'X-Header-Add-1': 'header-add-1',
            'X-Header-Add-2': 'add-val-2,header-add-2',
            'X-Header-Add-3': 'header-add-3',
            'Another-Header': 'another-header-val',
          },
          absent: ['X-Header-Remove-1', 'X-Header-Remove-2'],
        },
      },
      {
        path: '/case-insensitivity',
        headers: {
          'x-header-set': 'original-val-set',
          'x-header-add': 'original-val-add',
          'x-header-remove': 'original-val-remove',
        },
        backend: V1,
        seen: {
          headers: { 'X-Header-Set': 'header-set', 'X-Header-Add': 'original-val-add,header-add' },
          absent: ['X-Header-Remove'],
        },
      },
    ],
  };
}
