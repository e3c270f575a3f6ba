import type { Clock } from '../../base/clock.ts';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import type { Connection } from '../../proxy/io/connection.ts';
import { ProxyFailure } from '../../proxy/http/failures.ts';
import type { Field } from '../../proxy/http/fields.ts';
import { Http2Connection } from '../../proxy/http2/http2-connection.ts';
import type { Http2User } from '../../proxy/http2/http2-options.ts';
import { Http2ErrorCode } from '../../proxy/http2/errors.ts';
import type { OpenFlow } from '../../proxy/downstream/access-log.ts';
import { Http2Exchange, requestsOf } from '../../proxy/downstream/http2-exchange.ts';
import { statusField } from '../../proxy/http2/message.ts';
import type { Http2Stream } from '../../proxy/http2/stream.ts';
import type { Session } from '../../proxy/downstream/session.ts';
import {
  MAX_STREAMS,
  readPurpose,
  refusalHead,
  STREAM_RESETS,
  STREAM_WINDOWS,
  type StreamPurpose,
} from '../../proxy/streams/stream-head.ts';
import type { ClientNames } from '../authorization/trusted-relays.ts';
import { readClusterFrame } from '../../proxy/streams/cluster-frame.ts';
import { ServedTunnel } from '../../proxy/streams/served-tunnel.ts';

const EMPTY = Buffer.alloc(0);
/**
 * Most contexts of named clients that are cached for one connection: a peer can invent names at no cost, and
 * they must not fill the memory.
 */
const MAX_NAMED = 10_000;

/** What all flows of one client to one service share. */
export interface StreamContext {
  /** Session by which requests are served. */
  readonly session: Session;
  /** Serves a tunnelled connection to the same service. */
  serve(connection: Connection, protocol: SessionProtocol): void;
  /** To be called when no more flows come. */
  leave(): void;
}

/** The connection, and how its streams are served. */
export interface StreamSessionOptions {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly counters: ProxyCounters;
  /** Whether a service is exported; contexts of others are not cached. */
  readonly exported: (name: string, port: number) => boolean;
  /** How the field `:client` is treated; default `none`. */
  readonly clients?: ClientNames;
  /**
   * What flows to a service share.
   * @param client the named client, where the peer is a trusted relay and names one
   * @throws ProxyFailure when the relay may not name this client
   */
  readonly context: (name: string, port: number, client: string | undefined) => StreamContext;
  /** Called where the peer says in which cluster it is, before its first stream; default: nobody asks. */
  readonly onCluster?: (name: string) => void;
}

/**
 * A connection in stream mode (ADR 0017). Each stream is an HTTP request or a tunnel to a service that it
 * names, and is authorized like a connection to that service.
 */
export class StreamSession implements Http2User<Http2Connection> {
  readonly #options: StreamSessionOptions;
  readonly #connection: Http2Connection;
  readonly #namesClients: boolean;
  readonly #believes: boolean;
  /** Contexts of the peer itself, by `name:port`. */
  readonly #contexts: StreamContexts = new Map();
  /** Contexts of the clients that it names, by identity; the oldest come first. */
  readonly #clients = new Map<string, StreamContexts>();
  /** Number of contexts in `#clients`. */
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
      takesAlternatives: true,
      resetLimit: STREAM_RESETS,
      ...STREAM_WINDOWS,
    });
  }

  /** Serves the connection until it ends. */
  start(): void {
    this.#options.counters.streams.connections++;
    this.#connection.start(EMPTY);
  }

  /** Accepts no new flows; existing ones go on. */
  drain(): void {
    this.#connection.goAway();
  }

  /** The requests that are under way; tunnels are flows of their own. */
  underWay(): Iterable<OpenFlow> {
    return requestsOf(this.#connection);
  }

  onRequest(stream: Http2Stream, fields: readonly Field[], ended: boolean): void {
    try {
      const purpose = readPurpose(fields, this.#namesClients);
      const { name, port, tunnel, client } = purpose;
      const who = this.#believes ? client : undefined;
      const kept = this.#options.exported(name, port);
      const context = kept ? this.#context(name, port, who) : this.#options.context(name, port, who);
      if (tunnel === undefined) this.#request(context, stream, purpose, ended);
      else this.#tunnel(context, stream, { ...purpose, tunnel }, ended);
      if (!kept) context.leave();
    } catch (error) {
      if (!(error instanceof ProxyFailure)) throw error;
      this.#options.counters.failure(error.kind, undefined);
      stream.head(refusalHead(error), true);
      if (!ended) stream.reset(Http2ErrorCode.NO_ERROR);
    }
  }

  onTooLarge(stream: Http2Stream): void {
    this.#options.counters.failure('bad request', undefined);
    stream.head([statusField(431)], true);
  }

  onExtension(type: number, streamId: number, payload: Buffer): void {
    const cluster = readClusterFrame(type, streamId, payload);
    if (cluster !== undefined) this.#options.onCluster?.(cluster);
  }

  onStreamClosed(): void {
    // The stream's exchange or tunnel is notified by the stream itself.
  }

  onGoAway(): void {
    // The client opens no more streams; existing ones go on.
  }

  onClosed(): void {
    this.#options.counters.streams.connections--;
    leaveAll(this.#contexts);
    for (const contexts of this.#clients.values()) leaveAll(contexts);
    this.#clients.clear();
  }

  #request(context: StreamContext, stream: Http2Stream, purpose: StreamPurpose, ended: boolean): void {
    this.#options.counters.streams.requests++;
    new Http2Exchange(context.session, stream, purpose.alternatives).begin(purpose.fields, ended);
  }

  #tunnel(
    context: StreamContext,
    stream: Http2Stream,
    { tunnel: protocol, alternatives }: Pick<StreamPurpose, 'alternatives'> & { tunnel: SessionProtocol },
    ended: boolean,
  ): void {
    const { counters, connection } = this.#options;
    counters.streams.tunnels++;
    const tunnel = new ServedTunnel(stream, connection.remoteAddress, counters, alternatives);
    // In a tunnel for HTTP a refusal is an HTTP response inside it, so the tunnel is accepted at once, unless
    // there is nobody to serve it and the peer has others. In a raw tunnel only the stream's own answer can
    // refuse, so it waits for the endpoint.
    if (protocol !== 'opaque') {
      const failure = alternatives > 0 ? unreadyFor(context.session) : undefined;
      if (failure !== undefined) return tunnel.destroy(failure);
      tunnel.established();
    }
    context.serve(tunnel, protocol);
    if (ended) tunnel.onEnd();
  }

  /** The cached context, made where there is none. */
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
   * Caches a context, and evicts the oldest client where the cache is full. Flows of an evicted client go on;
   * its next flow makes a new context.
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

/** Why a client that is allowed to use a service finds nobody there. */
function unreadyFor({ check, target }: Session): ProxyFailure | undefined {
  return check(undefined) === undefined ? target.unready : undefined;
}
