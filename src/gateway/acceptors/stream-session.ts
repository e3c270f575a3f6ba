import type { Clock } from '../../base/clock.ts';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import type { Connection } from '../../proxy/io/connection.ts';
import { ProxyFailure } from '../../proxy/http/failures.ts';
import type { Field } from '../../proxy/http/fields.ts';
import { Http2Connection } from '../../proxy/http2/http2-connection.ts';
import type { Http2User } from '../../proxy/http2/http2-options.ts';
import { Http2ErrorCode } from '../../proxy/http2/errors.ts';
import { Http2Exchange } from '../../proxy/downstream/http2-exchange.ts';
import { statusField } from '../../proxy/http2/message.ts';
import type { Http2Stream } from '../../proxy/http2/stream.ts';
import type { Session } from '../../proxy/downstream/session.ts';
import {
  MAX_STREAMS,
  readPurpose,
  refusalHead,
  STREAM_RESETS,
  STREAM_WINDOWS,
} from '../../proxy/streams/stream-head.ts';
import type { ClientNames } from '../authorization/trusted-relays.ts';
import { ServedTunnel } from '../../proxy/streams/served-tunnel.ts';

const EMPTY = Buffer.alloc(0);
/**
 * Contexts of those whom the peer speaks for that are remembered: names cost it nothing, and must not fill
 * our memory.
 */
const MAX_NAMED = 10_000;

/** One client's flows to one service: all that they have in common. */
export interface StreamContext {
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
  readonly counters: ProxyCounters;
  /** Whether a service is exported: what is said of one that is not need not be kept. */
  readonly exported: (name: string, port: number) => boolean;
  /** What is made of `:client`; default nothing was agreed about it. */
  readonly clients?: ClientNames;
  /**
   * @param client on whose behalf, where the peer is believed and says it
   * @throws ProxyFailure when it may not say that
   */
  readonly context: (name: string, port: number, client: string | undefined) => StreamContext;
}

/**
 * A connection in stream mode (ADR 0017): each stream is for a service of its own, an HTTP request or a
 * tunnel, and is authorized as a connection for that service would be.
 */
export class StreamSession implements Http2User<Http2Connection> {
  readonly #options: StreamSessionOptions;
  readonly #connection: Http2Connection;
  readonly #namesClients: boolean;
  readonly #believes: boolean;
  /** Of the peer itself, by `name:port`. */
  readonly #contexts: StreamContexts = new Map();
  /** Of those it speaks for, by identity. The longest known are at the front. */
  readonly #clients = new Map<string, StreamContexts>();
  #named = 0;

  constructor(options: StreamSessionOptions) {
    const { clients = 'none' } = options;
    this.#options = options;
    this.#namesClients = clients !== 'none';
    this.#believes = clients === 'believed';
    this.#connection = new Http2Connection(options.connection, {
      role: 'server',
      clock: options.clock,
      user: this,
      boundary: options.counters,
      maxStreams: MAX_STREAMS,
      resetLimit: STREAM_RESETS,
      ...STREAM_WINDOWS,
    });
  }

  start(): void {
    this.#options.counters.streams.connections++;
    this.#connection.start(EMPTY);
  }

  /** Takes no new flows; those under way go on. */
  drain(): void {
    this.#connection.goAway();
  }

  onRequest(stream: Http2Stream, fields: readonly Field[], ended: boolean): void {
    try {
      const { name, port, tunnel, client, fields: head } = readPurpose(fields, this.#namesClients);
      const who = this.#believes ? client : undefined;
      const kept = this.#options.exported(name, port);
      const context = kept ? this.#context(name, port, who) : this.#options.context(name, port, who);
      if (tunnel === undefined) this.#request(context, stream, head, ended);
      else this.#tunnel(context, stream, tunnel, ended);
      if (!kept) context.leave();
    } catch (error) {
      if (!(error instanceof ProxyFailure)) throw error;
      this.#options.counters.failure(error.kind);
      stream.head(refusalHead(error), true);
      if (!ended) stream.reset(Http2ErrorCode.NO_ERROR);
    }
  }

  onTooLarge(stream: Http2Stream): void {
    this.#options.counters.failure('bad request');
    stream.head([statusField(431)], true);
  }

  onStreamClosed(): void {
    // The exchange or tunnel of the stream hears of its end itself.
  }

  onGoAway(): void {
    // The client opens no more streams; those under way go on.
  }

  onClosed(): void {
    this.#options.counters.streams.connections--;
    leaveAll(this.#contexts);
    for (const contexts of this.#clients.values()) leaveAll(contexts);
    this.#clients.clear();
  }

  #request(context: StreamContext, stream: Http2Stream, head: readonly Field[], ended: boolean): void {
    this.#options.counters.streams.requests++;
    new Http2Exchange(context.session, stream).begin(head, ended);
  }

  #tunnel(context: StreamContext, stream: Http2Stream, protocol: SessionProtocol, ended: boolean): void {
    const { counters, connection } = this.#options;
    counters.streams.tunnels++;
    const tunnel = new ServedTunnel(stream, connection.remoteAddress, counters);
    // A refusal is told in the HTTP that is spoken in the tunnel; in a raw tunnel only the stream's own
    // answer can tell, so that waits for the endpoint.
    if (protocol !== 'opaque') tunnel.established();
    context.serve(tunnel, protocol);
    if (ended) tunnel.onEnd();
  }

  #context(name: string, port: number, client: string | undefined): StreamContext {
    const key = `${name}:${port}`;
    const contexts = client === undefined ? this.#contexts : this.#clients.get(client);
    let context = contexts?.get(key);
    if (context !== undefined) return context;
    context = this.#options.context(name, port, client);
    if (client === undefined) this.#contexts.set(key, context);
    else this.#remember(client, key, context);
    return context;
  }

  /**
   * Makes room first where there is none. Flows of a client that is forgotten go on; it is looked up anew
   * when it comes again.
   */
  #remember(client: string, key: string, context: StreamContext): void {
    for (const [oldest, contexts] of this.#clients) {
      if (this.#named < MAX_NAMED) break;
      this.#named -= contexts.size;
      this.#clients.delete(oldest);
      leaveAll(contexts);
    }
    let contexts = this.#clients.get(client);
    if (contexts === undefined) this.#clients.set(client, (contexts = new Map()));
    contexts.set(key, context);
    this.#named++;
  }
}

/** One client's contexts, by `name:port`. */
type StreamContexts = Map<string, StreamContext>;

function leaveAll(contexts: StreamContexts): void {
  for (const context of contexts.values()) context.leave();
  contexts.clear();
}
