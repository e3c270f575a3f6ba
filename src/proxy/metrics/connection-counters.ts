/**
 * Stands for services that do not exist here, clients beyond the first few, and whatever else is too much to
 * count one by one.
 */
export const OTHER = 'other';
/** Kinds of closing that are counted one by one. */
const MAX_ERRNOS = 32;

/** Connections of one kind, as numbers. */
export interface ConnectionCounts {
  readonly opened: number;
  readonly open: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** How they ended, by errno; empty for those that ended well. */
  readonly closes: Readonly<Record<string, number>>;
}

export const NO_CONNECTIONS: ConnectionCounts = {
  opened: 0,
  open: 0,
  readBytes: 0,
  writtenBytes: 0,
  closes: {},
};

/** What counts its bytes itself. */
interface Counting {
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

/** A connection that tells of its end, with the code of the error that it ended with. */
interface Closing extends Counting {
  whenClosed(listener: (errno: string | undefined) => void): void;
}

/** Connections of one kind. Bytes of those that are open are read off them when somebody asks. */
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

  /**
   * Counts a connection from now on until it closes, with the code of the error that ends it, if one does.
   */
  follow(connection: Closing): void {
    this.begin(connection);
    connection.whenClosed((errno) => this.end(connection, errno));
  }

  begin(connection: Counting): void {
    this.#opened++;
    this.#live.add(connection);
  }

  /** @param errno the code of what went wrong; none when it ended well */
  end(connection: Counting, errno = ''): void {
    if (!this.#live.delete(connection)) return;
    this.#readBytes += connection.bytesRead;
    this.#writtenBytes += connection.bytesWritten;
    const bounded = this.#closes.has(errno) || this.#closes.size < MAX_ERRNOS ? errno : OTHER;
    this.#closes.set(bounded, (this.#closes.get(bounded) ?? 0) + 1);
  }

  get numbers(): ConnectionCounts {
    let [readBytes, writtenBytes] = [this.#readBytes, this.#writtenBytes];
    for (const connection of this.#live) {
      readBytes += connection.bytesRead;
      writtenBytes += connection.bytesWritten;
    }
    // A scrape asks every service of a process at once: most have nothing to say here.
    const closes = this.#closes.size === 0 ? NO_CONNECTIONS.closes : Object.fromEntries(this.#closes);
    return { opened: this.#opened, open: this.open, readBytes, writtenBytes, closes };
  }
}
