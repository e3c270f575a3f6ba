import { messageOf } from '../../api/errors/linkspan-error.ts';
import { appendChunk } from '../../base/gathered-bytes.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import { ProxyFailure } from '../http/failures.ts';
import { type Field, valueOf } from '../http/fields.ts';
import type { Http2Connection } from '../http2/http2-connection.ts';
import { Http2ErrorCode } from '../http2/errors.ts';
import type { Http2Stream } from '../http2/stream.ts';
import { type Connection, type ConnectionOwner, endCarried } from '../io/connection.ts';
import type { ToldOfConnection } from '../io/dial.ts';
import { alternativesField, readTunnelRefusal } from './stream-head.ts';
import { HIGH_WATER, StreamConnection } from './stream-connection.ts';

/**
 * About how many bytes are sent before the peer has answered. They are kept until then, to be sent again if
 * it has not looked at the stream, or has refused it.
 */
const EARLY = 64 * 1024;
/** Connections that may turn a stream away without having looked at it. */
const MAX_ATTEMPTS = 4;

/** One flow of a client that is to be carried through a gateway. */
export interface TunnelOptions {
  /** The stream's head (`tunnelHead`). */
  readonly head: readonly Field[];
  /** What is said only on connections that have agreed on it. */
  readonly told: ToldOfConnection;
  /** Of the gateway. */
  readonly remoteAddress: string;
  /** Takes exceptions of the tunnel's user. */
  readonly boundary: Boundary;
  /** Calls `use` with a connection that has room for a stream. @throws ProxyFailure */
  readonly withRoom: (use: (connection: Http2Connection) => void) => Promise<void>;
  /** The peer has said why there will be no tunnel, and its flow is not carried elsewhere. */
  readonly onRefused: (failure: ProxyFailure) => void;
}

/**
 * The egress' end of a tunnel. Data follows the head at once; a peer that turns the stream away unseen
 * (GOAWAY, REFUSED_STREAM) costs nothing but another try. Where the peer refuses the flow itself, before
 * anything of it has reached an endpoint, its owner may give it another connection to go on with.
 */
export class DialledTunnel extends StreamConnection {
  /** Its head says whose it is, so nothing of another client's may follow on it. */
  readonly personal = true;
  owner: ConnectionOwner | undefined;
  readonly #options: TunnelOptions;
  #answered = false;
  #attempts = 0;
  readonly #early: Buffer[] = [];
  #earlyBytes = 0;
  /** What is beyond `EARLY` and waits for the answer. */
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** What carries the flow since the peer has refused it. */
  #next: Connection | undefined;

  constructor(options: TunnelOptions) {
    super(options.remoteAddress, options.boundary);
    this.#options = options;
  }

