import type { Connection, ConnectionHandler } from '../../proxy/io/connection.ts';

/**
 * A connection whose client is being found out: nothing is read, and what comes all the same is kept for
 * whoever serves it.
 */
export class PendingConnection implements ConnectionHandler {
  /** What has been read. */
  bytes: Buffer = Buffer.alloc(0);
  readonly #connection: Connection;
  #ended = false;

  constructor(connection: Connection) {
    this.#connection = connection;
    connection.handler = this;
    connection.pause();
  }

  /** Tells its new handler what it has missed. */
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
    // Nothing has been sent.
  }

  onClose(): void {
    // The route server looks at `closed` when it has found out who the client is.
  }
}
