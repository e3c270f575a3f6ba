import { type Clock, systemClock } from '../../base/clock.ts';

/** A connection that has gathered bytes to be sent at the end of the turn. */
export interface Unflushed {
  flushContained(): void;
}

/** The turn of the event loop in which something is read: how late this process may be to read it. */
export interface ReadTurn {
  /**
   * Bytes have been read by a reader that will ask about this turn, which is then measured. Only HTTP/2 does:
   * turns in which nothing but raw bytes or HTTP/1 was read cost nothing.
   */
  read(): void;
  /** When `read` was first called in this turn (monotonic milliseconds); no two turns have the same. */
  readonly began: number;
  /**
   * For how many milliseconds at most the bytes that are read now may have waited for this process: bytes
   * that came during the turn before are read in this one, behind everything that is read earlier in it. They
   * may as well have come this moment.
   */
  lagMs(): number;
}

/**
 * The present turn of the event loop. All sockets that are ready are read in one turn, and what that makes us
 * send is sent at its end, so that requests of many clients go to an endpoint in one write. How long turns
 * take bounds how long bytes may have lain in the kernel before they were read.
 */
export class EventLoopTurn implements ReadTurn {
  readonly #clock: Clock;
  readonly #atEnd: (end: () => void) => void;
  #unflushed: Unflushed[] = [];
  #ending = false;
  /** Whether `read` was called in this turn. */
  #reading = false;
  #began = 0;
  /** How long the last measured turn took, from its first `read` to its end. */
  #lastMs = 0;

  /**
   * @param atEnd calls its argument at the end of the turn, when everything has been read (`setImmediate`)
   */
  constructor(clock: Clock, atEnd: (end: () => void) => void) {
    this.#clock = clock;
    this.#atEnd = atEnd;
  }

  read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#began = this.#clock.monotonic();
    this.#endSoon();
  }

  /** Has a connection flushed when the turn ends. */
  flushAtEnd(connection: Unflushed): void {
    this.#unflushed.push(connection);
    this.#endSoon();
  }

  get began(): number {
    return this.#began;
  }

  lagMs(): number {
    return this.#reading ? this.#lastMs + this.#clock.monotonic() - this.#began : this.#lastMs;
  }

  #endSoon(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#atEnd(this.#end);
  }

  /** One function for all turns, not a closure for each. */
  readonly #end = (): void => {
    this.#ending = false;
    const connections = this.#unflushed;
    this.#unflushed = [];
    try {
      for (const connection of connections) connection.flushContained();
    } finally {
      if (this.#reading) this.#lastMs = this.#clock.monotonic() - this.#began;
      this.#reading = false;
    }
  };
}

/** The turn of this process' event loop. */
export const eventLoopTurn = new EventLoopTurn(systemClock, setImmediate);
