import type { ProxyFailure } from '../http/failures.ts';
import { FAULT_FIELD, type Hold } from '../filters/request-filter.ts';
import { NO_BODY } from '../http/messages.ts';
import { type CountedFlow, endFlow, flowAnswered } from './flow-accounts.ts';
import type { TargetCounters } from '../metrics/target-counters.ts';
import type { Session } from './session.ts';
import type { ConnectionLease } from '../upstream/connection-lease.ts';
import type { LeasedRequest, SessionTarget } from '../upstream/session-target.ts';
import { BodyReader } from '../http1/body.ts';
import { splitTarget } from '../http1/render.ts';
import { type Field, valueOf } from '../http/fields.ts';
import type { FlowTrace } from '../tracing/flow-trace.ts';
import type { TracedHead } from '../tracing/span-attributes.ts';
import type { RequestHead, ResponseHead } from '../http1/head.ts';

const EMPTY = Buffer.alloc(0);

/**
 * One request of an HTTP/1 client, and its response. What is about the endpoint's connection is used only
 * where that speaks HTTP/1, too (`Http1Forwarder`).
 */
export class Http1Exchange implements CountedFlow {
  readonly head: RequestHead;
  /** When its head came (monotonic milliseconds). */
  readonly startedAt: number;
  counted: TargetCounters | undefined;
  /** Milliseconds until the response's head. */
  firstByteMs: number | undefined;
  waitedMs: number | undefined;
  /** What the client has been answered. */
  status: number | undefined;
  bytesIn = 0;
  bytesOut = 0;
  trace: FlowTrace | undefined;
  /** Where a request filter has made it wait. */
  hold: Hold | undefined;
  readonly requestBody: BodyReader;
  /** The endpoint's connection that it was sent on; undefined: there is none (yet). */
  lease: ConnectionLease | undefined;
  response: ResponseHead | undefined;
  responseBody = new BodyReader(NO_BODY);
  /** Bytes of the response's head so far. */
  held: Buffer = EMPTY;
  /** Interim responses so far. */
  interim = 0;
  /** A part of the request's body has been sent, so it cannot be sent again. */
  bodySent = false;
  /** It has been sent a second time, on a new connection (`isStale`). */
  retried = false;
  /**
   * The endpoint's connection is this client's alone, because the client authenticates it as a whole (NTLM,
   * Negotiate; RFC 4559 section 6).
   */
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

  get asked(): TracedHead {
    const { method, target, minor, fields } = this.head;
    const { path, authority = valueOf(fields, 'host') } = splitTarget(target, method);
    const version = minor === 0 ? 'HTTP/1.0' : 'HTTP/1.1';
    return { method, path, authority, version, fields };
  }

  get context(): readonly Field[] | undefined {
    const { section } = this.head;
    return section.traced ? section.fields : undefined;
  }
}

/**
 * Takes the head of the final response: notes when it came, tells the balancer how the endpoint did, begins
 * its body.
 */
export function takeResponse({ clock }: Session, exchange: Http1Exchange, head: ResponseHead): void {
  const ms = clock.monotonic() - exchange.startedAt;
  flowAnswered(exchange, ms);
  if (head.status >= 500) exchange.lease?.endpoint.fail();
  else exchange.lease?.endpoint.succeed(ms);
  exchange.response = head;
  exchange.status = head.status;
  exchange.responseBody = new BodyReader(head.framing);
  exchange.held = EMPTY;
}

/**
 * Counts a request that is answered here, in the target's stead, and enters it into the access log.
 * @param lease what it was sent on, if anything
 */
export function recordFailed(
  session: Session,
  exchange: Http1Exchange,
  lease: ConnectionLease | undefined,
  failure: ProxyFailure,
): void {
  exchange.status = failure.status;
  endFlow(session, exchange, lease?.endpoint, failure);
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

/** What of a request decides where it goes. */
export function askedOf({ head: { method, target, fields } }: Http1Exchange): LeasedRequest {
  return { method, path: splitTarget(target, method).path, fields };
}

/**
 * Whether a request has to go on an HTTP/1 connection to an endpoint: an upgrade, or one that authenticates
 * its connection (`personal`), which the client's next request has to find again. HTTP/2 has no such
 * authentication, so where the endpoints' applications speak HTTP/2 it is ignored.
 */
export function needsConnection({ head, personal }: Http1Exchange, { protocol }: SessionTarget): boolean {
  return head.upgrade !== undefined || (personal && protocol !== 'http2');
}

/**
 * Whether the endpoint was probably closing the connection when the request came: it had been used before,
 * nothing has come back, and nothing of the request's body has been sent.
 */
export function isStale({ lease, response, held, bodySent }: Http1Exchange): boolean {
  return lease?.reused === true && response === undefined && held.length === 0 && !bodySent;
}
