import type { Connection, ConnectionHandler } from './connection.ts';
import type { ProxyFailure } from '../http/failures.ts';

/** Inspects the bytes of both sides before they pass, for as long as that is needed. */
export interface SpliceWatch {
  /** Whether it need not see any more: from then on bytes pass without it. */
  readonly over: boolean;
  /**
   * @returns what may pass now, with what was kept back before; undefined: nothing. Before it returns, the
   * watch may have given both connections to other handlers.
   */
  inspect(from: Connection, chunk: Buffer): Buffer | undefined;
  /** That side sends no more. @returns what was kept back of it, and may pass */
  rest(from: Connection): Buffer | undefined;
}

/**
 * Copies bytes both ways between two connections, half-closes and resets included, each side only as fast as
 * the other reads. Becomes the handler of both.
 * @param onEnd called once, when both connections are closed; with a failure where an exception of ours ended
 * them
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
  /** Connections whose peers send no more. */
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
    // A connection that closed before it had this handler does not call `onClose` again.
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
    // Nobody reads any more: we do as a kernel does and reset, instead of reading the rest for nothing.
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
    // A reset is passed on as one: a half-read answer must not look complete. The same where we have closed
    // this side without its peer having ended it (at the end of the drain period): the other peer would wait
    // for more, and hold its connection, and the process, for ever.
    if (error !== undefined || (!other.closed && !this.#ended.has(connection))) other.abort(error);
    else if (!other.closed) {
      other.end();
      // It may be paused until the closed side could take more; nothing else would resume it.
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
