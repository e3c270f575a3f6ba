import type { Hold } from '../filters/request-filter.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { SessionProtocol } from '../http/messages.ts';
import type { Session } from './session.ts';

/**
 * What the access log says of a request, or of a raw connection: kept by what carries it, which is asked only
 * when the log wants an entry. What was never known, as all of HTTP of raw bytes, is absent.
 */
export interface AccessRecord {
  /** What the client speaks. */
  readonly protocol: SessionProtocol;
  readonly method?: string | undefined;
  readonly path?: string | undefined;
  /** When it came (monotonic milliseconds). */
  readonly startedAt: number;
  /** Milliseconds until the response's head. */
  readonly firstByteMs?: number | undefined;
  /** What the client has been answered. */
  readonly status?: number | undefined;
  readonly grpcStatus?: number | undefined;
  /** Body bytes from the client, and to it. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Where a request filter has made it wait. */
  readonly hold: Hold | undefined;
}

/** Where it was sent: what was picked, or a request there. */
export interface Carrier {
  /** `host:port` of the endpoint. */
  readonly endpoint: string | undefined;
  /** How often it was sent, where retries apply. */
  readonly attempts?: number | undefined;
}

/**
 * Says in the access log what became of a request or a raw connection, at its end: the one place where
 * entries are made. With the log off this costs one call.
 * @param carrier undefined: nothing was picked
 */
export function recordAccess(
  session: Session,
  record: AccessRecord,
  carrier: Carrier | undefined,
  failure?: ProxyFailure,
): void {
  const { accessLog } = session;
  if (!accessLog.wants(record.status, failure?.kind, record.grpcStatus)) return;
  const { clientName, via, target, clock } = session;
  accessLog.record({
    client: clientName,
    via,
    target: target.label,
    endpoint: carrier?.endpoint,
    attempts: carrier?.attempts,
    protocol: record.protocol,
    method: record.method,
    path: record.path,
    status: record.status,
    grpcStatus: record.grpcStatus,
    bytesIn: record.bytesIn,
    bytesOut: record.bytesOut,
    firstByteMs: record.firstByteMs,
    totalMs: clock.monotonic() - record.startedAt,
    failure: failure?.kind,
    reason: failure?.message,
    fault: record.hold?.mark,
  });
}
