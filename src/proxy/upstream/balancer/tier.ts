import type { Random } from '../../../base/backoff.ts';
import type { Clock } from '../../../base/clock.ts';
import type { EndpointState } from './endpoint.ts';

/**
 * Endpoints that are as good as each other, sorted by what their breakers say, so that picking one looks at
 * two and not at all. Moving one costs a search, and happens only when it is ejected or opened.
 */
export class Tier {
  readonly #open: EndpointState[] = [];
  /** Those that wait, the one due first in front. */
  readonly #ejected: EndpointState[] = [];

  /** Puts an endpoint where its breaker says; one that is being probed is in neither list. */
  add(endpoint: EndpointState): void {
    if (endpoint.open) this.#open.push(endpoint);
    else if (!endpoint.probing) this.#ejected.splice(this.#placeOf(endpoint.ejectedUntil), 0, endpoint);
  }

  /** Takes note that an endpoint's breaker has changed. */
  move(endpoint: EndpointState): void {
    const at = this.#open.indexOf(endpoint);
    if (at >= 0) {
      const last = this.#open.pop();
      if (last !== undefined && last !== endpoint) this.#open[at] = last;
    } else {
      const waits = this.#ejected.indexOf(endpoint);
      if (waits >= 0) this.#ejected.splice(waits, 1);
    }
    this.add(endpoint);
  }

  /**
   * An endpoint to use: one whose time has come is proven at once, because waiting for chance would keep it
   * out for long; else of two that are open, drawn at random, the one with less load.
   */
  pick(tried: ReadonlySet<EndpointState>, clock: Clock, random: Random): EndpointState | undefined {
    // Most services have nothing to choose, and need no clock.
    if (this.#ejected.length === 0 && this.#open.length <= 1 && tried.size === 0) return this.#open[0];
    const now = clock.monotonic();
    const due = this.first(tried);
    if (due !== undefined && due.ejectedUntil <= now) return due;
    const count = this.#open.length;
    if (count === 0) return undefined;
    const at = Math.floor(random() * count);
    const step = count === 1 ? 0 : 1 + Math.floor(random() * (count - 1));
    const a = this.#open[at];
    const b = this.#open[(at + step) % count];
    if (tried.size > 0) return this.#untried(at, tried, now);
    return b !== undefined && a !== undefined && b.load(now) < a.load(now) ? b : a;
  }

  /** Of those that wait, the one due first. */
  first(tried: ReadonlySet<EndpointState>): EndpointState | undefined {
    if (tried.size === 0) return this.#ejected[0];
    return this.#ejected.find((endpoint) => !tried.has(endpoint));
  }

  /**
   * The same, for a request that some endpoints have refused already: the first two beyond a random place
   * that it has not tried.
   */
  #untried(from: number, tried: ReadonlySet<EndpointState>, now: number): EndpointState | undefined {
    let first: EndpointState | undefined;
    for (let step = 0; step < this.#open.length; step++) {
      const endpoint = this.#open[(from + step) % this.#open.length];
      if (endpoint === undefined || tried.has(endpoint)) continue;
      if (first !== undefined) return endpoint.load(now) < first.load(now) ? endpoint : first;
      first = endpoint;
    }
    return first;
  }

  #placeOf(ejectedUntil: number): number {
    let low = 0;
    let high = this.#ejected.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ejected[middle]?.ejectedUntil ?? Infinity) <= ejectedUntil) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
