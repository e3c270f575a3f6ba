import { backoffDelay, type Random } from '../../base/backoff.ts';
import { reportContained } from '../../base/isolation.ts';
import type { Clock, Timer } from '../../base/clock.ts';

/** Changes that come within so long after the first one are worked out with it: milliseconds. */
const BATCH_MS = 100;
/** At least so long after a status was worked out, it is not again: milliseconds. */
const PERIOD_MS = 1000;
/** Between tries to write what could not be written. */
const BACKOFF = { minMs: PERIOD_MS, maxMs: 30_000 };
/** Wall clocks are set: a moment that is further away is looked for again this often. */
const LONGEST_WAIT_MS = 3_600_000;

/** What came of working a status out. */
export interface StatusTurn {
  /** It could not be written, or not even worked out. */
  readonly failed: boolean;
  /** It may be written, or will be another, after so many milliseconds although nothing happens. */
  readonly againMs?: number | undefined;
  /** It will be another at this moment although nothing happens: milliseconds since the epoch. */
  readonly changesAt?: number | undefined;
}

export interface StatusScheduleOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Works the status out and writes it where it is new. One that throws counts as failed. */
  readonly work: () => Promise<StatusTurn>;
}

/**
 * When the status of one Link is worked out: soon after something that it shows has changed, what changes
 * within a second of the last time together; at the moment at which time alone changes it; again with
 * back-off while it cannot be written; and never without a reason.
 */
export class StatusSchedule {
  readonly #options: StatusScheduleOptions;
  #timer: Timer | undefined;
  #marked = false;
  #working = false;
  #stopped = false;
  #failures = 0;
  /** By the monotonic clock: not before this, and at this in any case. */
  #earliest = Number.NEGATIVE_INFINITY;
  #due = Number.POSITIVE_INFINITY;
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

  /** Nothing is worked out any more, unless `resume` is called; what is under way ends by itself. */
  stop(): void {
    this.#stopped = true;
    this.#due = Number.POSITIVE_INFINITY;
    this.#timer?.cancel();
  }

  /** Goes on after `stop`; everything may have changed. */
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
