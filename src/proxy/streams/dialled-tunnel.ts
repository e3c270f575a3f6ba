import { messageOf } from '../../api/errors/linkspan-error.ts';
import { appendChunk } from '../../base/gathered-bytes.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import type { ProxyFailure } from '../http/failures.ts';
import { type Field, valueOf } from '../http/fields.ts';
import type { Http2Connection } from '../http2/http2-connection.ts';
import { Http2ErrorCode } from '../http2/errors.ts';
import type { Http2Stream } from '../http2/stream.ts';
import { readTunnelRefusal } from './stream-head.ts';
import { StreamConnection } from './stream-connection.ts';

/**
 * Bytes that are sent before the peer has answered; they are kept until then, to be sent again if it has not
 * looked at the stream.
 */
const EARLY = 64 * 1024;
/** Connections that may turn a stream away without having looked at it. */
const MAX_ATTEMPTS = 4;

export interface TunnelOptions {
  /** The stream's head. */
  readonly head: readonly Field[];
  /** The client on whose behalf it is; named on connections that have agreed on it. */
  readonly client?: Field | undefined;
  readonly remoteAddress: string;
  /** Takes exceptions of the tunnel's user. */
  readonly boundary: Boundary;
  /** Calls `use` with a connection that has room for a stream. @throws ProxyFailure */
  readonly withRoom: (use: (connection: Http2Connection) => void) => Promise<void>;
  /** The peer has said why there will be no tunnel. */
  readonly onRefused: (failure: ProxyFailure) => void;
}

/**
 * The egress' end of a tunnel. Data follows the head at once; a peer that turns the stream away unseen
 * (GOAWAY, REFUSED_STREAM) costs nothing but another try.
 */
export class DialledTunnel extends StreamConnection {
  /** Its head says on whose behalf it is, or that this is not known. */
  readonly personal = true;
  readonly #options: TunnelOptions;
  #answered = false;
  #attempts = 0;
  readonly #early: Buffer[] = [];
  #earlyBytes = 0;
  /** Bytes that are not sent before there is an answer. */
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;

  constructor(options: TunnelOptions) {
    super(options.remoteAddress, options.boundary);
    this.#options = options;
  }

  /** @param connection one with room for a stream */
  begin(connection: Http2Connection): void {
    this.#attempts++;
    const { head, client } = this.#options;
    const told = client !== undefined && connection.namesClients;
    this.stream = connection.open(told ? [...head, client] : head, false, this);
    for (const chunk of this.#early) super.put(chunk);
    if (this.ended) this.finish();
    this.wrote(0);
  }

  established(): void {
    // The peer says so.
  }

  override onHead(stream: Http2Stream, fields: readonly Field[], ended: boolean): void {
    if (valueOf(fields, ':status') !== '200') return this.#refused(readTunnelRefusal(fields));
    this.#answered = true;
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

  override onReset(stream: Http2Stream, code: number, unprocessed: boolean): void {
    if (this.#answered || !unprocessed || this.dead || this.#attempts >= MAX_ATTEMPTS)
      return super.onReset(stream, code, unprocessed);
    this.stream = undefined;
    this.unsent = this.#waitingBytes;
    this.#options
      .withRoom((connection) => {
        if (!this.dead) this.begin(connection);
      })
      .catch((error: unknown) => this.fail(error instanceof Error ? error : new Error(messageOf(error))));
  }

  protected override put(chunk: Buffer): void {
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
    if (this.#waitingBytes === 0) super.finish();
  }

  #refused(failure: ProxyFailure): void {
    if (this.dead) return;
    this.#options.onRefused(failure);
    this.give(failure);
    this.stream?.reset(Http2ErrorCode.NO_ERROR);
  }
}
