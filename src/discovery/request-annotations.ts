import { type AnnotationName, type Annotations, readAnnotation } from '../base/annotations.ts';
import {
  type BudgetRules,
  DEFAULT_BUDGET,
  type RequestRules,
  type RetryRules,
  type StatusRange,
  type TimeoutRules,
} from '../base/request-rules.ts';

export interface ReadRequests {
  /** Absent: nothing is said that can be followed. */
  readonly requests?: RequestRules;
  /** What is wrong, one line each, and what is done instead. */
  readonly problems: readonly string[];
}

/** Linkerd's annotations on a Service (wire protocol 3.4), each with its older spelling where there is one. */
const HTTP = ['retry.linkerd.io/http', 'linkerd.io/retry-on'] as const;
const GRPC = ['retry.linkerd.io/grpc'] as const;
const LIMIT = ['retry.linkerd.io/limit', 'linkerd.io/retry-max'] as const;
const TRY_TIMEOUT = ['retry.linkerd.io/timeout'] as const;
const REQUEST = ['timeout.linkerd.io/request', 'linkerd.io/timeout'] as const;
const RESPONSE = ['timeout.linkerd.io/response'] as const;
const IDLE = ['timeout.linkerd.io/idle'] as const;
/** Ours: Linkerd has a budget in ServiceProfiles only. */
const RATIO = ['linkspan.dev/retry-budget-ratio'] as const;
const MIN = ['linkspan.dev/retry-budget-min-per-second'] as const;
const TTL = ['linkspan.dev/retry-budget-ttl'] as const;

const RETRIES = new Set<string>([...HTTP, ...GRPC, ...LIMIT, ...TRY_TIMEOUT]);
const ALL = new Set<string>([...RETRIES, ...REQUEST, ...RESPONSE, ...IDLE, ...RATIO, ...MIN, ...TTL]);
const DEFAULT_LIMIT = 1;
const NOTHING: ReadRequests = { problems: [] };

/**
 * Reads what a Service says of retries and timeouts. A value that is wrong is left out, and what else is said holds: a slip in one annotation must not take the others away. Any retry annotation that can be followed turns retries on. Pure.
 */
export function readRequestAnnotations(annotations: Annotations = {}): ReadRequests {
  if (!Object.keys(annotations).some((key) => ALL.has(key))) return NOTHING;
  const reader = new Reader(annotations);
  const retry = readRetry(reader);
  const timeouts = readTimeouts(reader);
  const budget = readBudget(reader);
  const { problems } = reader;
  const rules = {
    ...(retry === undefined ? {} : { retry }),
    ...(timeouts === undefined ? {} : { timeouts }),
    ...(retry === undefined || budget === undefined ? {} : { budget }),
  };
  return retry === undefined && timeouts === undefined ? { problems } : { requests: rules, problems };
}

class Reader {
  readonly problems: string[] = [];
  readonly #annotations: Annotations;

  constructor(annotations: Annotations) {
    this.#annotations = annotations;
  }

