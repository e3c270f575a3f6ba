import { firstProblem } from '../../base/config.ts';
import { z } from 'zod';
import { parseDuration } from '../../base/duration.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { linearRegex } from '../../base/linear-regex.ts';
import { isTtl } from '../retries/retry-annotations.ts';
import { type BudgetRules, DEFAULT_BUDGET } from '../retries/retry-rules.ts';
import type {
  RequestCondition,
  ResponseClass,
  ResponseCondition,
  RouteRules,
} from '../routes/route-rules.ts';
import type { RequestRules } from './request-rules.ts';
import type { KubeObject } from '../../api/kubernetes/resource.ts';
import type { ReadRequests } from './request-annotations.ts';

/** `linkerd.io/v1alpha2` ServiceProfile, as far as it is read; everything in it is a stranger's word. */
export type ServiceProfile = KubeObject & { readonly spec?: unknown };

/** How many routes of one profile are read: each one is compared with every request of the Service. */
const MAX_ROUTES = 256;
const MAX_DEPTH = 10;
/** Conditions of one profile: each is compiled, and may cost every request. */
const MAX_CONDITIONS = 2000;

/** What its expressions may cost to be compiled, in steps (`LinearRegex.size`): some 30 ms. */
const MAX_STEPS = 50_000;

/** Conditions that a profile may still have, and steps of its expressions. */
interface Room {
  left: number;
  steps: number;
}

const route = z.object({
  name: z.string().min(1),
  condition: z.unknown().optional(),
  timeout: z.string().optional(),
  isRetryable: z.boolean().nullish(),
  responseClasses: z
    .array(z.object({ condition: z.unknown().optional(), isFailure: z.boolean().nullish() }))
    .nullish(),
});
const budget = z.object({
  retryRatio: z.number().min(0).max(1000),
  minRetriesPerSecond: z.int().min(0).max(0x7fffffff),
  ttl: z.string(),
});
const spec = z.object({
  routes: z.array(z.unknown()).nullish(),
  retryBudget: z.unknown().optional(),
});
const requestMatch = z.object({
  method: z.string().nullish(),
  pathRegex: z.string().nullish(),
  all: z.array(z.unknown()).nullish(),
  any: z.array(z.unknown()).nullish(),
  not: z.unknown().optional(),
});
const status = z.int().min(0).max(599);
const responseMatch = z.object({
  status: z.object({ min: status.nullish(), max: status.nullish() }).nullish(),
  all: z.array(z.unknown()).nullish(),
  any: z.array(z.unknown()).nullish(),
  not: z.unknown().optional(),
});

/**
 * Reads the `spec` of a ServiceProfile. A route that is wrong is left out, and the others hold. A profile
 * without routes says nothing of requests: the annotations hold then. Pure.
 */
export function readServiceProfile(value: unknown): ReadRequests {
  const parsed = spec.safeParse(value ?? {});
  if (!parsed.success)
    return { problems: [`spec is not valid (${firstProblem(parsed.error)}), it is left out`] };
  const problems: string[] = [];
  const all = parsed.data.routes ?? [];
  if (all.length > MAX_ROUTES)
    problems.push(`${all.length} routes are too many, the first ${MAX_ROUTES} are used`);
  const room: Room = { left: MAX_CONDITIONS, steps: MAX_STEPS };
  const routes = all.slice(0, MAX_ROUTES).flatMap((one, index) => {
    try {
      return [readRoute(one, problems, room)];
    } catch (error) {
      problems.push(`spec.routes[${index}] is not valid (${messageOf(error)}), it is left out`);
      return [];
    }
  });
  const rules = readBudget(parsed.data.retryBudget, problems);
  if (all.length === 0) return { problems };
  const requests: RequestRules = { routes, ...(rules === undefined ? {} : { budget: rules }) };
  return { requests, problems };
}

function readRoute(value: unknown, problems: string[], room: Room): RouteRules {
  const parsed = valid(route, value);
  const { name, timeout, isRetryable, responseClasses } = parsed;
  const condition = requestCondition(parsed.condition, 0, room);
  const timeoutMs = timeout === undefined ? 0 : goDuration(timeout);
  if (timeoutMs === undefined)
    problems.push(`route ${name}: the timeout "${timeout}" is not valid, it is left out`);
  const classes = (responseClasses ?? []).map(
    (one): ResponseClass => ({
      condition: responseCondition(one.condition, 0, room),
      failure: one.isFailure === true,
    }),
  );
  return {
    name,
    condition,
    retryable: isRetryable === true,
    classes,
    ...(timeoutMs ? { timeoutMs } : {}),
  };
}

