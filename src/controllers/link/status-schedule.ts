import { backoffDelay, type Random } from '../../base/backoff.ts';
import { reportContained } from '../../base/isolation.ts';
import type { Clock, Timer } from '../../base/clock.ts';

/** Time from the first change until the status is worked out, so that others are gathered: milliseconds. */
const BATCH_MS = 100;
/** Least time between two times that it is worked out: milliseconds. */
const PERIOD_MS = 1000;
/** Waits between attempts to write a status. */
const BACKOFF = { minMs: PERIOD_MS, maxMs: 30_000 };
/** Longest timer for `changesAt`: the wall clock may be set meanwhile. */
const LONGEST_WAIT_MS = 3_600_000;

/** What came of working out a status. */
export interface StatusTurn {
  /** Whether it could not be worked out or written. */
  readonly failed: boolean;
  /** Milliseconds after which it is to be worked out again although nothing happens. */
  readonly againMs?: number | undefined;
  /** When time alone changes it, milliseconds since the epoch. */
  readonly changesAt?: number | undefined;
}

/** What is done when a status is due. */
export interface StatusScheduleOptions {
  readonly clock: Clock;
  readonly random: Random;
  /**
   * Works out the status and writes it where it has changed. Where it throws, that is reported and counts as
   * failed.
   */
  readonly work: () => Promise<StatusTurn>;
}

/**
 * When the status of one Link is worked out: soon after something that it shows has changed, but at most once
 * a second; at the moment at which time alone changes it; again with back-off while it cannot be written; and
 * never without a reason.
 */
export class StatusSchedule {
  readonly #options: StatusScheduleOptions;
  #timer: Timer | undefined;
  #marked = false;
  #working = false;
  #stopped = false;
  #failures = 0;
  /** Not before this (monotonic milliseconds). */
  #earliest = Number.NEGATIVE_INFINITY;
  /** When it is due because of a change or a failure (monotonic milliseconds). */
  #due = Number.POSITIVE_INFINITY;
  /** When it is due because time alone changes it (milliseconds since the epoch). */
  #changesAt = Number.POSITIVE_INFINITY;

  constructor(options: StatusScheduleOptions) {
    this.#options = options;
  }

  /** Something that the status shows has changed. */
  mark(): void {
    if (this.#marked || this.#stopped) return;
    this.#marked = true;
    this.#due = Math.min(this.#due, this.#options.clock.monotonic() + BATCH_MS);
    this.#arm();
  }

  /** Nothing is worked out until `resume`; what is under way ends by itself. */
  stop(): void {
    this.#stopped = true;
    this.#due = Number.POSITIVE_INFINITY;
    this.#timer?.cancel();
  }

  /** Goes on after `stop`, and works the status out, since everything may have changed. */
  resume(): void {
    this.#stopped = false;
    this.#marked = false;
    this.mark();
  }

  #arm(): void {
    if (this.#working || this.#stopped) return;
    const { clock } = this.#options;
    this.#timer?.cancel();
    const inTime = this.#due - clock.monotonic();
    const soonest = this.#earliest - clock.monotonic();
    const wait = Math.max(soonest, Math.min(inTime, this.#changesAt - clock.now(), LONGEST_WAIT_MS));
    this.#timer =
      inTime === Number.POSITIVE_INFINITY && this.#changesAt === Number.POSITIVE_INFINITY
        ? undefined
        : clock.after(wait, () => this.#look(), { unref: true });
  }

  #look(): void {
    const { clock } = this.#options;
    const now = clock.monotonic();
    if (now >= this.#earliest && (now >= this.#due || clock.now() >= this.#changesAt)) void this.#turn();
    else this.#arm();
  }

  async #turn(): Promise<void> {
    const { clock, random, work } = this.#options;
    this.#working = true;
    this.#marked = false;
    this.#due = Number.POSITIVE_INFINITY;
    this.#changesAt = Number.POSITIVE_INFINITY;
    this.#earliest = clock.monotonic() + PERIOD_MS;
    const { failed, againMs, changesAt } = await work().catch((error: unknown) => {
      reportContained(error, 'status of a Link');
      return { failed: true } as StatusTurn;
    });
    this.#working = false;
    const now = clock.monotonic();
    if (failed) {
      this.#earliest = Math.max(this.#earliest, now + backoffDelay(this.#failures++, BACKOFF, random));
      this.#due = this.#earliest;
    } else {
      this.#failures = 0;
      if (againMs !== undefined) this.#due = Math.min(this.#due, now + againMs);
      this.#changesAt = changesAt ?? Number.POSITIVE_INFINITY;
    }
    this.#arm();
  }
}
