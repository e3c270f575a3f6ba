import type { FailureKind } from '../http/failures.ts';
import { LatencyHistogram } from './latency-histogram.ts';
import { observe, responseKey, type ResponseNumbers } from './histogram.ts';

/**
 * Requests and raw connections of one target. Whoever serves a client keeps it, and looks for it anew once it
 * is `forgotten`.
 */
export class TargetCounters {
  /** It counts no more, and is to be asked for anew; never while anything is in flight. */
  forgotten = false;
  /** All that have begun. */
  requests = 0;
  /** Those that have not ended. */
  inFlight = 0;
  /** Those that have been answered and have ended, by `responseKey`. */
  readonly responses = new Map<number, ResponseNumbers>();
  /** What the proxy itself has answered, or ended. */
  readonly failures = new Map<FailureKind, number>();
  /** Times to the first byte of responses, of those that are under way too. */
  readonly latency = new LatencyHistogram();
  /**
   * Those of them that were not sent to an endpoint at once, and how long that took them together,
   * milliseconds: a connection had to be opened, a limit or an injected fault held them.
   */
  waits = 0;
  waitedMs = 0;

  /** One has come; `end` is to be called once. */
  begin(): void {
    this.requests++;
    this.inFlight++;
  }

  /** One has ended, in whichever way. */
  end(): void {
    this.inFlight--;
  }

  /**
   * The head of a response has come.
   * @param ms since its request came, milliseconds
   * @param waitedMs until that was sent on, milliseconds; undefined: that was at once
   */
  answered(ms: number, waitedMs?: number): void {
    this.latency.observe(ms);
    if (waitedMs === undefined) return;
    this.waits++;
    this.waitedMs += waitedMs;
  }

  /**
   * A response has ended.
   * @param ms time to its first byte, milliseconds
   * @param grpc status of a gRPC response, which is known at its end; undefined: the response is not gRPC
   */
  response(status: number, ms: number, grpc?: number): void {
    observe(this.responses, responseKey(status, grpc), ms);
  }

  failure(kind: FailureKind): void {
    this.failures.set(kind, (this.failures.get(kind) ?? 0) + 1);
  }
}
