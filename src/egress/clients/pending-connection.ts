import type { Connection, ConnectionHandler } from '../../proxy/io/connection.ts';

/**
 * Handles a connection until its client is known. The connection is paused; data that arrives all the same is
 * kept for the next handler.
 */
export class PendingConnection implements ConnectionHandler {
  /** Data that has arrived. */
  bytes: Buffer = Buffer.alloc(0);
  readonly #connection: Connection;
  #ended = false;

  constructor(connection: Connection) {
    this.#connection = connection;
    connection.handler = this;
    connection.pause();
  }

  /** Passes the end of the client's data on to the new handler, if it came before that was set. */
  tellEnd(): void {
    if (this.#ended && !this.#connection.closed) this.#connection.handler.onEnd(this.#connection);
  }

  onData(_: Connection, chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, chunk]);
  }

  onEnd(): void {
    this.#ended = true;
  }

  onDrain(): void {
    // Nothing is sent before the client is known.
  }

  onClose(): void {
    // The route server checks `closed` once the client is known.
  }
}
