import type { Clock } from '../../base/clock.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import type { Field } from '../http/fields.ts';
import type { ReadTurn } from '../io/event-loop-turn.ts';
import type { BusyWatch } from './keep-alive.ts';
import type { FloodLimit } from './flood-protection.ts';
import type { Http2Stream } from './stream.ts';

/** As a server: streams that a client may have open at a time; announced in SETTINGS. */
export const SERVER_STREAMS = 256;
/** As a client: streams that we open on one connection at a time; the peer may allow fewer. */
export const CLIENT_STREAMS = 100;
/**
 * Largest header list of one head, bytes as RFC 9113 section 6.5.2 counts them; announced in SETTINGS. A
 * larger request is answered with 431.
 */
export const MAX_HEADER_LIST = 64 * 1024;

/** Who uses a connection. `C` is `Http2Connection`: a type parameter, because that file imports this one. */
export interface Http2User<C> {
  /** Server: the head of a request has come. @param ended whether it has no body */
  onRequest(stream: Http2Stream, fields: readonly Field[], ended: boolean): void;
  /** Server: a request has come whose header list is larger than allowed; its fields are not known. */
  onTooLarge(stream: Http2Stream): void;
  /** A stream is over; there may be room for another. */
  onStreamClosed(connection: C): void;
  /**
   * The peer has sent GOAWAY, or we have ended the connection because of an error: no new stream can begin
   * here.
   */
  onGoAway(connection: C): void;
  /**
   * Client: the peer's SETTINGS have come.
   * @param maxStreams that may be open at a time, our own bound included
   */
  onSettings?(connection: C, maxStreams: number): void;
  /** A PING has been answered. @param payload what was sent in it */
  onPong?(connection: C, payload: Buffer): void;
  /** A frame of another type than RFC 9113's has come, or PRIORITY. @param payload during the call only */
  onExtension?(type: number, streamId: number, payload: Buffer): void;
  /** The connection is gone; every stream has been told. */
  onClosed(connection: C, error: Error | undefined): void;
}

/** How a connection behaves, either end of it. */
export interface Http2Options<C> {
  readonly role: 'client' | 'server';
  readonly clock: Clock;
  readonly user: Http2User<C>;
  /**
   * Takes exceptions of the users of streams, which end the one stream; default: they end the connection.
   */
  readonly boundary?: Boundary;
  /**
   * Flow-control window of a stream: bytes that may have come and not been consumed; default 65,535
   * (Linkerd's).
   */
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
   * How late this process may be in reading, for which no peer is blamed (`StreamAges`); default: the turns
   * of this process' event loop.
   */
  readonly turn?: ReadTurn;
  /** Server: how many streams a client may reset right after it began them; default `RESET_LIMIT`. */
  readonly resetLimit?: FloodLimit;
  /**
   * Client: whether the peer has agreed that streams name the client on whose behalf they are (stream mode,
   * ADR 0031); default false.
   */
  readonly namesClients?: boolean;
  /**
   * Server, stream mode: whether to announce in SETTINGS that `:alternatives` is read (ADR 0036); default
   * false.
   */
  readonly takesAlternatives?: boolean;
  /** Client: streams to open at a time, if the peer allows as many; default 100. */
  readonly maxOpened?: number;
  /**
   * Client: streams to open before the peer's SETTINGS have come, which may allow fewer (RFC 9113 section
   * 5.1.2); default 100.
   */
  readonly trustedStreams?: number;
  /**
   * Silence after which the peer is asked by PING whether it is still there, milliseconds, default 10,000,
   * and how long it may take to answer, default 10,000 (Linkerd's chart: 10 s and 3 s). `off` towards
   * applications: gRPC's servers end the connections of clients that ask more often than every five minutes
   * (gRPC's keepalive guide, server enforcement); there TCP's keep-alive notices.
   */
  readonly keepAliveMs?: number | 'off';
  readonly keepAliveTimeoutMs?: number;
  /**
   * Client: `keepAliveMs` and `keepAliveTimeoutMs` while streams are open; default: the same as otherwise.
   */
  readonly keepAliveBusy?: BusyWatch | undefined;
}
