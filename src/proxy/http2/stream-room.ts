/** Client: how many streams a connection may have open, for all that is known of its peer. */
export class StreamRoom {
  #max: number;
  /** As long as the peer's SETTINGS have not come. */
  #trusted: number;
  /** Streams that somebody is about to open. */
  #reserved = 0;

  constructor(max: number, trusted: number) {
    this.#max = max;
    this.#trusted = trusted;
  }

  /** Whether there is nothing to wait for before the peer has said how many it takes. */
  get trusting(): boolean {
    return this.#trusted >= this.#max;
  }

  /** Waits no longer for SETTINGS. */
  trust(): void {
    this.#trusted = this.#max;
  }

  /**
   * What is asked of a peer that takes so many.
   * @param allowed by its SETTINGS; undefined: they have not come
   */
  limit(allowed: number | undefined): number {
    return Math.min(allowed ?? this.#trusted, this.#max);
  }

  /** Whether another may be opened. */
  has(open: number, allowed: number | undefined): boolean {
    return open + this.#reserved < this.limit(allowed);
  }

  /** Keeps a place for one that is opened next. */
  reserve(): void {
    this.#reserved++;
  }

  /** One is opened. */
  opened(): void {
    if (this.#reserved > 0) this.#reserved--;
  }

  /**
   * A peer that refuses a stream has as many as it wants, whatever its settings say.
   * @param open that one included
   */
  refused(open: number): void {
    this.#max = Math.max(1, Math.min(this.#max, open - 1));
  }
}
