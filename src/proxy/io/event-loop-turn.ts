import { type Clock, systemClock } from '../../base/clock.ts';

/** What has something to send at the end of a turn. */
export interface Unflushed {
  flushContained(): void;
}

/** What is to be known of the turn in which something is read. */
export interface ReadTurn {
  /**
   * Bytes have been read by one who wants to know of this turn. HTTP/2 does, which has something to send at
   * the end of most turns: a turn that only raw bytes or HTTP/1 have been read in is not measured and costs
   * nothing.
   */
  read(): void;
  /** When `read` was called in it first (monotonic milliseconds): no two turns have the same. */
  readonly began: number;
  /**
   * Milliseconds that what is read now may have waited for this process: bytes that came while the turn
   * before was under way are read in this one, behind all that is read before them. At most; they may as well
   * have come this moment.
   */
  lagMs(): number;
}

/**
 * A turn of the event loop. All sockets that are ready are read in one turn, and what comes of it is sent at
 * its end: requests of many clients go to an endpoint in one write. How long turns take says how long bytes
 * may have lain in the kernel before anybody read them.
 */
export class EventLoopTurn implements ReadTurn {
  readonly #clock: Clock;
  readonly #atEnd: (end: () => void) => void;
  #unflushed: Unflushed[] = [];
  #ending = false;
  /** Whether `read` was called in this turn, and when first. */
  #reading = false;
  #began = 0;
  /** How long the last turn took in which it was, from then on. */
  #lastMs = 0;

  /** @param atEnd calls at the end of the turn, behind all that is read in it */
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

  /** Has something flushed when the turn ends. */
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

  /** One function for all turns. */
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

/** That of this process. */
export const eventLoopTurn = new EventLoopTurn(systemClock, setImmediate);
