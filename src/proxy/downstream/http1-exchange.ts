import type { ProxyFailure } from '../http/failures.ts';
import { FAULT_FIELD, type Hold } from '../filters/request-filter.ts';
import { NO_BODY } from '../http/messages.ts';
import { type LoggedFlow, recordAccess } from './access-log.ts';
import type { Session } from './session.ts';
import type { ConnectionLease } from '../upstream/connection-lease.ts';
import type { Target } from '../upstream/target.ts';
import { BodyReader } from '../http1/body.ts';
import type { RequestHead, ResponseHead } from '../http1/head.ts';

const EMPTY = Buffer.alloc(0);

/** One request and its response, both in HTTP/1. */
export class Http1Exchange implements LoggedFlow {
  readonly head: RequestHead;
  /** Monotonic milliseconds. */
  readonly startedAt: number;
  /** Milliseconds until the response's head. */
  firstByteMs: number | undefined;
  /** What the client has been answered. */
  status: number | undefined;
  bytesIn = 0;
  bytesOut = 0;
  /** Where a request filter has made it wait. */
  hold: Hold | undefined;
  readonly requestBody: BodyReader;
  lease: ConnectionLease | undefined;
  response: ResponseHead | undefined;
  responseBody = new BodyReader(NO_BODY);
  /** Bytes of the response's head so far. */
  held: Buffer = EMPTY;
  /** Interim responses so far. */
  interim = 0;
  /** A part of the request's body has been sent, so it cannot be sent again. */
  bodySent = false;
  retried = false;
  /** The connection has become the client's own: somebody signs in, or has signed in, on it. */
  personal: boolean;

  constructor(head: RequestHead, startedAt: number) {
    this.head = head;
    this.startedAt = startedAt;
    this.requestBody = new BodyReader(head.framing);
    this.personal = head.section.signsConnection;
  }

  get protocol(): 'http1' {
    return 'http1';
  }

  get method(): string {
    return this.head.method;
  }

  get path(): string {
    return this.head.target;
  }
}

/** The head of the answer has come, which is not interim: it is counted, and says how its body ends. */
export function takeResponse(
  { counters, clock, target }: Session,
  exchange: Http1Exchange,
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
  exchange: Http1Exchange,
  lease: ConnectionLease | undefined,
  failure: ProxyFailure,
): void {
  const { counters, target, clock } = session;
  exchange.status = failure.status;
  counters.response(target.label, failure.status, clock.monotonic() - exchange.startedAt);
  recordAccess(session, exchange, lease?.endpoint, failure);
}

/** The head of a response, saying so where fault injection delayed the request. */
export function marked({ hold }: Http1Exchange, head: string): string {
  return hold === undefined ? head : `${head.slice(0, -2)}${FAULT_FIELD}: ${hold.mark}\r\n\r\n`;
}

/**
 * Ends the exchange's connection to an endpoint without a verdict about the endpoint.
 * @returns what it was
 */
export function abandonLease(exchange: Http1Exchange): ConnectionLease | undefined {
  const { lease } = exchange;
  exchange.lease = undefined;
  lease?.endpoint.abandon();
  lease?.connection.destroy();
  return lease;
}

/**
 * Whether a request has to go on an HTTP/1 connection to an endpoint: upgrades, and those that sign a
 * connection in, which the next request of the client has to find again. An endpoint that speaks HTTP/2 alone
 * knows no such signing in.
 */
export function needsConnection({ head, personal }: Http1Exchange, { protocol }: Target): boolean {
  return head.upgrade !== undefined || (personal && protocol !== 'http2');
}

/**
 * Whether the request went on a reused connection, of which nothing came back, and no body has been sent on
 * it.
 */
export function isStale({ lease, response, held, bodySent }: Http1Exchange): boolean {
  return lease?.reused === true && response === undefined && held.length === 0 && !bodySent;
}
