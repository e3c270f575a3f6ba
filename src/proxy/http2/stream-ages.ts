import type { ReadTurn } from '../io/event-loop-turn.ts';
import { RAPID_MS } from './flood-protection.ts';

/**
 * Server: how old streams are, so that those can be told that are opened only to be reset.
 *
 * Where this process is late, it reads a request and the reset by its deadline in one go, however much time
 * lay between them, for which the client is not to blame. So a stream counts as older by the time that its
 * bytes may have waited for us (the allowance). To gain nothing by making us late, a client gets the
 * allowance for no more streams than may be open at once, in each turn of the event loop and in each
 * `RAPID_MS`: as many could be opened, waited for and reset in that time anyway. Streams that begin beyond
 * that are charged to the following turns, because a client may leave them open until then and reset them
 * together with those.
 */
export class StreamAges {
  readonly #now: () => number;
  readonly #turn: ReadTurn;
  readonly #maxStreams: number;
  /** Whether the clock has been read since bytes came last, and when that was (monotonic milliseconds). */
  #looked = false;
  #readAt = 0;
  /** The beginning of the turn in which they were read, and the lag at the first of them in it. */
  #began = Number.NaN;
  #lagMs = 0;
  /** For how many more streams there is an allowance, and since which turn; below 0: how many are charged. */
  #left = 0;
  #leftSince = Number.NEGATIVE_INFINITY;

  /**
   * @param now reads a clock, monotonic milliseconds
   * @param maxStreams that a client may have open at once
   */
  constructor(now: () => number, turn: ReadTurn, maxStreams: number) {
    this.#now = now;
    this.#turn = turn;
    this.#maxStreams = maxStreams;
  }

  /** Bytes have been read; the streams and resets that follow are in them. */
  read(): void {
    this.#looked = false;
    this.#turn.read();
  }

  /** A stream begins. @returns when it did, less its allowance (monotonic milliseconds) */
  born(): number {
    this.#look();
    const older = this.#left > 0;
    if (this.#left > -this.#maxStreams) this.#left--;
    return older ? this.#readAt - this.#lagMs : this.#readAt;
  }

  /**
   * Whether a stream that is reset now was opened in order to be reset.
   * @param bornAt what `born` returned
   */
  isRapid(bornAt: number): boolean {
    this.#look();
    return this.#readAt - bornAt < RAPID_MS;
  }

  /** Reads clock and lag once for all that was read together, and only where it matters. */
  #look(): void {
    if (this.#looked) return;
    this.#looked = true;
    this.#readAt = this.#now();
    const { began } = this.#turn;
    // The lag is taken once a turn: what is read later in it has waited for what was read before, which may
    // be the client's own.
    if (began === this.#began) return;
    this.#began = began;
    this.#lagMs = this.#turn.lagMs();
    const periods = Math.floor((began - this.#leftSince) / RAPID_MS);
    if (periods === 0) return;
    this.#left = Math.min(this.#maxStreams, this.#left + periods * this.#maxStreams);
    this.#leftSince = began;
  }
}
