import { LatencyHistogram, type LatencyNumbers } from './latency-histogram.ts';
import { observe, responseKey, type ResponseNumbers } from './histogram.ts';

/** Which deadline has passed: that of one attempt (`try`), or one of those of the whole request. */
export type TimeoutKind = 'request' | 'response' | 'idle' | 'try';

/** What was counted of one route, as plain JSON. */
export interface RouteCounts {
  readonly requests: number;
  /** Attempts at endpoints; more than requests where some were retried. */
  readonly attempts: number;
  /** Responses as clients got them. The key is twice the `responseKey`, plus one for failures. */
  readonly responses: Readonly<Record<string, ResponseNumbers>>;
  /** The same of single attempts. */
  readonly answers: Readonly<Record<string, ResponseNumbers>>;
  readonly retries: Readonly<Record<RetryOutcome, number>>;
  readonly timeouts: Readonly<Record<TimeoutKind, number>>;
  /** Time to the first byte of `responses`. */
  readonly latency: LatencyNumbers;
}

/**
 * What became of an answer that may be asked for again. `sent`: a retry was sent; `succeeded`: a retry
 * brought an answer that is passed on; no retry was sent because `exhausted`: the request had as many as it
 * may have, `overBudget`: the target's budget of retries was used up, `unreplayable`: the body was too large,
 * not complete, or there was no room to keep it.
 */
export type RetryOutcome = 'sent' | 'succeeded' | 'exhausted' | 'overBudget' | 'unreplayable';

/** Counts requests of one target and route to which retries or timeouts apply. */
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
  readonly #latency = new LatencyHistogram();
  readonly #responses = new Map<number, ResponseNumbers>();
  readonly #answers = new Map<number, ResponseNumbers>();

  /** The client has been answered. */
  response(answer: RouteAnswer): void {
    observe(this.#responses, keyOf(answer), answer.ms);
    this.#latency.observe(answer.ms);
  }

  /** An attempt has been answered, or has failed. */
  answer(answer: RouteAnswer): void {
    observe(this.#answers, keyOf(answer), answer.ms);
  }

  /** What has been counted so far. */
  get numbers(): RouteCounts {
    const { requests, attempts, retries, timeouts } = this;
    return {
      requests,
      attempts,
      responses: Object.fromEntries(this.#responses),
      answers: Object.fromEntries(this.#answers),
      retries: { ...retries },
      timeouts: { ...timeouts },
      latency: this.#latency.numbers,
    };
  }
}

/** An answer, to a client or to one attempt. */
export interface RouteAnswer {
  readonly status: number;
  /** gRPC status; undefined: it is not gRPC. */
  readonly grpc: number | undefined;
  /** Whether it counts as a failure: by the route's response classes, else as `isFailedAnswer` says. */
  readonly failed: boolean;
  /** Milliseconds from the beginning of the request, or of the attempt, to the head. */
  readonly ms: number;
}

function keyOf({ status, grpc, failed }: RouteAnswer): number {
  return responseKey(status, grpc) * 2 + Number(failed);
}

/** The parts of a key of `RouteCounts.responses`. @returns `key` is for `readResponseKey` */
export function readAnswerKey(key: number): { readonly key: number; readonly failed: boolean } {
  return { key: Math.floor(key / 2), failed: key % 2 === 1 };
}
