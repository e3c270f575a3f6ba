import type { Clock, Timer } from '../base/clock.ts';
import { forEachIsolated } from '../base/isolation.ts';

export interface DueServicesOptions {
  readonly clock: Clock;
  /** Looks at one Service (`namespace/name`) anew. */
  readonly look: (key: string) => void;
}

/** How long Services are looked at in one turn of the event loop, milliseconds: requests wait meanwhile. */
const TURN_MS = 5;
/** A Service is left alone for so many times as long as the last look at it took. */
const REST = 9;
const MAX_REST_MS = 10_000;

/**
 * Services whose routes have changed, to be looked at: once for all changes of one turn of the event loop,
 * some in each turn, and none for more than a tenth of the time. So what one tenant writes, however much and
 * however often, does not keep requests of others waiting.
 */
export class DueServices {
  readonly #options: DueServicesOptions;
  readonly #due = new Set<string>();
  /** Those that were looked at lately, until they may be again. */
  readonly #resting = new Map<string, { readonly timer: Timer; again: boolean }>();
  /** What was due when `settles` was asked first, and has not been looked at since. */
  #left: Set<string> | undefined;
  #working = false;
  /** How long Services were looked at in this turn of the event loop, milliseconds. */
  #spentMs = 0;
  #turn: Timer | undefined;
  #stopped = false;

  constructor(options: DueServicesOptions) {
    this.#options = options;
  }

  add(key: string): void {
    const resting = this.#resting.get(key);
    if (resting !== undefined) {
      resting.again = true;
      return;
    }
    this.#due.add(key);
    if (this.#working || this.#stopped) return;
    this.#working = true;
    // Many changes of one turn of the event loop may come one by one.
    if (this.#spentMs >= TURN_MS) this.#nextTurn();
    else queueMicrotask(() => this.#work());
  }

  /**
   * Whether all that was due when this was asked first has been looked at. What changes later does not count:
   * whoever changes a Service without end keeps nobody waiting for ever.
   */
  settles(): boolean {
    if (this.#left === undefined) {
      const again = [...this.#resting].filter(([, one]) => one.again).map(([key]) => key);
      this.#left = new Set([...this.#due, ...again]);
    }
    return this.#left.size === 0;
  }

  /** What is due is not looked at any more. */
  stop(): void {
    this.#stopped = true;
    this.#due.clear();
    this.#turn?.cancel();
    for (const { timer } of this.#resting.values()) timer.cancel();
    this.#resting.clear();
  }

  #work(): void {
    const { clock } = this.#options;
    const begun = clock.monotonic() - this.#spentMs;
    for (const key of this.#due) {
      this.#due.delete(key);
      this.#look(key);
      if (clock.monotonic() - begun >= TURN_MS) break;
    }
    this.#spentMs = clock.monotonic() - begun;
    this.#working = this.#due.size > 0;
    if (this.#working || this.#spentMs > 0) this.#nextTurn();
  }

  /** Goes on with what is left in the next turn of the event loop, which has its own time. */
  #nextTurn(): void {
    this.#turn ??= this.#options.clock.after(
      0,
      () => {
        this.#turn = undefined;
        this.#spentMs = 0;
        if (this.#working) this.#work();
      },
      { unref: true },
    );
  }

  #look(key: string): void {
    const { clock, look } = this.#options;
    const begun = clock.monotonic();
    this.#left?.delete(key);
    forEachIsolated('routes of Services', [key], look);
    const rest = Math.min(MAX_REST_MS, (clock.monotonic() - begun) * REST);
    if (rest < 1) return;
    const rested = () => {
      const again = this.#resting.get(key)?.again;
      this.#resting.delete(key);
      if (again === true) this.add(key);
    };
    this.#resting.set(key, { timer: clock.after(rest, rested, { unref: true }), again: false });
  }
}
