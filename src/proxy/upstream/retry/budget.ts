import type { Clock } from '../../../base/clock.ts';
import type { BudgetRules } from '../../../policy/retries/retry-rules.ts';

/** Parts into which the sliding time is divided; one is forgotten at a time. */
const SLOTS = 10;

/**
 * How many retries a target may get, counted over a sliding time: a share of the requests that came, and a
 * few each second on top so that a target with little traffic has some too (tower `TpsBudget`, which
 * Linkerd's ServiceProfiles use). Unlike there every request counts, not only one that went well: the share
 * is of requests, as Linkerd documents it.
 */
export class RetryBudget {
  readonly rules: BudgetRules;
  readonly #clock: Clock;
  readonly #slotMs: number;
  /** Retries that are there without any request. */
  readonly #reserve: number;
  /** Deposits less withdrawals, by slot. */
  readonly #slots = new Float64Array(SLOTS);
  #slot = 0;
  /** When the present slot began (monotonic milliseconds). */
  #since: number;

  constructor(rules: BudgetRules, clock: Clock) {
    this.rules = rules;
    this.#clock = clock;
    this.#slotMs = rules.ttlMs / SLOTS;
    this.#reserve = (rules.minPerSecond * rules.ttlMs) / 1000;
    this.#since = clock.monotonic();
  }

  /** A request has come. */
  deposit(): void {
    this.#move();
    this.#slots[this.#slot] = (this.#slots[this.#slot] ?? 0) + this.rules.ratio;
  }

  /** Takes one retry. @returns false when there is none left */
  withdraw(): boolean {
    this.#move();
    // Sums of fractions are inexact: what should be 1 may be a little less.
    if (this.balance < 1 - 1e-9) return false;
    this.#slots[this.#slot] = (this.#slots[this.#slot] ?? 0) - 1;
    return true;
  }

  /** Retries that are left. */
  get balance(): number {
    this.#move();
    return this.#slots.reduce((sum, slot) => sum + slot, this.#reserve);
  }

  /** Forgets the slots that no longer count. */
  #move(): void {
    const passed = Math.floor((this.#clock.monotonic() - this.#since) / this.#slotMs);
    if (passed <= 0) return;
    for (let count = Math.min(passed, SLOTS); count > 0; count--) {
      this.#slot = (this.#slot + 1) % SLOTS;
      this.#slots[this.#slot] = 0;
    }
    this.#since += passed * this.#slotMs;
  }
}
