import type { Connection, ConnectionHandler } from './connection.ts';
import type { ProxyFailure } from '../http/failures.ts';

/** Looks at the bytes of both sides before they pass, for as long as that is needed. */
export interface SpliceWatch {
  /** Nothing more is to be looked at. */
  readonly over: boolean;
  /**
   * @returns what may pass now, with what has been kept back; undefined = nothing. The tunnel may be somebody
   * else's by then.
   */
  inspect(from: Connection, chunk: Buffer): Buffer | undefined;
  /** That side sends no more. @returns what has been kept back of it, and may pass */
  rest(from: Connection): Buffer | undefined;
}

/**
 * Copies bytes both ways between two connections, half-closes included, each side only as fast as the other
 * reads.
 * @param onEnd called once, when both connections are closed; with the failure, where it was a mistake of
 * ours
 * @param watch who looks at them, if anybody
 */
export function spliceConnections(a: Connection, b: Connection, onEnd: TunnelEnd, watch?: SpliceWatch): void {
  new Tunnel(a, b, onEnd, watch).start();
}

type TunnelEnd = (failure: ProxyFailure | undefined) => void;

class Tunnel implements ConnectionHandler {
  readonly #a: Connection;
  readonly #b: Connection;
  readonly #onEnd: TunnelEnd;
  #watch: SpliceWatch | undefined;
  #closed = 0;
  /** Those that have sent all that they had to say. */
  readonly #ended = new Set<Connection>();
  #failure: ProxyFailure | undefined;

  constructor(a: Connection, b: Connection, onEnd: TunnelEnd, watch: SpliceWatch | undefined) {
    this.#a = a;
    this.#b = b;
    this.#onEnd = onEnd;
    this.#watch = watch;
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
    if (this.#watch === undefined) return this.#pass(connection, chunk);
    const passed = this.#watch.inspect(connection, chunk);
    if (this.#watch.over) this.#watch = undefined;
    if (passed !== undefined) this.#pass(connection, passed);
  }

  #pass(connection: Connection, chunk: Buffer): void {
    const other = this.#other(connection);
    // Nobody is there to read it. A kernel answers that with a reset; reading on would carry all that is
    // left, to nowhere.
    if (other.closed) connection.abort();
    else if (!other.send(chunk)) connection.pause();
  }

  onEnd(connection: Connection): void {
    this.#ended.add(connection);
    const rest = this.#watch?.rest(connection);
    if (rest !== undefined) this.#pass(connection, rest);
    this.#other(connection).end();
  }

  onDrain(connection: Connection): void {
    this.#other(connection).resume();
  }

  onClose(connection: Connection, error: Error | undefined): void {
    const other = this.#other(connection);
    // A reset is passed on as one: a half-read answer must not look complete. So is an end that we have made,
    // at the end of the grace: a peer that waits for more would hold the other connection, and the process,
    // for ever.
    if (error !== undefined || (!other.closed && !this.#ended.has(connection))) other.abort(error);
    else if (!other.closed) {
      other.end();
      // It was paused, maybe, until the side that has closed could take more; nobody would let it go on.
      other.resume();
    }
    if (++this.#closed === 2) this.#onEnd(this.#failure);
  }

  onCaught(_: Connection, failure: ProxyFailure): void {
    this.#failure ??= failure;
    this.#a.abort(failure);
    this.#b.abort(failure);
  }

  #other(connection: Connection): Connection {
    return connection === this.#a ? this.#b : this.#a;
  }
}
