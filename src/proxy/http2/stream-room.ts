/** Client: how many streams may be open on a connection, as far as its peer's limit is known. */
export class StreamRoom {
  /** Our own bound; lowered when the peer refuses streams. */
  #max: number;
  /** The bound while the peer's SETTINGS have not come. */
  #trusted: number;
  /** Streams that are about to be opened. */
  #reserved = 0;

  /** @param max streams at a time @param trusted the same before the peer's SETTINGS have come */
  constructor(max: number, trusted: number) {
    this.#max = max;
    this.#trusted = trusted;
  }

  /** Whether the peer's SETTINGS need not be waited for. */
  get trusting(): boolean {
    return this.#trusted >= this.#max;
  }

  /** From now on the peer's SETTINGS need not be waited for. */
  trust(): void {
    this.#trusted = this.#max;
  }

  /**
   * How many streams may be open at a time.
   * @param allowed by the peer's SETTINGS; undefined: they have not come
   */
  limit(allowed: number | undefined): number {
    return Math.min(allowed ?? this.#trusted, this.#max);
  }

  /** Whether another stream may be opened. @param open how many are @param allowed as for `limit` */
  has(open: number, allowed: number | undefined): boolean {
    return open + this.#reserved < this.limit(allowed);
  }

  /** Keeps room for a stream that is opened next. */
  reserve(): void {
    this.#reserved++;
  }

  /** A stream is opened, and takes the room that was kept for one. */
  opened(): void {
    if (this.#reserved > 0) this.#reserved--;
  }

  /**
   * The peer has refused a stream (REFUSED_STREAM): it has as many as it wants, whatever its SETTINGS say.
   * @param open how many are open, the refused one included
   */
  refused(open: number): void {
    this.#max = Math.max(1, Math.min(this.#max, open - 1));
  }
}
