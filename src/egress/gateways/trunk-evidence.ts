import type { EvidenceState, TrunkReport } from '../../api/answers/trunk-report.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';

/** So many failed connections in a row, over at least this time, make an address dead. */
const DEAD_AFTER = 3;
const DEAD_MS = 2000;
/** How soon an address that could not be reached is tried again, milliseconds: 0.7 times a second at most. */
const PROVE_MIN_MS = 1500;
const PROVE_MAX_MS = 2500;

/** How an address is proven. */
export interface TrunkEvidenceOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Opens a connection as for flows. */
  readonly prove: () => Promise<void>;
}

/**
 * What one egress pod has found out about one gateway address by what it does anyway: connections for flows,
 * their keep-alive, and how they end. While the last attempt has failed it makes one more now and then, so
 * that an address nobody sends anything to any more is known to be back.
 */
export class TrunkEvidence {
  readonly #options: TrunkEvidenceOptions;
  #state: EvidenceState = 'unknown';
  #since: number;
  #attempts = 0;
  /** Failures since the last success, and when the first of them was. */
  #failures = 0;
  #failingSince = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: TrunkEvidenceOptions) {
    this.#options = options;
    this.#since = options.clock.monotonic();
  }

  /** A connection was opened, and its other end has proven its identity. */
  succeeded(): void {
    this.#attempts++;
    this.#failures = 0;
    this.#stopProving();
    this.#set('alive');
  }

  /** None could be opened, for a reason that is not ours. */
  failed(): void {
    const now = this.#options.clock.monotonic();
    this.#attempts++;
    if (this.#failures++ === 0) this.#failingSince = now;
    this.#set(this.#failures >= DEAD_AFTER && now - this.#failingSince >= DEAD_MS ? 'dead' : 'suspect');
    this.#proveLater();
  }

  /** The last connection was lost: its other end was silent, or has ended it without a word. */
  lost(): void {
    if (this.#state === 'alive') this.#set('suspect');
    this.#proveLater();
  }

  close(): void {
    this.#closed = true;
    this.#stopProving();
  }

  /**
   * For how long it has been alive without a break, milliseconds; undefined: it is not.
   * @param doubtful whether an answer to a PING is late
   */
  aliveMs(doubtful: boolean): number | undefined {
    return this.#state === 'alive' && !doubtful ? this.#options.clock.monotonic() - this.#since : undefined;
  }

  /** @param doubtful whether an answer to a PING is late */
  report(doubtful: boolean): Pick<TrunkReport, 'state' | 'sinceMs' | 'attempts'> {
    const state = this.#state === 'alive' && doubtful ? 'suspect' : this.#state;
    const sinceMs = Math.round(this.#options.clock.monotonic() - this.#since);
    return { state, sinceMs, attempts: this.#attempts };
  }

  #set(state: EvidenceState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#since = this.#options.clock.monotonic();
  }

  #proveLater(): void {
    if (this.#closed || this.#timer !== undefined) return;
    const { clock, random, prove } = this.#options;
    const wait = PROVE_MIN_MS + (PROVE_MAX_MS - PROVE_MIN_MS) * random();
    this.#timer = clock.after(
      wait,
      () => {
        this.#timer = undefined;
        // What comes of it is heard by `succeeded` and `failed`; without an identity of ours by neither.
        prove().catch(() => this.#proveLater());
      },
      { unref: true },
    );
  }

  #stopProving(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
