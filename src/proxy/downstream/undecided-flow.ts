import type { Clock, Timer } from '../../base/clock.ts';
import type { Connection, ConnectionHandler } from '../io/connection.ts';
import { FirstLine, isHttpServer } from '../io/protocol-detection.ts';
import { ProxyFailure } from '../http/failures.ts';
import { MAX_HEAD } from '../http1/head.ts';
import { closeGracefully } from '../io/graceful-close.ts';
import { OpaqueFlow } from './opaque-flow.ts';
import type { OpenFlow } from './access-log.ts';
import type { Flow, AcceptedConnection } from './session.ts';
import type { SpliceWatch } from '../io/splice.ts';

const EMPTY = Buffer.alloc(0);
/**
 * How long the beginning of what looks like a request waits for the rest of its first line, before it is
 * passed on as bytes: Linkerd's detection timeout.
 */
const LINE_MS = 10_000;
/** When the process is to end, a connection that has not said anything is given this long. */
const DRAIN_IDLE_MS = 1000;

/**
 * A connection whose first bytes decide its protocol. HTTP is handled as HTTP whenever it comes, however long
 * the client waits before and in whichever pieces it sends it.
 *
 * Where a port is said to speak HTTP, that is all; other bytes are answered with an error. Where nothing is
 * said, a client that is quiet may be waiting for a server that speaks first, so it is connected to one after
 * `quietMs`, and still inspected until its first line is complete: for a request that connection is given up,
 * and a request that comes when bytes have passed already (either way) is not let through.
 */
export class UndecidedFlow implements Flow, ConnectionHandler, SpliceWatch {
  readonly #accepted: AcceptedConnection;
  readonly #serve: (protocol: 'http1' | 'http2', accepted: AcceptedConnection, first: Buffer) => Flow;
  readonly #client: Connection;
  readonly #clock: Clock;
  readonly #line = new FirstLine();
  /** Whatever is not HTTP is refused: the port is said to speak HTTP, or its server has shown it. */
  #http: boolean;
  /** Bytes of the client that have not been passed on. */
  #kept: Buffer[] = [];
  #keptBytes = 0;
  /** Bytes have passed, one way or the other. */
  #passed = false;
  /** Until a client that says nothing gets an endpoint (`quietMs`). */
  #quiet: Timer | undefined;
  /** Until the beginning of a first line passes as bytes (`LINE_MS`). */
  #patience: Timer | undefined;
  /** The connection to an endpoint as long as this may be a raw one; given up if it turns out to be HTTP. */
  #raw: OpaqueFlow | undefined;
  /** The flow that it has turned out to be. */
  #decided: Flow | undefined;

  constructor(
    accepted: AcceptedConnection,
    options: {
      /** The port is said to speak HTTP. */
      readonly http: boolean;
      /** Serves the connection once it is known to be HTTP. */
      readonly serve: (protocol: 'http1' | 'http2', accepted: AcceptedConnection, first: Buffer) => Flow;
    },
  ) {
    this.#accepted = accepted;
    this.#serve = options.serve;
    this.#client = accepted.client;
    this.#clock = accepted.clock;
    this.#http = options.http;
  }

