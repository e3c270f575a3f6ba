import { observe, responseKey, type ResponseNumbers } from './histogram.ts';

/** Why a try was given up, or the whole request. */
export type TimeoutKind = 'request' | 'response' | 'idle' | 'try';

/** What was counted of one route, as plain JSON. */
export interface RouteCounts {
  readonly requests: number;
  readonly attempts: number;
  /** By twice `responseKey`, plus one for failures. */
  readonly responses: Readonly<Record<string, ResponseNumbers>>;
  /** The same of single attempts. */
  readonly answers: Readonly<Record<string, ResponseNumbers>>;
  readonly retries: Readonly<Record<RetryOutcome, number>>;
  readonly timeouts: Readonly<Record<TimeoutKind, number>>;
}

/**
 * What became of the wish to try again. `sent`: a retry was sent; `succeeded`: and its answer was one to pass
 * on; `exhausted`: as many were sent as may be; `overBudget`: the target bears no more; `unreplayable`: the
 * body was too large, not complete, or there was no room to keep it.
 */
export type RetryOutcome = 'sent' | 'succeeded' | 'exhausted' | 'overBudget' | 'unreplayable';

/** Requests of one target and route that retries or timeouts apply to. */
export class RouteCounters {
  requests = 0;
  attempts = 0;
  readonly retries: Record<RetryOutcome, number> = {
    sent: 0,
    succeeded: 0,
    exhausted: 0,
    overBudget: 0,
    unreplayable: 0,
  };
  readonly timeouts: Record<TimeoutKind, number> = { request: 0, response: 0, idle: 0, try: 0 };
  readonly #responses = new Map<number, ResponseNumbers>();
  readonly #answers = new Map<number, ResponseNumbers>();

  /** The client has been answered. @param ms until the head */
  response(answer: RouteAnswer): void {
    observe(this.#responses, keyOf(answer), answer.ms);
  }

  /** A try has been answered, or failed. @param ms from its beginning until the head */
  answer(answer: RouteAnswer): void {
    observe(this.#answers, keyOf(answer), answer.ms);
  }

  get numbers(): RouteCounts {
    const { requests, attempts, retries, timeouts } = this;
    return {
      requests,
      attempts,
      responses: Object.fromEntries(this.#responses),
      answers: Object.fromEntries(this.#answers),
      retries: { ...retries },
      timeouts: { ...timeouts },
    };
  }
}

export interface RouteAnswer {
  readonly status: number;
  readonly grpc: number | undefined;
  readonly failed: boolean;
  readonly ms: number;
}

function keyOf({ status, grpc, failed }: RouteAnswer): number {
  return responseKey(status, grpc) * 2 + Number(failed);
}

/** The reverse, for `readResponseKey`. */
export function readAnswerKey(key: number): { readonly key: number; readonly failed: boolean } {
  return { key: Math.floor(key / 2), failed: key % 2 === 1 };
}