/** A request must meet every part of the condition. */
function requestCondition(value: unknown, depth: number, room: Room): RequestCondition {
  takeRoom(room);
  const { method, pathRegex, all, any, not } = valid(requestMatch, value);
  const next = below(depth);
  const found: RequestCondition[] = [];
  if (all) found.push({ kind: 'all', of: all.map((one) => requestCondition(one, next, room)) });
  if (any) found.push({ kind: 'any', of: any.map((one) => requestCondition(one, next, room)) });
  if (method) found.push({ kind: 'method', method: method.toUpperCase() });
  if (not !== undefined && not !== null) found.push({ kind: 'not', of: requestCondition(not, next, room) });
  if (pathRegex) found.push({ kind: 'path', regex: anchored(pathRegex, room) });
  return together(found, (of) => ({ kind: 'all', of }));
}

function responseCondition(value: unknown, depth: number, room: Room): ResponseCondition {
  takeRoom(room);
  const { status: range, all, any, not } = valid(responseMatch, value);
  const next = below(depth);
  const found: ResponseCondition[] = [];
  if (all) found.push({ kind: 'all', of: all.map((one) => responseCondition(one, next, room)) });
  if (any) found.push({ kind: 'any', of: any.map((one) => responseCondition(one, next, room)) });
  // A field that is not set is zero.
  if (range) found.push({ kind: 'status', min: range.min || 100, max: range.max || 599 });
  if (not !== undefined && not !== null) found.push({ kind: 'not', of: responseCondition(not, next, room) });
  return together(found, (of) => ({ kind: 'all', of }));
}

function together<T>(found: readonly T[], all: (of: readonly T[]) => T): T {
  const [first, ...more] = found;
  if (first === undefined) throw new Error('a condition that says nothing');
  return more.length === 0 ? first : all(found);
}

function takeRoom(room: Room): void {
  if (room.left-- <= 0) throw new Error(`more than ${MAX_CONDITIONS} conditions in the profile`);
}

function below(depth: number): number {
  if (depth >= MAX_DEPTH) throw new Error('conditions too deep in one another');
  return depth + 1;
}

/**
 * As linkerd2-proxy does it: the whole path must match, unless the pattern says `^` or `$` itself.
 * @throws RegexError
 */
function anchored(pattern: string, room: Room): string {
  const trimmed = pattern.trim();
  const head = trimmed.startsWith('^') ? '' : '^';
  const tail = trimmed.endsWith('$') ? '' : '$';
  const regex = `${head}${trimmed}${tail}`;
  // What cannot be compiled has cost its length.
  room.steps -= regex.length;
  if (room.steps >= 0) room.steps -= linearRegex(regex).size;
  if (room.steps < 0) throw new Error('the regular expressions of the profile are too many, or too large');
  return regex;
}

function readBudget(value: unknown, problems: string[]): BudgetRules | undefined {
  if (value === undefined || value === null) return undefined;
  const parsed = budget.safeParse(value);
  const ttlMs = parsed.success ? goDuration(parsed.data.ttl) : undefined;
  if (parsed.success && ttlMs !== undefined && isTtl(ttlMs)) {
    const { retryRatio, minRetriesPerSecond } = parsed.data;
    return { ratio: retryRatio, minPerSecond: minRetriesPerSecond, ttlMs };
  }
  const { ratio, minPerSecond } = DEFAULT_BUDGET;
  const what = parsed.success ? 'ttl is not between 1s and 60s' : firstProblem(parsed.error);
  problems.push(
    `spec.retryBudget is not valid (${what}), it is ${ratio} of the requests and ${minPerSecond} a second`,
  );
  return undefined;
}

/** Milliseconds of a duration of Go, which ServiceProfiles hold; a number alone is none. */
function goDuration(text: string): number | undefined {
  if (text === '0') return 0;
  return /^[\d.]+$/.test(text.trim()) ? undefined : parseDuration(text);
}

function valid<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new Error(firstProblem(parsed.error));
  return parsed.data;
}