  start(first: Buffer): void {
    const { quietMs } = this.#accepted;
    this.#client.handler = this;
    this.#client.resume();
    if (this.#http) this.#client.established();
    if (first.length > 0) this.onData(this.#client, first);
    else if (this.#http) return;
    else if (quietMs === 0) this.#open();
    else this.#quiet = this.#clock.after(quietMs, () => this.#safely(() => this.#open()), { unref: true });
  }

  underWay(): Iterable<OpenFlow> {
    return (this.#decided ?? this.#raw)?.underWay() ?? [];
  }

  // --- before there is an endpoint to pass bytes to

  onData(client: Connection, chunk: Buffer): void {
    this.#quiet?.cancel();
    const bytes = this.inspect(client, chunk);
    if (bytes !== undefined) this.#open(bytes);
  }

  onEnd(): void {
    this.#quiet?.cancel();
    if (this.#keptBytes === 0) return this.#client.end();
    // The client sends no more, but its bytes may be a whole (raw) request.
    if (this.#http) this.#become('http1');
    else this.#open(this.#takeKept());
    this.#client.handler.onEnd(this.#client);
  }

  onDrain(): void {
    // Nothing has been sent.
  }

  onClose(): void {
    this.#quiet?.cancel();
    this.#patience?.cancel();
  }

  onCaught(client: Connection, failure: ProxyFailure): void {
    this.#fail(failure);
    if (!client.closed) client.abort(failure);
  }

  /** Ends it for a mistake of ours. */
  #fail(failure: ProxyFailure): void {
    this.#quiet?.cancel();
    this.#patience?.cancel();
    if (this.#raw === undefined) this.#client.abort(failure);
    else this.#raw.onCaught(this.#client, failure);
  }

  /** Runs work of a timer, above which no failure boundary stands: an exception ends this connection. */
  #safely(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail(this.#accepted.boundary.caught(error));
    }
  }

  // --- SpliceWatch: the bytes of both sides, before they pass

  get over(): boolean {
    return this.#decided !== undefined || this.#line.decided;
  }

  inspect(from: Connection, chunk: Buffer): Buffer | undefined {
    if (from !== this.#client) return this.#lookAtServer(chunk);
    const sight = this.#line.take(chunk);
    if (sight === 'http1' || sight === 'http2') return this.#request(sight, chunk);
    if (this.#http) {
      this.#keep(chunk);
      // Bytes that can no longer be HTTP/2 are read, or refused, as HTTP/1.
      if (!this.#line.mayBeHttp2) this.#become('http1');
      return undefined;
    }
    // Where some have passed already, or no request begins like that, nothing is kept back; the line is read
    // on.
    if (sight !== 'likely' || this.#passed) {
      if (this.#passed && this.#keptBytes === 0) return chunk;
      this.#keep(chunk);
      return this.#takeKept();
    }
    this.#wait(chunk);
    return undefined;
  }

  rest(from: Connection): Buffer | undefined {
    return from === this.#client && this.#keptBytes > 0 ? this.#takeKept() : undefined;
  }

  // --- Flow

  recheck(): void {
    (this.#decided ?? this.#raw)?.recheck();
  }

  drain(): void {
    const flow = this.#decided ?? this.#raw;
    if (flow !== undefined) return flow.drain();
    const idle = () => this.#decided === undefined && this.#raw === undefined && this.#keptBytes === 0;
    const end = () => {
      if (idle()) closeGracefully(this.#client, this.#clock);
    };
    this.#clock.after(DRAIN_IDLE_MS, end, { unref: true });
  }

  /** What the endpoint sends. If the first bytes are HTTP, the port speaks HTTP. */
  #lookAtServer(chunk: Buffer): Buffer | undefined {
    if (this.#passed && this.#keptBytes === 0) return chunk;
    if (this.#passed || !isHttpServer(chunk)) {
      const kept = this.#takeKept();
      if (kept.length > 0) this.#raw?.pass(kept);
      return chunk;
    }
    // A greeting (SETTINGS) is for this connection only, and does not pass: the client is greeted by us, or
    // by nobody, once its own protocol is known.
    this.#giveUpRaw();
    this.#http = true;
    this.#client.handler = this;
    this.#client.resume();
    if (this.#keptBytes > 0 && !this.#line.mayBeHttp2) this.#become('http1');
    return undefined;
  }

  /** The first line is one of HTTP. */
  #request(protocol: 'http1' | 'http2', chunk: Buffer): undefined {
    if (this.#passed) {
      const { label } = this.#accepted.session('opaque').target;
      const text = `${label}: a request of HTTP on a connection that has carried other bytes before`;
      this.#patience?.cancel();
      this.#raw?.fail(new ProxyFailure('protocol not served', text));
      return;
    }
    this.#keep(chunk);
    this.#become(protocol);
  }

  /** Keeps back what may be the beginning of a request. */
  #wait(chunk: Buffer): void {
    this.#keep(chunk);
    // Our own HTTP/1 parser refuses so long a line. As bytes it would pass unread to a server whose parser
    // may allow it.
    if (this.#keptBytes >= MAX_HEAD) return this.#become('http1');
    this.#patience ??= this.#clock.after(LINE_MS, () => this.#safely(() => this.#losePatience()), {
      unref: true,
    });
  }

  /** The first line was not completed in time: what there is of it passes as bytes. */
  #losePatience(): void {
    if (this.over || this.#client.closed || this.#http) return;
    const bytes = this.#takeKept();
    if (this.#raw === undefined) this.#open(bytes);
    else this.#raw.pass(bytes);
  }

  /** It is HTTP from here on. */
  #become(protocol: 'http1' | 'http2'): void {
    this.#patience?.cancel();
    this.#giveUpRaw();
    this.#client.established();
    this.#decided = this.#serve(protocol, this.#accepted, this.#gathered());
  }

  #giveUpRaw(): void {
    this.#raw?.leave();
    this.#raw = undefined;
  }

  /** Connects it to an endpoint. @param first what may pass at once */
  #open(first: Buffer = EMPTY): void {
    if (this.#client.closed) return;
    this.#raw = new OpaqueFlow(this.#accepted.session('opaque'), this.#line.decided ? undefined : this);
    if (this.#passed) this.#raw.settle();
    this.#raw.start(first);
  }

  #keep(chunk: Buffer): void {
    this.#kept.push(chunk);
    this.#keptBytes += chunk.length;
  }

  /** What has been kept back passes. */
  #takeKept(): Buffer {
    this.#passed = true;
    this.#raw?.settle();
    return this.#gathered();
  }

  /** What has been kept back, which is then kept no more. */
  #gathered(): Buffer {
    const [only = EMPTY] = this.#kept;
    const bytes = this.#kept.length > 1 ? Buffer.concat(this.#kept) : only;
    this.#kept = [];
    this.#keptBytes = 0;
    return bytes;
  }
}
