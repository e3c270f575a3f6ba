/** Bytes of a request's body that are kept to be sent again (Linkerd's `max_request_bytes`). */
export const MAX_REPLAY = 64 * 1024;
/** The same of all requests of this process together. */
export const MAX_REPLAYS = 32 * 1024 * 1024;

/** Room for bodies that may have to be sent again. One per process. */
export class ReplayRoom {
  readonly #max: number;
  #taken = 0;

  constructor(max = MAX_REPLAYS) {
    this.#max = max;
  }

  get taken(): number {
    return this.#taken;
  }

  take(bytes: number): boolean {
    if (this.#taken + bytes > this.#max) return false;
    this.#taken += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#taken -= bytes;
  }
}

/** The body of one request so far, as long as it can be sent again. */
export class ReplayBody {
  readonly #room: ReplayRoom;
  #chunks: Buffer[] | undefined;
  #length = 0;

  constructor(room: ReplayRoom) {
    this.#room = room;
    this.#chunks = [];
  }

  /** All of what came so far is here. */
  get whole(): boolean {
    return this.#chunks !== undefined;
  }

  get chunks(): readonly Buffer[] {
    return this.#chunks ?? [];
  }

  /** Keeps a copy: what is read from a connection is part of a larger piece of memory. @returns false when the body cannot be sent again any more; what was kept is still in `chunks` until `drop` */
  keep(chunk: Buffer): boolean {
    if (this.#chunks === undefined) return false;
    if (this.#length + chunk.length > MAX_REPLAY || !this.#room.take(chunk.length)) return false;
    this.#length += chunk.length;
    this.#chunks.push(Buffer.from(chunk));
    return true;
  }

  drop(): void {
    if (this.#chunks === undefined) return;
    this.#chunks = undefined;
    this.#room.giveBack(this.#length);
    this.#length = 0;
  }
}
