import { type Effort, linearRegex } from '../../../base/linear-regex.ts';
import type { StatusRange } from '../../../policy/retries/retry-rules.ts';
import type {
  RequestCondition,
  ResponseClass,
  ResponseCondition,
} from '../../../policy/routes/route-rules.ts';
import { isFailedAnswer } from '../../http/classify.ts';

/** What of a request decides its route. */
export interface Asked {
  readonly method: string;
  /** Without query. */
  readonly path: string;
  /** What may be spent on finding the route. */
  readonly effort: Effort;
}

/** Makes a test of a condition. @throws RegexError */
export function requestTest(condition: RequestCondition): (asked: Asked) => boolean {
  switch (condition.kind) {
    case 'method': {
      const { method } = condition;
      return (asked) => asked.method === method;
    }
    case 'path': {
      const regex = linearRegex(condition.regex);
      return (asked) => regex.test(asked.path, asked.effort);
    }
    case 'all':
    case 'any': {
      const tests = condition.of.map(requestTest);
      return condition.kind === 'all'
        ? (asked) => tests.every((test) => test(asked))
        : (asked) => tests.some((test) => test(asked));
    }
    default: {
      const test = requestTest(condition.of);
      return (asked) => !test(asked);
    }
  }
}

/** The path of a request target, which may be followed by a query. */
export function withoutQuery(path: string): string {
  const mark = path.indexOf('?');
  return mark < 0 ? path : path.slice(0, mark);
}

/** Whether a status is in one of the ranges. */
export function isIn(status: number, ranges: readonly StatusRange[]): boolean {
  for (const { min, max } of ranges) if (status >= min && status <= max) return true;
  return false;
}

/**
 * Whether a response is a failure: the first class whose condition holds decides, else 5xx and the gRPC
 * statuses that are counted as failures everywhere.
 */
export function isFailure(
  classes: readonly ResponseClass[],
  status: number,
  grpc: number | undefined,
): boolean {
  const found = classes.find(({ condition }) => holds(condition, status));
  if (found !== undefined) return found.failure;
  return isFailedAnswer(status, grpc);
}

function holds(condition: ResponseCondition, status: number): boolean {
  switch (condition.kind) {
    case 'status':
      return status >= condition.min && status <= condition.max;
    case 'all':
      return condition.of.every((one) => holds(one, status));
    case 'any':
      return condition.of.some((one) => holds(one, status));
    default:
      return !holds(condition.of, status);
  }
}
