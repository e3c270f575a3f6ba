import type { Boundary } from '../http/failure-boundary.ts';
import type { FailureKind } from '../http/failures.ts';
import type { SessionProtocol } from '../http/messages.ts';

/** One request, or one opaque connection, at its end. What was never known is undefined. */
export interface AccessEntry {
  /** Identity of the client, or its address where clients have none (egress). */
  readonly client: string;
  /** Identity of the relay that has named the client, where it has not proven itself who it is. */
  readonly via?: string | undefined;
  /** `name:port`. */
  readonly target: string;
  /** `host:port` of the endpoint that was picked. */
  readonly endpoint?: string | undefined;
  /** How often the request was sent, where retries apply to it. */
  readonly attempts?: number | undefined;
  /** What the client speaks. */
  readonly protocol: SessionProtocol;
  readonly method?: string | undefined;
  /** As the client sent it; the log leaves the query out unless it was asked for. */
  readonly path?: string | undefined;
  readonly status?: number | undefined;
  readonly grpcStatus?: number | undefined;
  /** Body bytes from the client. */
  readonly bytesIn: number;
  /** Body bytes to the client. */
  readonly bytesOut: number;
  /** Milliseconds until the first byte of the response. */
  readonly firstByteMs?: number | undefined;
  /** Milliseconds until the end. */
  readonly totalMs: number;
  readonly failure?: FailureKind | undefined;
  /** One line for people: the message of the failure. */
  readonly reason?: string | undefined;
  /** The fault that was injected before it was carried. */
  readonly fault?: string | undefined;
}

/**
 * Where sessions say what they carried. Call `wants` once at the end of a request; only when it says so build
 * an entry and `record` it. With the log off this costs one call.
 */
export interface AccessLog {
  /** Whether this request is to be recorded. Draws a random number when sampling, so ask once. */
  wants(status: number | undefined, failure?: FailureKind, grpcStatus?: number): boolean;
  record(entry: AccessEntry): void;
}

/** Wants nothing. */
export const NO_ACCESS_LOG: AccessLog = { wants: () => false, record: () => undefined };

/** A log that watches flows and so never ends one. */
export function containedLog(log: AccessLog, boundary: Boundary): AccessLog {
  if (log === NO_ACCESS_LOG) return log;
  return {
    wants(status, failure, grpcStatus) {
      try {
        return log.wants(status, failure, grpcStatus);
      } catch (error) {
        boundary.caught(error);
        return false;
      }
    },
    record(entry) {
      try {
        log.record(entry);
      } catch (error) {
        boundary.caught(error);
      }
    },
  };
}
