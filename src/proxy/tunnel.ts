import type { Connection, ConnectionHandler } from './connection.ts';

/**
 * Copies bytes both ways between two connections, half-closes included, each side only as fast as the other reads.
 * @param onEnd called once, when both connections are closed
 */
export function joinTunnel(a: Connection, b: Connection, onEnd: () => void): void {
  new Tunnel(a, b, onEnd).start();
}

class Tunnel implements ConnectionHandler {
  readonly #a: Connection;
  readonly #b: Connection;
  readonly #onEnd: () => void;
  #closed = 0;

  constructor(a: Connection, b: Connection, onEnd: () => void) {
    this.#a = a;
    this.#b = b;
    this.#onEnd = onEnd;
  }

  start(): void {
    const [a, b] = [this.#a, this.#b];
    a.handler = this;
    b.handler = this;
    // One that closed before this handler was set will not say so again.
    for (const connection of [a, b]) if (connection.closed) this.onClose(connection, undefined);
    a.resume();
    b.resume();
  }

  onData(connection: Connection, chunk: Buffer): void {
    const other = this.#other(connection);
    // Nobody is there to read it. A kernel answers that with a reset; reading on would carry all that is left, to nowhere.
    if (other.closed) connection.abort();
    else if (!other.send(chunk)) connection.pause();
  }

  onEnd(connection: Connection): void {
    this.#other(connection).end();
  }

  onDrain(connection: Connection): void {
    this.#other(connection).resume();
  }

  onClose(connection: Connection, error: Error | undefined): void {
    const other = this.#other(connection);
    // A reset is passed on as one: a half-read answer must not look complete.
    if (error !== undefined) other.abort(error);
    else if (!other.closed) {
      other.end();
      // It may have been waiting for the one that is gone.
      other.resume();
    }
    if (++this.#closed === 2) this.#onEnd();
  }

  #other(connection: Connection): Connection {
    return connection === this.#a ? this.#b : this.#a;
  }
}
