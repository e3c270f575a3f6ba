/** Most bytes of a request's body that are kept for a retry (Linkerd's `max_request_bytes`). */
export const MAX_REPLAY = 64 * 1024;
/**
 * Most bytes that are kept of the body of a request that is sent again only where its endpoint has not looked
 * at it: most bodies are small, and a copy of each costs.
 */
export const MAX_UNSEEN = 16 * 1024;
/** Most bytes that are kept of the bodies of all requests of this process together. */
export const MAX_REPLAYS = 32 * 1024 * 1024;

/** Room for bodies that may have to be sent again. One per process. */
export class ReplayRoom {
  readonly #max: number;
  #taken = 0;

  constructor(max = MAX_REPLAYS) {
    this.#max = max;
  }

  /** Bytes. */
  get taken(): number {
    return this.#taken;
  }

  /** Takes room. @returns false: there is not so much */
  take(bytes: number): boolean {
    if (this.#taken + bytes > this.#max) return false;
    this.#taken += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#taken -= bytes;
  }
}

/** The room of this process. */
export const PROCESS_ROOM = new ReplayRoom();

/** Room for what follows the first part of a body is taken in pieces no smaller than this. */
const MIN_PIECE = 256;

/**
 * The body of one request so far, as long as it can be sent again. In a few pieces, however small the parts
 * are that it came in: a piece of memory costs 150 bytes beside what is in it, and whoever sends a body byte
 * by byte must not make us hold that for each.
 */
export class ReplayBody {
  readonly #room: ReplayRoom;
  readonly #max: number;
  #pieces: Buffer[] | undefined;
  /** Bytes that are free in the last piece. */
  #free = 0;
  #length = 0;
  #taken = 0;

  constructor(room: ReplayRoom, max = MAX_REPLAY) {
    this.#room = room;
    this.#max = max;
    this.#pieces = [];
  }

  /** Whether what was kept has not been dropped. */
  get whole(): boolean {
    return this.#pieces !== undefined;
  }

  /** What was kept, in the pieces that it is kept in. */
  get chunks(): readonly Buffer[] {
    const last = this.#pieces?.at(-1);
    if (this.#pieces === undefined || last === undefined) return [];
    return [...this.#pieces.slice(0, -1), last.subarray(0, last.length - this.#free)];
  }

  /**
   * Keeps a copy: what is read from a connection is part of a larger piece of memory.
   * @returns false when the body cannot be sent again any more; what was kept is still in `chunks` until
   * `drop`
   */
  keep(chunk: Buffer): boolean {
    const pieces = this.#pieces;
    const { length } = chunk;
    if (pieces === undefined || this.#length + length > this.#max) return false;
    if (length > this.#free && !this.#extend(pieces, length)) return false;
    const piece = pieces.at(-1);
    piece?.set(chunk, piece.length - this.#free);
    this.#free -= length;
    this.#length += length;
    return true;
  }

  /**
   * Most bodies come in one part; where there are more, each piece is as long as all before it.
   * @returns whether there is room
   */
  #extend(pieces: Buffer[], needed: number): boolean {
    const last = pieces.at(-1);
    const wanted = Math.min(Math.max(this.#length, MIN_PIECE), this.#max - this.#length);
    let bytes = last === undefined ? needed : Math.max(needed, wanted);
    if (!this.#room.take(bytes)) {
      bytes = needed;
      if (!this.#room.take(bytes)) return false;
    }
    // What is left free is given up.
    if (last !== undefined) pieces.splice(-1, 1, last.subarray(0, last.length - this.#free));
    pieces.push(Buffer.allocUnsafe(bytes));
    this.#taken += bytes;
    this.#free = bytes;
    return true;
  }

  /** Gives its room back. */
  drop(): void {
    if (this.#pieces === undefined) return;
    this.#pieces = undefined;
    this.#room.giveBack(this.#taken);
    this.#taken = 0;
  }
}

/**
 * What has been passed on of a request's body, until its endpoint begins to answer: an endpoint may refuse
 * unseen what it has read (REFUSED_STREAM, GOAWAY; RFC 9113 section 8.7), and each call of gRPC has a body.
 */
export class PassedBody {
  #body: ReplayBody | undefined;
  #over: boolean;

  /** @param possible whether the endpoint may refuse it; if not, nothing is kept */
  constructor(possible: boolean) {
    this.#over = !possible;
  }

  /** All of it can be sent once more. */
  get whole(): boolean {
    return !this.#over;
  }

  /** What was kept. */
  get chunks(): readonly Buffer[] {
    return this.#body?.chunks ?? [];
  }

  /** @returns whether the chunk can be sent again; if not, nothing can */
  keep(chunk: Buffer): boolean {
    if (this.#over) return false;
    this.#body ??= new ReplayBody(PROCESS_ROOM, MAX_UNSEEN);
    if (this.#body.keep(chunk)) return true;
    this.drop();
    return false;
  }

  /** It is not needed any more: there is an answer, or nobody to send it for. */
  drop(): void {
    this.#over = true;
    this.#body?.drop();
    this.#body = undefined;
  }
}
