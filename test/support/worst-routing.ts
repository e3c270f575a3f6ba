import type { KubeObject, Resource } from '../../src/api/kubernetes/resource.ts';
import { POLICY_GROUP, PROFILE_GROUP } from '../../src/api/linkerd/linkerd-kinds.ts';
import { GATEWAY_API_GROUP, SPLIT_GROUP } from '../../src/api/routing/routing-kinds.ts';

/** Makes a text of about so many characters that is as bad as it can be (`WORST_TEXTS`). */
export type Make = (length: number) => string;

/** Longest of a name, of a value and of a word (a type, a method, a duration) that routes are read with. */
const [NAME, VALUE, WORD] = [253, 4096, 64];
/** Longest part of a method of gRPC, and longest authority of a profile. */
const [METHOD, AUTHORITY] = [1024, 259];
const REGEX = 'RegularExpression';

const ref = (name: string, more: object = {}) => ({ name, port: 80, weight: 1, ...more });
const header = (name: string, value: string) => ({ name, value });
/** Backends that there are. */
export const BACKENDS = [ref('web'), ref('spare')];

/**
 * A rule of an HTTPRoute with a text in one field: in each as long as it is read there, as the first thing
 * that is wrong in a route is the last that is looked at.
 */
export const HTTP_FIELDS: Readonly<Record<string, (make: Make) => object>> = {
  path: (make) => ({ matches: [{ path: { type: REGEX, value: make(VALUE) } }] }),
  prefix: (make) => ({ matches: [{ path: { type: 'PathPrefix', value: `/${make(VALUE - 1)}` } }] }),
  header: (make) => ({ matches: [{ headers: [{ type: REGEX, ...header('x-a', make(VALUE)) }] }] }),
  'header-name': (make) => ({ matches: [{ headers: [header(make(NAME), make(VALUE))] }] }),
  query: (make) => ({ matches: [{ queryParams: [{ type: REGEX, ...header(make(NAME), make(VALUE)) }] }] }),
  words: (make) => ({ matches: [{ path: { type: make(WORD), value: '/' }, method: make(WORD) }] }),
  filter: (make) => ({
    filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [header('x', make(VALUE))] } }],
  }),
  'filter-name': (make) => ({
    filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { remove: [make(NAME)] } }],
  }),
  host: (make) => ({
    filters: [{ type: 'RequestRedirect', requestRedirect: { hostname: make(NAME), scheme: 'http' } }],
  }),
  rewrite: (make) => ({
    filters: [
      { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplaceFullPath', replaceFullPath: make(VALUE) } } },
    ],
  }),
  request: (make) => ({ timeouts: { request: make(WORD) } }),
  'one-try': (make) => ({ timeouts: { backendRequest: make(WORD) } }),
  backoff: (make) => ({ retry: { attempts: 2, backoff: make(WORD) } }),
  backend: (make) => ({
    backendRefs: [ref(make(NAME)), ref('web', { namespace: make(NAME) }), ref('web', { kind: make(NAME) })],
  }),
};

/** The same of a GRPCRoute. */
export const GRPC_FIELDS: Readonly<Record<string, (make: Make) => object>> = {
  service: (make) => ({ matches: [{ method: { type: REGEX, service: make(METHOD) } }] }),
  method: (make) => ({ matches: [{ method: { type: 'Exact', method: make(METHOD) } }] }),
  header: (make) => ({ matches: [{ headers: [{ type: REGEX, ...header('x-a', make(VALUE)) }] }] }),
  backend: (make) => ({ backendRefs: [ref(make(NAME)), ref('web', { group: make(NAME) })] }),
};

/** Backends of a split, as bad as they can be, of which a split may have 64. */
export function splitBackends(make: Make, length: number): object[] {
  return Array.from({ length: 8 }, () => ({ service: make(length), weight: make(length) }));
}

/**
 * A ServiceProfile's spec with a text in each field. What is wrong in a route of one is no matter of the
 * others.
 */
export function profileSpec(make: Make, length: number): object {
  const text = make(length);
  const named = (condition: object, more: object = {}) => ({ name: text, condition, ...more });
  return {
    routes: [
      named({ pathRegex: text }),
      named({ all: [{ not: { pathRegex: text } }, { method: text }] }),
      named({ pathRegex: '/' }, { timeout: text, isRetryable: true }),
      named({ any: [{ method: text }] }, { responseClasses: [{ condition: { status: { min: text } } }] }),
    ],
    retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 1, ttl: text },
    dstOverrides: [{ authority: make(Math.min(length, AUTHORITY)), weight: text }],
  };
}

/** A kind of routes or weights, in one of the versions that are served. */
export interface RoutingKind {
  readonly resource: Resource<KubeObject>;
  /** Names of all versions. */
  readonly versions: readonly string[];
}

function kindOf(group: string, kind: string, plural: string, versions: readonly string[]): RoutingKind {
  const version = versions.at(-1) ?? '';
  return { resource: { group, version, namespaced: true, kind, plural }, versions };
}

/** All kinds of which weights are written, in each group. */
export const ROUTING_KINDS = {
  split: kindOf(SPLIT_GROUP, 'TrafficSplit', 'trafficsplits', ['v1alpha1', 'v1alpha2']),
  http: kindOf(GATEWAY_API_GROUP, 'HTTPRoute', 'httproutes', ['v1']),
  grpc: kindOf(GATEWAY_API_GROUP, 'GRPCRoute', 'grpcroutes', ['v1']),
  linkerdHttp: kindOf(POLICY_GROUP, 'HTTPRoute', 'httproutes', ['v1beta3']),
  linkerdGrpc: kindOf(POLICY_GROUP, 'GRPCRoute', 'grpcroutes', ['v1alpha1']),
  profile: kindOf(PROFILE_GROUP, 'ServiceProfile', 'serviceprofiles', ['v1alpha2']),
} as const;
