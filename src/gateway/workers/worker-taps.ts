import type { TapFilter, TapFlow } from '../../api/answers/tap-events.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { type TapLoss, TapLosses } from '../../tap/tap-losses.ts';
import type { TapOpener } from '../../tap/tap-page.ts';

/** What a worker tells its parent of one who looks. */
export interface TappedEvents {
  readonly event: 'tapped';
  /** Number of the tap, which the parent has given. */
  readonly tap: number;
  readonly events: readonly TapFlow[];
  /** Left out because there were more than the rate. */
  readonly lost: readonly TapLoss[];
}

/** How long events are gathered, milliseconds: a message of its own for each would cost more than it. */
const GATHER_MS = 50;

/** The taps of a worker: filters come from the parent, and events go there. */
export class WorkerTaps {
  readonly #view: TapOpener;
  readonly #tell: (told: TappedEvents) => void;
  readonly #clock: Clock;
  readonly #ends = new Map<number, () => void>();

  constructor(view: TapOpener, tell: (told: TappedEvents) => void, clock = systemClock) {
    this.#view = view;
    this.#tell = tell;
    this.#clock = clock;
  }

  /** Does nothing when it has begun already: a parent tells a new worker twice. */
  begin(tap: number, filter: TapFilter): void {
    if (this.#ends.has(tap)) return;
    let events: TapFlow[] = [];
    const lost = new TapLosses();
    let waits = false;
    const flush = () => {
      waits = false;
      if (!this.#ends.has(tap)) return;
      this.#tell({ event: 'tapped', tap, events, lost: lost.take() });
      events = [];
    };
    const later = () => {
      if (!waits) this.#clock.after(GATHER_MS, flush, { unref: true });
      waits = true;
    };
    const end = this.#view.tap(filter, {
      event: (event) => {
        events.push(event);
        later();
      },
      lost: (target, count) => {
        lost.add(target, count);
        later();
      },
    });
    this.#ends.set(tap, end);
  }

  end(tap: number): void {
    this.#ends.get(tap)?.();
    this.#ends.delete(tap);
  }
}
