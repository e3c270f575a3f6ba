import { NotValid } from '../../api/routing/read-value.ts';
import type { WrittenGrpcMatch, WrittenHttpMatch, WrittenNameMatch } from '../../api/routing/route-spec.ts';
import { linearRegex } from '../../base/linear-regex.ts';
import { ANY_REQUEST, type NamedMatch, type PathMatch, type RouteMatch, type TextMatch } from './routing.ts';

/**
 * How particular a match is: numbers of which the first that differs decides, the greater one first. Those of
 * HTTPRoutes and of GRPCRoutes are never compared with one another.
 */
export type Rank = readonly number[];

/** What may still be spent on compiling the expressions of a route, in steps (`LinearRegex.size`). */
export interface CompileBudget {
  left: number;
}

/** A match, and its place among others. */
export interface RankedMatch {
  readonly match: RouteMatch;
  readonly rank: Rank;
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/;

/**
 * The match of an HTTPRoute. Precedence is that of Gateway API (HTTPRouteRule.matches): an exact path, the
 * longest prefix, a method, the most headers, the most query parameters. Where a regular expression stands is
 * left open there; here, between the two, the longest one first.
 * @throws NotValid, RegexError
 */
export function httpMatch(
  { path, method, headers, queryParams }: WrittenHttpMatch,
  budget: CompileBudget,
): RankedMatch {
  const match: RouteMatch = {
    ...pathMatch(path?.type ?? 'PathPrefix', path?.value ?? '/', budget),
    ...(method ? { method } : {}),
    headers: headerMatches(headers, budget),
    query: (queryParams ?? []).map((one) => ({ name: one.name, value: textMatch(one, budget) })),
  };
  const rank = [
    ...pathRank(match.path),
    Number(match.method !== undefined),
    match.headers.length,
    match.query.length,
  ];
  return { match, rank };
}

function pathRank(path: PathMatch | undefined): readonly [kind: number, length: number] {
  switch (path?.kind) {
    case 'exact':
      return [3, path.value.length];
    case 'regex':
      return [2, path.regex.length];
    case 'prefix':
      return [1, path.value.length];
    default:
      // The prefix `/`, which is no condition.
      return [1, 1];
  }
}

function pathMatch(type: string, value: string, budget: CompileBudget): Pick<RouteMatch, 'path'> {
  if (!value.startsWith('/') && type !== 'RegularExpression')
    throw new NotValid(`the path "${short(value)}" does not begin with "/"`);
  switch (type) {
    case 'Exact':
      return { path: { kind: 'exact', value } };
    case 'PathPrefix': {
      const whole = value.length > 1 && value.endsWith('/') ? value.slice(0, -1) : value;
      return whole === '/' ? {} : { path: { kind: 'prefix', value: whole } };
    }
    case 'RegularExpression':
      return { path: { kind: 'regex', regex: wholeRegex(value, budget) } };
    default:
      throw new NotValid(`the match of paths "${short(type)}" is not known`);
  }
}

/**
 * The match of a GRPCRoute, as one of the request's path, `/<service>/<method>`. Precedence is that of
 * Gateway API (GRPCRouteRule.matches): the most characters of the service, then of the method, then the most
 * headers.
 * @throws NotValid, RegexError
 */
export function grpcMatch({ method: call, headers }: WrittenGrpcMatch, budget: CompileBudget): RankedMatch {
  const service = call?.service ?? '';
  const method = call?.method ?? '';
  const match: RouteMatch = {
    ...callMatch({ type: call?.type ?? 'Exact', service, method }, budget),
    headers: headerMatches(headers, budget),
    query: [],
  };
  return { match, rank: [service.length, method.length, match.headers.length] };
}

function callMatch(
  { type, service, method }: { readonly type: string; readonly service: string; readonly method: string },
  budget: CompileBudget,
): Pick<RouteMatch, 'path'> {
  if (service === '' && method === '') return {};
  if (type === 'RegularExpression') {
    const parts = [service, method].map((part) => (part === '' ? '[^/]+' : `(?:${part})`));
    // Each for itself first, so that an unclosed group in one cannot be closed by the other.
    for (const part of [service, method]) if (part !== '') compile(part, budget);
    const regex = `^/${parts.join('/')}$`;
    compile(regex, budget);
    return { path: { kind: 'regex', regex } };
  }
  if (type !== 'Exact') throw new NotValid(`the match of methods "${short(type)}" is not known`);
  for (const part of [service, method])
    if (!/^[\w.-]*$/.test(part)) throw new NotValid(`"${short(part)}" is no name of gRPC`);
  if (method === '') return { path: { kind: 'prefix', value: `/${service}` } };
  if (service !== '') return { path: { kind: 'exact', value: `/${service}/${method}` } };
  return { path: { kind: 'regex', regex: `^/[^/]+/${method.replaceAll('.', '[.]')}$` } };
}

function headerMatches(
  written: readonly WrittenNameMatch[] | null | undefined,
  budget: CompileBudget,
): readonly NamedMatch[] {
  const found = new Map<string, NamedMatch>();
  for (const one of written ?? []) {
    if (!TOKEN.test(one.name)) throw new NotValid(`"${short(one.name)}" is no name of a header`);
    const name = one.name.toLowerCase();
    // Of entries for the same header only the first counts (HTTPHeaderMatch.name).
    if (!found.has(name)) found.set(name, { name, value: textMatch(one, budget) });
  }
  return [...found.values()];
}

function textMatch({ type, value }: WrittenNameMatch, budget: CompileBudget): TextMatch {
  if ((type ?? 'Exact') === 'Exact') return { kind: 'exact', value };
  if (type === 'RegularExpression') return { kind: 'regex', regex: wholeRegex(value, budget) };
  throw new NotValid(`the match "${short(type ?? '')}" is not known`);
}

/** An expression that must match all of the text. @throws RegexError, NotValid */
function wholeRegex(pattern: string, budget: CompileBudget): string {
  const regex = `^(?:${pattern})$`;
  // By itself as well, so that it cannot end the group that it is put into.
  compile(pattern, budget);
  compile(regex, budget);
  return regex;
}

/** Compiles an expression to see whether it can be. @throws RegexError, NotValid */
function compile(regex: string, budget: CompileBudget): void {
  // What cannot be compiled has cost its length.
  budget.left -= regex.length;
  if (budget.left >= 0) budget.left -= linearRegex(regex).size;
  if (budget.left < 0) throw new NotValid('its regular expressions are too many, or too large');
}

/** The matches of a rule without any: one that meets every request. */
export const ANY_HTTP: RankedMatch = { match: ANY_REQUEST, rank: [1, 1, 0, 0, 0] };
export const ANY_GRPC: RankedMatch = { match: ANY_REQUEST, rank: [0, 0, 0] };

function short(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`;
}
