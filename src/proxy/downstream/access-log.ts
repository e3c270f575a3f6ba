import type { Clock } from '../../base/clock.ts';
import type { Hold } from '../filters/request-filter.ts';
import type { FailureKind, ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';
import type { SessionProtocol } from '../http/messages.ts';
import type { FlowTrace } from '../tracing/flow-trace.ts';
import { saidTraceId } from '../tracing/tracer.ts';

/** One request, or one opaque connection, at its end. What was never known is undefined. */
export interface AccessEntry {
  /** Identity of the client, or its address where clients have none (egress). */
  readonly client: string;
  /** Address that its connection comes from, where a relay has named it that of the relay. */
  readonly address: string;
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
  /** The trace that it is a part of, recorded or not: 32 hexadecimal digits. */
  readonly traceId?: string | undefined;
}

/**
 * Where sessions say what they carried. Call `wants` once at the end of a request; only when it says so build
 * an entry and `record` it, before anything else happens. With nobody interested this costs one call.
 */
export interface AccessLog {
  /** Whether this request is to be recorded. Draws a random number when sampling, so ask once. */
  wants(session: LoggedSession, flow: LoggedFlow, failure?: ProxyFailure): boolean;
  record(entry: AccessEntry): void;
}

/** The `wants` of who wants nothing. */
export const NEVER: AccessLog['wants'] = () => false;

/** Wants nothing. */
export const NO_ACCESS_LOG: AccessLog = { wants: NEVER, record: () => undefined };

/** What an entry says of the session that a request or raw connection belongs to. */
export interface LoggedSession {
  readonly accessLog: AccessLog;
  readonly clientName: string;
  readonly via?: string | undefined;
  readonly target: { readonly label: string };
  /** Its connection. */
  readonly client: { readonly remoteAddress: string };
  readonly clock: Clock;
}

/**
 * What an entry says of one request or raw connection: its exchange or flow keeps this, and it is read only
 * when the log wants an entry. What was never known is absent, such as all of HTTP for raw bytes.
 */
export interface LoggedFlow
  extends Pick<
    AccessEntry,
    'protocol' | 'method' | 'path' | 'firstByteMs' | 'status' | 'grpcStatus' | 'bytesIn' | 'bytesOut'
  > {
  /** When it came (monotonic milliseconds). */
  readonly startedAt: number;
  /** Where a request filter has made it wait. */
  readonly hold: Hold | undefined;
  /** Its trace, where it is recorded. */
  readonly trace?: Pick<FlowTrace, 'traceId'> | undefined;
  /** Its fields, where one of them says which trace it is a part of. */
  readonly context?: readonly Field[] | undefined;
}

/** Where it was sent: the endpoint that was picked, or a request there. */
export interface LoggedUpstream {
  /** `host:port` of the endpoint. */
  readonly endpoint: string | undefined;
  /** How often it was sent, where retries apply. */
  readonly attempts?: number | undefined;
}

/** A request or raw connection that is under way. */
export type OpenFlow = readonly [
  session: LoggedSession,
  flow: LoggedFlow,
  upstream: LoggedUpstream | undefined,
];

/**
 * Enters into the access log what became of a request or a raw connection, at its end: the one place where
 * entries are made. With the log off this costs one call.
 * @param upstream undefined: nothing was picked
 */
export function recordAccess(
  session: LoggedSession,
  flow: LoggedFlow,
  upstream: LoggedUpstream | undefined,
  failure?: ProxyFailure,
): void {
  const { accessLog } = session;
  if (accessLog.wants(session, flow, failure)) accessLog.record(entryOf(session, flow, upstream, failure));
}

/** What is known of a request or a raw connection now, at its end or before. */
export function entryOf(
  { clientName, via, target, client, clock }: LoggedSession,
  flow: LoggedFlow,
  upstream: LoggedUpstream | undefined,
  failure?: ProxyFailure,
): AccessEntry {
  return {
    client: clientName,
    address: client.remoteAddress,
    via,
    target: target.label,
    endpoint: upstream?.endpoint,
    attempts: upstream?.attempts,
    protocol: flow.protocol,
    method: flow.method,
    path: flow.path,
    status: flow.status,
    grpcStatus: flow.grpcStatus,
    bytesIn: flow.bytesIn,
    bytesOut: flow.bytesOut,
    firstByteMs: flow.firstByteMs,
    totalMs: clock.monotonic() - flow.startedAt,
    failure: failure?.kind,
    reason: failure?.message,
    fault: flow.hold?.mark,
    traceId: flow.trace?.traceId ?? saidTraceId(flow),
  };
}