  /** @param connection one with room for a stream */
  begin(connection: Http2Connection): void {
    this.#attempts++;
    this.stream = connection.open(this.#headFor(connection), false, this);
    for (const chunk of this.#early) super.put(chunk);
    if (this.ended) this.finish();
    this.wrote(0);
  }

  established(): void {
    // The gateway's end says it to us (`ServedTunnel`).
  }

  override pause(): void {
    super.pause();
    this.#next?.pause();
  }

  override resume(): void {
    super.resume();
    this.#next?.resume();
  }

  override onHead(stream: Http2Stream, fields: readonly Field[], ended: boolean): void {
    if (valueOf(fields, ':status') !== '200') return this.#refused(readTunnelRefusal(fields));
    this.#answered = true;
    this.owner?.onTaken();
    this.#early.length = 0;
    const waiting = this.#waiting.splice(0);
    const bytes = this.#waitingBytes;
    this.#waitingBytes = 0;
    for (const chunk of waiting) super.put(chunk);
    this.wrote(bytes);
    if (this.ended) this.finish();
    if (ended) this.onEnd();
    else if (stream.closed) this.fail(new Error('the stream has ended'));
  }

  override onSent(stream: Http2Stream, bytes: number): void {
    // A stream that was turned away counts no more.
    if (stream === this.stream) super.onSent(stream, bytes);
  }

  override onReset(stream: Http2Stream, code: number, unprocessed: boolean): void {
    if (this.#answered || this.dead) return super.onReset(stream, code, unprocessed);
    const { owner } = this;
    if (unprocessed && this.#attempts < MAX_ATTEMPTS) {
      this.#withdraw();
      this.#options
        .withRoom((connection) => {
          if (!this.dead) this.begin(connection);
        })
        .catch((error: unknown) => this.#notBegun(error));
    } else if (owner !== undefined && (unprocessed || this.#earlyBytes === 0)) {
      // Where nothing was sent there is nothing that an endpoint could have read.
      void this.#move(owner, notTaken());
    } else super.onReset(stream, code, unprocessed);
  }

  protected override put(chunk: Buffer): void {
    if (this.#next !== undefined) {
      this.unsent = this.#next.send(chunk) ? 0 : HIGH_WATER;
      return;
    }
    if (this.#answered) return super.put(chunk);
    if (this.#earlyBytes < EARLY && this.#waitingBytes === 0) {
      this.#earlyBytes += chunk.length;
      appendChunk(this.#early, chunk);
      if (this.stream !== undefined) super.put(chunk);
      return;
    }
    appendChunk(this.#waiting, chunk);
    this.#waitingBytes += chunk.length;
    this.unsent += chunk.length;
  }

  protected override finish(): void {
    if (this.#next !== undefined) this.#next.end(() => this.endSent());
    else if (this.#waitingBytes === 0) super.finish();
  }

  protected override cut(code: number, error: Error | undefined): void {
    if (this.#next === undefined) super.cut(code, error);
    else if (code === Http2ErrorCode.CONNECT_ERROR) this.#next.abort(error);
    else this.#next.destroy(error);
  }

  #headFor(connection: Http2Connection): readonly Field[] {
    const { head, told } = this.#options;
    const { client, alternatives = 0 } = told;
    const fields = [...head];
    if (client !== undefined && connection.namesClients) fields.push(client);
    if (alternatives > 0 && connection.takesAlternatives) fields.push(alternativesField(alternatives));
    return fields;
  }

  /** No connection of the gateway takes the stream. */
  #notBegun(error: unknown): void {
    const { owner } = this;
    if (owner !== undefined && error instanceof ProxyFailure && !error.isOurs) void this.#move(owner, error);
    else this.fail(error instanceof Error ? error : new Error(messageOf(error)));
  }

  #refused(failure: ProxyFailure): void {
    if (this.dead) return;
    const { owner, stream } = this;
    if (owner !== undefined && MOVABLE.has(failure.kind)) void this.#move(owner, failure);
    else this.#end(failure);
    stream?.reset(Http2ErrorCode.NO_ERROR);
  }

  #end(failure: ProxyFailure): void {
    this.#options.onRefused(failure);
    this.giveUp(failure);
  }

  /** The stream carries nothing any more; what was sent on it is still here. */
  #withdraw(): void {
    this.stream = undefined;
    this.unsent = this.#waitingBytes;
  }

  /** Asks the owner for another connection, and goes on with it. */
  async #move(owner: ConnectionOwner, failure: ProxyFailure): Promise<void> {
    this.owner = undefined;
    this.#withdraw();
    try {
      const next = await owner.onRefused(failure);
      if (!(next instanceof ProxyFailure)) this.#goOnWith(next);
      else if (!this.dead) this.#end(next);
    } catch (error) {
      const { boundary } = this.#options;
      endCarried(this, boundary, boundary.caught(error));
    }
  }

  #goOnWith(next: Connection): void {
    if (this.dead) return next.destroy();
    this.#next = next;
    next.handler = {
      onData: (_, chunk) => this.onData(undefined, chunk),
      onEnd: () => this.onEnd(),
      onDrain: () => {
        this.unsent = 0;
        this.wrote(0);
      },
      onClose: (_, error) => {
        if (!this.dead) this.giveUp(error);
      },
    };
    for (const chunk of this.#early.splice(0)) this.put(chunk);
    for (const chunk of this.#waiting.splice(0)) this.put(chunk);
    this.#waitingBytes = 0;
    this.wrote(0);
    if (this.ended) this.finish();
    if (!this.paused) next.resume();
  }
}

function notTaken(): ProxyFailure {
  const text = 'the connection to the gateway was lost before it took the flow';
  return new ProxyFailure('connection failed', text, undefined, { lost: true });
}

/** What another gateway may not say of the same flow. Load that was shed is not to be put on others. */
const MOVABLE: ReadonlySet<string> = new Set(['failfast', 'connection failed', 'connect timeout']);
