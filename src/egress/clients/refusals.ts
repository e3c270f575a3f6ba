import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../telemetry/log.ts';
import { OTHER } from '../../proxy/metrics/connection-counters.ts';
import type { RelayRefusal } from './relay-rule.ts';

/** Most pairs of mirror and reason that have a counter of their own. */
const MAX_COUNTS = 10_000;
const SEPARATOR = '\t';

/** One refused request or raw connection. */
export interface RefusedRequest {
  /** Label of its route. */
  readonly mirror: string;
  readonly refusal: RelayRefusal;
  /** Address of the client. */
  readonly address: string;
  /** The refusal in one line, for the log. */
  readonly text: string;
}

/**
 * Counts refused requests and connections of clients of this cluster, by mirror and reason, and logs at most
 * one of them a second.
 */
export class RefusedClients {
  readonly #counts = new Map<string, number>();
  readonly #clock: Clock;
  readonly #log: Logger;
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Logger }) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Counts one, and logs it where none was logged within a second. */
  add({ mirror, refusal, address, text }: RefusedRequest): void {
    const key = `${mirror}${SEPARATOR}${refusal}`;
    const full = this.#counts.size >= MAX_COUNTS && !this.#counts.has(key);
    const bounded = full ? `${OTHER}${SEPARATOR}${refusal}` : key;
    this.#counts.set(bounded, (this.#counts.get(bounded) ?? 0) + 1);
    const now = this.#clock.monotonic();
    if (now - this.#saidAt < 1000) return;
    this.#saidAt = now;
    this.#log.info({ mirror, client: address, reason: refusal, detail: text }, 'client refused');
  }

  /** All counts so far. */
  *entries(): Iterable<{ readonly mirror: string; readonly reason: string; readonly count: number }> {
    for (const [key, count] of this.#counts) {
      const [mirror = '', reason = ''] = key.split(SEPARATOR);
      yield { mirror, reason, count };
    }
  }
}
