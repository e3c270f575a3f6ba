import { z } from 'zod';
import { readValue } from './read-value.ts';

/**
 * The parts that HTTPRoutes and GRPCRoutes share. Bounds are those of the kinds themselves where they have
 * any, so that what an API server has taken in is not refused here.
 */

const MAX_PARENTS = 32;
export const MAX_RULES = 64;
export const MAX_MATCHES = 128;
export const MAX_LIST = 64;
const NAME = z.string().max(253);
/** Longest value of a header, a query parameter or a path. */
const MAX_VALUE = 4096;
export const value = z.string().max(MAX_VALUE);

const parentRef = z.object({
  group: NAME.nullish(),
  kind: NAME.nullish(),
  namespace: NAME.nullish(),
  name: NAME,
  sectionName: NAME.nullish(),
  port: z.int().min(1).max(65_535).nullish(),
});
const parents = z.object({ parentRefs: z.array(parentRef).max(MAX_PARENTS).nullish() });

/** A reference of a route to its parent. */
export interface ParentRef {
  readonly namespace: string;
  readonly name: string;
  /** Absent: all ports. */
  readonly port?: number;
  /** Name of a port; absent: all. */
  readonly sectionName?: string;
  /** As it is written, to be named so in the status. */
  readonly written: z.output<typeof parentRef>;
}

/**
 * The parents of a route that are Services; none where the list is not valid, which the API server does not
 * let in.
 * @param namespace that of the route
 */
export function serviceParents(spec: unknown, namespace: string): readonly ParentRef[] {
  const parsed = parents.safeParse(spec);
  if (!parsed.success) return [];
  return (parsed.data.parentRefs ?? [])
    .filter(({ group, kind }) => (group === '' || group === 'core') && kind === 'Service')
    .map((written) => ({
      namespace: written.namespace ?? namespace,
      name: written.name,
      ...(written.port ? { port: written.port } : {}),
      ...(written.sectionName ? { sectionName: written.sectionName } : {}),
      written,
    }));
}

const named = z.object({ name: NAME, value });
const headerChange = z.object({
  set: z.array(named).max(MAX_LIST).nullish(),
  add: z.array(named).max(MAX_LIST).nullish(),
  remove: z.array(NAME).max(MAX_LIST).nullish(),
});
export type WrittenHeaderChange = z.output<typeof headerChange>;
const pathChange = z.object({
  type: z.string().max(64),
  replaceFullPath: value.nullish(),
  replacePrefixMatch: value.nullish(),
});
export type WrittenPathChange = z.output<typeof pathChange>;

/** Every filter; `type` says which of the others holds. */
export const filter = z.object({
  type: z.string().max(64),
  requestHeaderModifier: headerChange.nullish(),
  responseHeaderModifier: headerChange.nullish(),
  requestRedirect: z
    .object({
      scheme: z.string().max(16).nullish(),
      hostname: NAME.nullish(),
      path: pathChange.nullish(),
      port: z.int().min(1).max(65_535).nullish(),
      statusCode: z.int().nullish(),
    })
    .nullish(),
  urlRewrite: z.object({ hostname: NAME.nullish(), path: pathChange.nullish() }).nullish(),
});
export type WrittenFilter = z.output<typeof filter>;

const backendRef = z.object({
  group: NAME.nullish(),
  kind: NAME.nullish(),
  namespace: NAME.nullish(),
  name: NAME,
  port: z.int().min(1).max(65_535).nullish(),
  weight: z.int().min(0).max(1_000_000).nullish(),
  filters: z.array(filter).max(MAX_LIST).nullish(),
});
export const backendRefs = z.array(backendRef).max(MAX_LIST).nullish();
export type BackendRef = z.output<typeof backendRef>;

export const headerMatch = z.object({ type: z.string().max(64).nullish(), name: NAME, value });
export type WrittenNameMatch = z.output<typeof headerMatch>;

const retry = z.object({
  codes: z.array(z.int().min(100).max(599)).max(MAX_LIST).nullish(),
  attempts: z.int().min(0).max(1000).nullish(),
  backoff: z.string().max(64).nullish(),
});
const timeouts = z.object({
  request: z.string().max(64).nullish(),
  backendRequest: z.string().max(64).nullish(),
});
export type WrittenRetry = z.output<typeof retry>;
export type WrittenTimeouts = z.output<typeof timeouts>;

const httpMatch = z.object({
  path: z.object({ type: z.string().max(64).nullish(), value: value.nullish() }).nullish(),
  headers: z.array(headerMatch).max(MAX_LIST).nullish(),
  queryParams: z.array(headerMatch).max(MAX_LIST).nullish(),
  method: z.string().max(64).nullish(),
});
export type WrittenHttpMatch = z.output<typeof httpMatch>;
const grpcMatch = z.object({
  method: z
    .object({
      type: z.string().max(64).nullish(),
      service: z.string().max(1024).nullish(),
      method: z.string().max(1024).nullish(),
    })
    .nullish(),
  headers: z.array(headerMatch).max(MAX_LIST).nullish(),
});
export type WrittenGrpcMatch = z.output<typeof grpcMatch>;

const ofRule = { filters: z.array(filter).max(MAX_LIST).nullish(), backendRefs };
const httpSpec = z.object({
  rules: z
    .array(
      z.object({
        ...ofRule,
        matches: z.array(httpMatch).max(MAX_MATCHES).nullish(),
        timeouts: timeouts.nullish(),
        retry: retry.nullish(),
      }),
    )
    .max(MAX_RULES)
    .nullish(),
});
const grpcSpec = z.object({
  rules: z
    .array(z.object({ ...ofRule, matches: z.array(grpcMatch).max(MAX_MATCHES).nullish() }))
    .max(MAX_RULES)
    .nullish(),
});

/** A rule of an HTTPRoute as it is written, with fields of the types that the kind demands. */
export type WrittenHttpRule = NonNullable<z.output<typeof httpSpec>['rules']>[number];
/** The same of a GRPCRoute. */
export type WrittenGrpcRule = NonNullable<z.output<typeof grpcSpec>['rules']>[number];

/**
 * The rules of an HTTPRoute, of either group; where it has no list, one for every request.
 * @throws NotValid
 */
export function httpRules(spec: unknown): readonly WrittenHttpRule[] {
  return readValue(httpSpec, spec).rules ?? [{}];
}

/** The rules of a GRPCRoute. @throws NotValid */
export function grpcRules(spec: unknown): readonly WrittenGrpcRule[] {
  return readValue(grpcSpec, spec).rules ?? [{}];
}
