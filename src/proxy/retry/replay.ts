/** Bytes of a request's body that are kept to be sent again (Linkerd's `max_request_bytes`). */
export const MAX_REPLAY = 64 * 1024;
/** The same of a request that is sent again only where its endpoint has not looked at it: most bodies are small, and a copy of each costs. */
export const MAX_UNSEEN = 16 * 1024;
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

/** The room of this process. */
export const PROCESS_ROOM = new ReplayRoom();

/** The body of one request so far, as long as it can be sent again. */
export class ReplayBody {
  readonly #room: ReplayRoom;
  readonly #max: number;
  #chunks: Buffer[] | undefined;
  #length = 0;

  constructor(room: ReplayRoom, max = MAX_REPLAY) {
    this.#room = room;
    this.#max = max;
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
    if (this.#length + chunk.length > this.#max || !this.#room.take(chunk.length)) return false;
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

/** What has been passed on of a request's body, until its endpoint begins to answer: an endpoint may refuse unseen what it has read (REFUSED_STREAM, GOAWAY; RFC 9113 section 8.7), and each call of gRPC has a body. */
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
