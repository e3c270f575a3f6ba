import type { ProxyFailure } from '../http/failures.ts';
import { FAULT_FIELD, type Hold } from '../filters/admission.ts';
import { NO_BODY } from '../http/framing.ts';
import type { Session } from './session.ts';
import type { ConnectionLease } from '../upstream/connection-lease.ts';
import type { Target } from '../upstream/target.ts';
import { BodyReader } from '../http1/body.ts';
import type { RequestHead, ResponseHead } from '../http1/head.ts';

const EMPTY = Buffer.alloc(0);

/** What the access log says of a request. */
export interface RequestRecord {
  readonly head: RequestHead;
  /** Monotonic milliseconds. */
  readonly startedAt: number;
  /** Milliseconds until the response's head. */
  firstByteMs: number | undefined;
  /** What the client has been answered. */
  status: number | undefined;
  bytesIn: number;
  bytesOut: number;
  /** Where something stands before the target that made the request wait. */
  hold: Hold | undefined;
}

/** One request and its response, both in HTTP/1. */
export interface Exchange extends RequestRecord {
  readonly requestBody: BodyReader;
  lease: ConnectionLease | undefined;
  response: ResponseHead | undefined;
  responseBody: BodyReader;
  /** Bytes of the response's head so far. */
  held: Buffer;
  /** Interim responses so far. */
  interim: number;
  /** Something of the request's body has been sent, so it cannot be sent again. */
  bodySent: boolean;
  retried: boolean;
  /** The connection has become the client's own: somebody signs in, or has signed in, on it. */
  personal: boolean;
}

function newRecord(head: RequestHead, startedAt: number): RequestRecord {
  return {
    head,
    startedAt,
    firstByteMs: undefined,
    status: undefined,
    bytesIn: 0,
    bytesOut: 0,
    hold: undefined,
  };
}

export function newExchange(head: RequestHead, startedAt: number): Exchange {
  return {
    ...newRecord(head, startedAt),
    requestBody: new BodyReader(head.framing),
    lease: undefined,
    response: undefined,
    responseBody: new BodyReader(NO_BODY),
    held: EMPTY,
    interim: 0,
    bodySent: false,
    retried: false,
    personal: head.section.signsConnection,
  };
}

/** The endpoint that was picked for a request, and after how many tries. */
interface Asked {
  readonly endpoint: string | undefined;
  readonly tries?: number;
}

/** Says in the access log what became of a request. */
export function recordRequest(
  session: Session,
  record: RequestRecord,
  asked: Asked | undefined,
  failure?: ProxyFailure,
): void {
  if (session.accessLog.wants(record.status, failure?.kind)) writeRecord(session, record, asked, failure);
}

function writeRecord(
  { accessLog, clientName, via, target, clock }: Session,
  record: RequestRecord,
  asked: Asked | undefined,
  failure?: ProxyFailure,
): void {
  accessLog.record({
    client: clientName,
    via,
    target: target.label,
    endpoint: asked?.endpoint,
    tries: asked?.tries,
    protocol: 'http1',
    method: record.head.method,
    path: record.head.target,
    status: record.status,
    bytesIn: record.bytesIn,
    bytesOut: record.bytesOut,
    firstByteMs: record.firstByteMs,
    totalMs: clock.monotonic() - record.startedAt,
    failure: failure?.kind,
    reason: failure?.message,
    fault: record.hold?.mark,
  });
}

/** The same, of a request that both sides speak HTTP/1 for. @param lease what it was sent on, if anything */
export function recordExchange(
  session: Session,
  exchange: Exchange,
  lease: ConnectionLease | undefined,
  failure?: ProxyFailure,
): void {
  if (!session.accessLog.wants(exchange.status, failure?.kind)) return;
  const endpoint = lease?.endpoint;
  const asked = endpoint === undefined ? undefined : { endpoint: `${endpoint.host}:${endpoint.port}` };
  writeRecord(session, exchange, asked, failure);
}

/** The head of the answer has come, which is not interim: it is counted, and says how its body ends. */
export function takeResponse(
  { counters, clock, target }: Session,
  exchange: Exchange,
  head: ResponseHead,
): void {
  const ms = clock.monotonic() - exchange.startedAt;
  counters.response(target.label, head.status, ms);
  if (head.status >= 500) exchange.lease?.endpoint.fail();
  else exchange.lease?.endpoint.succeed(ms);
  exchange.response = head;
  exchange.status = head.status;
  exchange.firstByteMs = ms;
  exchange.responseBody = new BodyReader(head.framing);
  exchange.held = EMPTY;
}

/**
 * Counts a request that is answered here, in the target's stead.
 * @param lease what it was sent on, if anything
 */
export function recordFailed(
  session: Session,
  exchange: Exchange,
  lease: ConnectionLease | undefined,
  failure: ProxyFailure,
): void {
  const { counters, target, clock } = session;
  exchange.status = failure.status;
  counters.response(target.label, failure.status, clock.monotonic() - exchange.startedAt);
  recordExchange(session, exchange, lease, failure);
}

/** The head of a response, saying so where a drill delayed the request. */
export function marked({ hold }: Exchange, head: string): string {
  return hold === undefined ? head : `${head.slice(0, -2)}${FAULT_FIELD}: ${hold.mark}\r\n\r\n`;
}

/**
 * Whether a request has to go on an HTTP/1 connection to an endpoint: upgrades, and those that sign a
 * connection in, which the next request of the client has to find again. An endpoint that speaks HTTP/2 alone
 * knows no such signing in.
 */
export function needsConnection({ head, personal }: Exchange, { protocol }: Target): boolean {
  return head.upgrade !== undefined || (personal && protocol !== 'http2');
}

/** An unused connection was taken, and nothing has come of it. */
export function isStale({ lease, response, held, bodySent }: Exchange): boolean {
  return lease?.reused === true && response === undefined && held.length === 0 && !bodySent;
}
