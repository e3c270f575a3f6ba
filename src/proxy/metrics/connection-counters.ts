/**
 * The label under which everything is counted that has no series of its own: services that do not exist here,
 * clients beyond the first few hundred, and whatever else is over a bound.
 */
export const OTHER = 'other';
/** Most codes of errors that are counted one by one. */
const MAX_ERRNOS = 32;

/** What was counted of connections of one kind, as plain JSON. */
export interface ConnectionCounts {
  readonly opened: number;
  readonly open: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** How many ended with each error code (`ECONNRESET`); the empty one: without an error. */
  readonly closes: Readonly<Record<string, number>>;
}

/** What was counted where there has been no connection. */
export const NO_CONNECTIONS: ConnectionCounts = {
  opened: 0,
  open: 0,
  readBytes: 0,
  writtenBytes: 0,
  closes: {},
};

/** A connection as it is counted; it counts its bytes itself. */
interface Counting {
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

/** A connection that also says when it has ended, and with which error code. */
interface Closing extends Counting {
  whenClosed(listener: (errno: string | undefined) => void): void;
}

/** Counts connections of one kind. Bytes of open ones are read from them when `numbers` is asked for. */
export class ConnectionCounters {
  #opened = 0;
  #readBytes = 0;
  #writtenBytes = 0;
  readonly #closes = new Map<string, number>();
  readonly #live = new Set<Counting>();

  /** How many are open now. */
  get open(): number {
    return this.#live.size;
  }

  /** Counts a connection from now on until it closes. */
  follow(connection: Closing): void {
    this.begin(connection);
    connection.whenClosed((errno) => this.end(connection, errno));
  }

  /** Counts a connection until `end`; for those whose end the caller knows (`follow`: all others). */
  begin(connection: Counting): void {
    this.#opened++;
    this.#live.add(connection);
  }

  /**
   * A connection has ended; does nothing for one that is not being counted.
   * @param errno default: without an error
   */
  end(connection: Counting, errno = ''): void {
    if (!this.#live.delete(connection)) return;
    this.#readBytes += connection.bytesRead;
    this.#writtenBytes += connection.bytesWritten;
    const bounded = this.#closes.has(errno) || this.#closes.size < MAX_ERRNOS ? errno : OTHER;
    this.#closes.set(bounded, (this.#closes.get(bounded) ?? 0) + 1);
  }

  /** What has been counted so far. */
  get numbers(): ConnectionCounts {
    let [readBytes, writtenBytes] = [this.#readBytes, this.#writtenBytes];
    for (const connection of this.#live) {
      readBytes += connection.bytesRead;
      writtenBytes += connection.bytesWritten;
    }
    // A scrape reads this of every service at once, of which most have no closes: no object for each of them.
    const closes = this.#closes.size === 0 ? NO_CONNECTIONS.closes : Object.fromEntries(this.#closes);
    return { opened: this.#opened, open: this.open, readBytes, writtenBytes, closes };
  }
}
