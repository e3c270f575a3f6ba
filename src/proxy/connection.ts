import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** What a connection tells whoever uses it now. One object serves for many connections and requests: no closure per request. */
export interface ConnectionHandler {
  onData(connection: Connection, chunk: Buffer): void;
  /** The peer sends no more (half-close). */
  onEnd(connection: Connection): void;
  /** What was held back has been sent; `send` may go on. */
  onDrain(connection: Connection): void;
  /** Nothing comes or goes any more. */
  onClose(connection: Connection, error: Error | undefined): void;
}

/** A peer that vanished without a word (its machine is gone, a firewall forgot the connection) is found out by probes after this much silence; Linkerd's default. */
const KEEP_ALIVE_MS = 10_000;

const NOBODY: ConnectionHandler = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

/**
 * A byte connection over a public `net` or `tls` socket, as narrow as the data path needs: no stream is piped, chunks go through as they came. What is sent in one turn of the event loop leaves in one
 * write. Works the same on Node and on Bun.
 */
export class Connection {
  handler: ConnectionHandler = NOBODY;
  bytesRead = 0;
  bytesWritten = 0;
  readonly #socket: Socket;
  #corked = false;
  #closed = false;
  #ended = false;
  #error: Error | undefined;
  #whenClosed: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length;
      this.handler.onData(this, chunk);
    });
    socket.on('end', () => this.handler.onEnd(this));
    socket.on('drain', () => this.handler.onDrain(this));
    socket.on('error', (error) => (this.#error ??= error));
    socket.on('close', () => {
      this.#closed = true;
      this.handler.onClose(this, this.#error);
      this.#whenClosed?.();
    });
  }

  /** Who is told of the end besides the handler, whoever that is by then. */
  whenClosed(listener: () => void): void {
    if (this.#closed) listener();
    else this.#whenClosed = listener;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? '';
  }

  /** Bytes that wait because the peer reads slowly. */
  get buffered(): number {
    return this.#socket.writableLength;
  }

  /** The peer has not read what it was sent before: an `onDrain` will come. */
  get blocked(): boolean {
    return !this.#closed && this.#socket.writableNeedDrain;
  }

  /** Sends. False means: the peer is slow, stop reading from where this came until `onDrain`. */
  send(chunk: Buffer): boolean {
    if (this.#closed || this.#ended) return true;
    this.bytesWritten += chunk.length;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(uncork, this);
    }
    return this.#socket.write(chunk);
  }

  flush(): void {
    if (!this.#corked) return;
    this.#corked = false;
    this.#socket.uncork();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#closed) this.#socket.resume();
  }

  /** Sends what is waiting, then says that no more comes; the other direction stays open. @param onSent called when the peer's kernel, or ours, has all of it */
  end(onSent?: () => void): void {
    if (this.#closed || this.#ended) return;
    this.flush();
    this.#ended = true;
    if (onSent === undefined) this.#socket.end();
    else this.#socket.end(onSent);
  }

  /** Ends both directions at once. */
  destroy(error?: Error): void {
    this.#error ??= error;
    this.#socket.destroy();
  }

  /** Ends both directions at once, in a way that the peer cannot take for a proper end: by a reset; in TLS it is the closing alert that is missing. */
  abort(error?: Error): void {
    this.#error ??= error;
    if (this.#closed || this.#socket instanceof TLSSocket) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }
}

function uncork(connection: Connection): void {
  connection.flush();
}
