import { type AnnotationReader, parseTime } from '../../api/annotation-reader.ts';
import {
  RETRY_BUDGET_MIN,
  RETRY_BUDGET_RATIO,
  RETRY_BUDGET_TTL,
  RETRY_GRPC,
  RETRY_HTTP,
  RETRY_LIMIT,
  RETRY_TIMEOUT,
} from '../../api/linkerd/traffic-annotations.ts';
import { type BudgetRules, DEFAULT_BUDGET, type RetryRules, type StatusRange } from './retry-rules.ts';

/** Annotations about the budget of retries. */
export const BUDGET_ANNOTATIONS = [...RETRY_BUDGET_RATIO, ...RETRY_BUDGET_MIN, ...RETRY_BUDGET_TTL] as const;
/** All annotations about retries. */
export const RETRY_ANNOTATIONS: readonly string[] = [
  RETRY_HTTP,
  RETRY_GRPC,
  RETRY_LIMIT,
  RETRY_TIMEOUT,
  BUDGET_ANNOTATIONS,
].flat();

const DEFAULT_LIMIT = 1;

/** What annotations say of retries; undefined: nothing that can be followed, or that there are none. */
export function readRetry(reader: AnnotationReader): RetryRules | undefined {
  const answers = reader.read(RETRY_HTTP, parseAnswers);
  const grpc = reader.read(RETRY_GRPC, parseGrpcStatuses);
  const limit = reader.read(RETRY_LIMIT, parseLimit);
  const tryTimeoutMs = reader.read(RETRY_TIMEOUT, parseTime) || undefined;
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

/** What they say of the budget; undefined: nothing. */
export function readBudget(reader: AnnotationReader): BudgetRules | undefined {
  const ratio = reader.read(RETRY_BUDGET_RATIO, parseRatio);
  const minPerSecond = reader.read(RETRY_BUDGET_MIN, parseRate);
  const ttlMs = reader.read(RETRY_BUDGET_TTL, parseTtl);
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