  /** The value under the first of these names that is there. */
  read<T>(names: readonly AnnotationName[], parse: (text: string) => T | undefined): T | undefined {
    const name = names.find((one) => one in this.#annotations);
    const text = name === undefined ? undefined : readAnnotation(this.#annotations, name);
    if (name === undefined || text === undefined) return undefined;
    const value = parse(text.trim());
    if (value === undefined) this.problems.push(`${name}: "${text}" is not valid, it is left out`);
    return value;
  }
}

function readRetry(reader: Reader): RetryRules | undefined {
  const answers = reader.read(HTTP, parseAnswers);
  const grpc = reader.read(GRPC, parseGrpcStatuses);
  const limit = reader.read(LIMIT, parseLimit);
  const tryTimeoutMs = reader.read(TRY_TIMEOUT, parseTime) || undefined;
  const said = [answers, grpc, limit, tryTimeoutMs].some((value) => value !== undefined);
  if (!said || limit === 0) return undefined;
  const { statuses, grpc: among } = answers ?? { statuses: [], grpc: [] };
  return {
    statuses,
    grpc: [...new Set([...among, ...(grpc ?? [])])],
    limit: limit ?? DEFAULT_LIMIT,
    ...(tryTimeoutMs === undefined ? {} : { tryTimeoutMs }),
  };
}

function readTimeouts(reader: Reader): TimeoutRules | undefined {
  const requestMs = reader.read(REQUEST, parseTime);
  const responseMs = reader.read(RESPONSE, parseTime);
  const idleMs = reader.read(IDLE, parseTime);
  if (!requestMs && !responseMs && !idleMs) return undefined;
  return {
    ...(requestMs ? { requestMs } : {}),
    ...(responseMs ? { responseMs } : {}),
    ...(idleMs ? { idleMs } : {}),
  };
}

function readBudget(reader: Reader): BudgetRules | undefined {
  const ratio = reader.read(RATIO, parseRatio);
  const minPerSecond = reader.read(MIN, parseRate);
  const ttlMs = reader.read(TTL, parseTtl);
  if (ratio === undefined && minPerSecond === undefined && ttlMs === undefined) return undefined;
  return {
    ratio: ratio ?? DEFAULT_BUDGET.ratio,
    minPerSecond: minPerSecond ?? DEFAULT_BUDGET.minPerSecond,
    ttlMs: ttlMs ?? DEFAULT_BUDGET.ttlMs,
  };
}

/** `linkerd.io/retry-on` has both kinds in one list; where only statuses belong, a gRPC name does no harm. */
function parseAnswers(text: string): { statuses: StatusRange[]; grpc: number[] } | undefined {
  const statuses: StatusRange[] = [];
  const grpc: number[] = [];
  for (const entry of text.split(',')) {
    const range = parseStatuses(entry.trim());
    const code = GRPC_NAMES.get(entry.trim().toLowerCase());
    if (range !== undefined) statuses.push(range);
    else if (code !== undefined) grpc.push(code);
    else return undefined;
  }
  return { statuses, grpc };
}

/** An entry of `retry.linkerd.io/http`: `5xx`, `gateway-error`, `503`, `500-503`. */
function parseStatuses(text: string): StatusRange | undefined {
  const lower = text.toLowerCase();
  if (lower === '5xx') return { min: 500, max: 599 };
  if (lower === 'gateway-error') return { min: 502, max: 504 };
  const [, low = '', high = low] = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(lower) ?? [];
  const [min, max] = [Number(low), Number(high)];
  return low !== '' && min <= max ? { min, max } : undefined;
}

/** The statuses that Linkerd lets be retried, by name. */
const GRPC_NAMES: ReadonlyMap<string, number> = new Map([
  ['cancelled', 1],
  ['deadline-exceeded', 4],
  ['resource-exhausted', 8],
  ['internal', 13],
  ['unavailable', 14],
]);

function parseGrpcStatuses(text: string): number[] | undefined {
  const codes = text.split(',').map((entry) => GRPC_NAMES.get(entry.trim().toLowerCase()));
  return codes.every((code) => code !== undefined) ? codes : undefined;
}

function parseLimit(text: string): number | undefined {
  const limit = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return limit <= 0xffff ? limit : undefined;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Timers of JavaScript are 31 bits of milliseconds. */
const MAX_TIME = 0x7fffffff;

/** Milliseconds of a time as Linkerd's policy controller reads it: whole numbers with one unit of `ms s m h d`, or `0`; zero is no limit. */
function parseTime(text: string): number | undefined {
  if (text === '0') return 0;
  const [, amount = '', unit = ''] = /^(\d{1,15})(ms|s|m|h|d)$/.exec(text) ?? [];
  const ms = Number(amount) * (UNITS[unit] ?? Number.NaN);
  return amount !== '' && Number.isFinite(ms) ? Math.min(ms, MAX_TIME) : undefined;
}

function parseRatio(text: string): number | undefined {
  const ratio = /^\d{1,4}(\.\d{1,9})?$/.test(text) ? Number(text) : Number.NaN;
  return ratio <= 1000 ? ratio : undefined;
}

function parseRate(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** Linkerd's bounds of a budget's time. */
export function isTtl(ms: number): boolean {
  return ms >= 1000 && ms <= 60_000;
}

function parseTtl(text: string): number | undefined {
  const ms = parseTime(text);
  return ms !== undefined && isTtl(ms) ? ms : undefined;
}
