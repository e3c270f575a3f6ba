import type { ReadTurn } from '../io/event-loop-turn.ts';
import { RAPID_MS } from './flood-protection.ts';

/**
 * Server: how old streams are, to tell those that are opened only to be reset. Where this process is late, a
 * request and the reset of its deadline are read in one go, whatever lay between them; that is not the
 * client's doing. So a stream is as much older as its bytes may have waited. In one turn of the event loop,
 * and within `RAPID_MS`, no more streams than may be open at once are: as many could be opened, waited for
 * and reset by then, so that nobody gains by making us late. Those that begin beyond it count against the
 * next ones: they may be left open until then, and would come on top.
 */
export class StreamAges {
  readonly #now: () => number;
  readonly #turn: ReadTurn;
  readonly #maxStreams: number;
  /** The clock has been looked at since bytes were read last. */
  #looked = false;
  #readAt = 0;
  /** The turn in which they were read, and how late we were when we came to the first of them. */
  #began = Number.NaN;
  #lagMs = 0;
  /**
   * How many more streams may be older than they look, and as of which turn; below 0, how many too many have
   * begun.
   */
  #left = 0;
  #leftSince = Number.NEGATIVE_INFINITY;

  /**
   * @param now monotonic milliseconds
   * @param maxStreams that may be open at once
   */
  constructor(now: () => number, turn: ReadTurn, maxStreams: number) {
    this.#now = now;
    this.#turn = turn;
    this.#maxStreams = maxStreams;
  }

  /** Bytes have been read: the next streams and resets are of them. */
  read(): void {
    this.#looked = false;
    this.#turn.read();
  }

  /** A stream begins. @returns when it may have begun (monotonic milliseconds) */
  born(): number {
    this.#look();
    const older = this.#left > 0;
    if (this.#left > -this.#maxStreams) this.#left--;
    return older ? this.#readAt - this.#lagMs : this.#readAt;
  }

  /** Whether a stream that is reset now, and began then, was opened in order to be reset. */
  isRapid(bornAt: number): boolean {
    this.#look();
    return this.#readAt - bornAt < RAPID_MS;
  }

  /** Once for all that was read together, and only when it matters. */
  #look(): void {
    if (this.#looked) return;
    this.#looked = true;
    this.#readAt = this.#now();
    const { began } = this.#turn;
    // What comes behind it in the same turn has waited for what the client itself has sent.
    if (began === this.#began) return;
    this.#began = began;
    this.#lagMs = this.#turn.lagMs();
    const periods = Math.floor((began - this.#leftSince) / RAPID_MS);
    if (periods === 0) return;
    this.#left = Math.min(this.#maxStreams, this.#left + periods * this.#maxStreams);
    this.#leftSince = began;
  }
}
