import type { Clock } from '../../base/clock.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import type { Field } from '../http/fields.ts';
import type { ReadTurn } from '../io/event-loop-turn.ts';
import type { FloodLimit } from './flood-protection.ts';
import type { Http2Stream } from './stream.ts';

/** Streams that a client may have open; said in SETTINGS. */
export const MAX_OPEN = 256;
/** Streams on one connection to an endpoint; what its peer allows may be less. */
export const MAX_OPENED = 100;
/**
 * Fields of one head, counted as RFC 9113 section 6.5.2 does (bytes); said in SETTINGS, and more is answered
 * 431.
 */
export const MAX_HEADER_LIST = 64 * 1024;

/** Who uses a connection. `C`: an `Http2Connection`, which knows this file and not the other way round. */
export interface Http2User<C> {
  /** Server: a request. */
  onRequest(stream: Http2Stream, fields: readonly Field[], ended: boolean): void;
  /** Server: a request whose header list is larger than allowed; nothing is known of it. */
  onTooLarge(stream: Http2Stream): void;
  /** A stream is over; there may be room for another. */
  onStreamClosed(connection: C): void;
  /** The peer takes no more streams on this connection (client), or sends no more (server). */
  onGoAway(connection: C): void;
  /** Client: the peer's SETTINGS have come; it takes so many streams at a time. */
  onSettings?(connection: C, maxStreams: number): void;
  /** The connection is gone; every stream has been told. */
  onClosed(connection: C, error: Error | undefined): void;
}

/** How a connection behaves, either end of it. */
export interface Http2Options<C> {
  readonly role: 'client' | 'server';
  readonly clock: Clock;
  readonly user: Http2User<C>;
  /**
   * Takes what the users of streams throw, each of which loses its own; default none: it breaks the
   * connection.
   */
  readonly boundary?: Boundary;
  /** Bytes that the peer may send on a stream before they are consumed; default 65,535 (Linkerd's). */
  readonly streamWindow?: number;
  /**
   * The same for the whole connection; default 1 MiB (Linkerd's). It is given back on arrival, so that unread
   * streams do not stall others.
   */
  readonly connectionWindow?: number;
  /**
   * Unconsumed bytes of all streams together from which the connection window is no longer given back;
   * default 8 MiB.
   */
  readonly maxUnconsumed?: number;
  /** Server: streams that a client may have open; default 256. */
  readonly maxStreams?: number;
  /**
   * How late this process may be, which no peer is blamed for (`StreamAges`); default by the turns of its
   * event loop.
   */
  readonly turn?: ReadTurn;
  /** Server: streams that a client may reset before they are done; default `RESET_LIMIT`. */
  readonly resetLimit?: FloodLimit;
  /**
   * Client: the peer has agreed that streams say on whose behalf they are (stream mode, ADR 0031); default
   * false.
   */
  readonly namesClients?: boolean;
  /** Client: streams to open at a time, if the peer allows as many; default 100. */
  readonly maxOpened?: number;
  /**
   * Client: streams to open before the peer's SETTINGS have come, which may allow fewer (RFC 9113 section
   * 5.1.2); default 100.
   */
  readonly trustedStreams?: number;
  /**
   * Silence after which the peer is asked by PING whether it is still there, and how long it may take to
   * answer; default 10 s each (Linkerd's chart: 10 s and 3 s). `off` towards applications: gRPC's servers end
   * the connections of those who ask more often than every five minutes (gRPC's keepalive guide, server
   * enforcement); there TCP's keep-alive notices.
   */
  readonly keepAliveMs?: number | 'off';
  readonly keepAliveTimeoutMs?: number;
}
