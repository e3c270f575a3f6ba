import type { Clock } from '../base/clock.ts';
import type { Accounts } from '../proxy/accounts.ts';
import type { Connection } from '../proxy/connection.ts';
import { ProxyFailure } from '../proxy/failures.ts';
import type { Field } from '../proxy/field.ts';
import { Http2Connection, type Http2User } from '../proxy/http2/connection.ts';
import { ErrorCode } from '../proxy/http2/errors.ts';
import { Http2Exchange } from '../proxy/http2/exchange.ts';
import { statusField } from '../proxy/http2/message.ts';
import type { Http2Stream } from '../proxy/http2/stream.ts';
import type { Session } from '../proxy/session.ts';
import { readPurpose, refusalHead } from '../proxy/streams/head.ts';
import { MAX_STREAMS, STREAM_RESETS, STREAM_WINDOWS } from '../proxy/streams/limits.ts';
import { ServedTunnel } from '../proxy/streams/served-tunnel.ts';
import type { SessionProtocol } from '../proxy/transport-header.ts';

const EMPTY = Buffer.alloc(0);

/** One client's flows to one service: all that they have in common. */
export interface Visit {
  /** What a request needs to be served. */
  readonly session: Session;
  /** Serves a byte connection for the same service. */
  serve(connection: Connection, protocol: SessionProtocol): void;
  /** No more flows come. */
  leave(): void;
}

export interface StreamSessionOptions {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly accounts: Accounts;
  /** Whether a service is exported: what is said of one that is not need not be kept. */
  readonly exported: (name: string, port: number) => boolean;
  readonly visit: (name: string, port: number) => Visit;
}

/** A connection in stream mode (ADR 0017): each stream is for a service of its own, an HTTP request or a tunnel, and is authorized as a connection for that service would be. */
export class StreamSession implements Http2User {
  readonly #options: StreamSessionOptions;
  readonly #connection: Http2Connection;
  /** By `name:port`. */
  readonly #visits = new Map<string, Visit>();

  constructor(options: StreamSessionOptions) {
    this.#options = options;
    this.#connection = new Http2Connection(options.connection, {
      role: 'server',
      clock: options.clock,
      user: this,
      maxStreams: MAX_STREAMS,
      resetLimit: STREAM_RESETS,
      ...STREAM_WINDOWS,
    });
  }

  start(): void {
    this.#options.accounts.streams.connections++;
    this.#connection.start(EMPTY);
  }

  /** Takes no new flows; those under way go on. */
  drain(): void {
    this.#connection.goAway();
  }

  onRequest(stream: Http2Stream, fields: readonly Field[], ended: boolean): void {
    try {
      const { name, port, tunnel, fields: head } = readPurpose(fields);
      const kept = this.#options.exported(name, port);
      const visit = kept ? this.#visit(name, port) : this.#options.visit(name, port);
      if (tunnel === undefined) this.#request(visit, stream, head, ended);
      else this.#tunnel(visit, stream, tunnel, ended);
      if (!kept) visit.leave();
    } catch (error) {
      if (!(error instanceof ProxyFailure)) throw error;
      this.#options.accounts.failure(error.kind);
      stream.head(refusalHead(error), true);
      if (!ended) stream.reset(ErrorCode.NO_ERROR);
    }
  }

  onTooLarge(stream: Http2Stream): void {
    this.#options.accounts.failure('bad request');
    stream.head([statusField(431)], true);
  }

  onStreamClosed(): void {
    // Its exchange or tunnel knows.
  }

  onGoAway(): void {
    // The client opens no more streams; those under way go on.
  }

  onClosed(): void {
    this.#options.accounts.streams.connections--;
    for (const visit of this.#visits.values()) visit.leave();
    this.#visits.clear();
  }

  #request(visit: Visit, stream: Http2Stream, head: readonly Field[], ended: boolean): void {
    this.#options.accounts.streams.requests++;
    new Http2Exchange(visit.session, stream).begin(head, ended);
  }

  #tunnel(visit: Visit, stream: Http2Stream, protocol: SessionProtocol, ended: boolean): void {
    const { accounts, connection } = this.#options;
    accounts.streams.tunnels++;
    const tunnel = new ServedTunnel(stream, connection.remoteAddress);
    // Why not is told by what is spoken in it; of raw bytes only the stream itself can tell.
    if (protocol !== 'opaque') tunnel.established();
    visit.serve(tunnel, protocol);
    if (ended) tunnel.onEnd();
  }

  #visit(name: string, port: number): Visit {
    const key = `${name}:${port}`;
    let visit = this.#visits.get(key);
    if (visit === undefined) {
      visit = this.#options.visit(name, port);
      this.#visits.set(key, visit);
    }
    return visit;
  }
}
