import type { Random } from '../../../base/backoff.ts';
import type { Clock } from '../../../base/clock.ts';
import type { EndpointState, EndpointTier } from './endpoint.ts';

/**
 * Lists are replaced, never changed: as a rule all endpoints are open, and the balancer's own list serves.
 */
const NONE: readonly EndpointState[] = [];

/**
 * Endpoints among which only load decides (those of the client's zone, or all others), kept apart by the
 * state of their breakers, so that a pick looks at two of them and not at all. A change of a breaker costs a
 * copy of a list.
 */
export class Tier implements EndpointTier {
  /** Endpoints that may be used. */
  #open: readonly EndpointState[];
  /** Endpoints that their breakers have ejected; the one whose ejection ends first comes first. */
  #ejected = NONE;

  constructor(endpoints: readonly EndpointState[]) {
    this.#open = endpoints.every(({ open }) => open) ? endpoints : NONE;
    if (this.#open.length === 0) for (const endpoint of endpoints) this.#add(endpoint);
  }

  /** Adds an endpoint to the list of its breaker's state; one that is being probed is in neither list. */
  #add(endpoint: EndpointState): void {
    if (endpoint.open) this.#open = this.#open.concat(endpoint);
    else if (!endpoint.probing)
      this.#ejected = this.#ejected.toSpliced(this.#placeOf(endpoint.ejectedUntil), 0, endpoint);
  }

  /** The state of an endpoint's breaker has changed. */
  move(endpoint: EndpointState): void {
    const at = this.#open.indexOf(endpoint);
    const waits = at >= 0 ? -1 : this.#ejected.indexOf(endpoint);
    if (at >= 0) this.#open = this.#open.toSpliced(at, 1);
    else if (waits >= 0) this.#ejected = this.#ejected.toSpliced(waits, 1);
    this.#add(endpoint);
  }

  /**
   * An endpoint to use. One whose ejection is over comes first: the request is its probe, which would be long
   * in coming if it were left to chance. Else the one with less load of two that are drawn at random.
   * @param tried endpoints that are not to be picked
   * @returns undefined: there is none now; `first` may have one
   */
  pick(tried: ReadonlySet<EndpointState>, clock: Clock, random: Random): EndpointState | undefined {
    // Most services leave no choice, and need no clock.
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

  /** Whether an endpoint may be used. */
  get hasOpen(): boolean {
    return this.#open.length > 0;
  }

  /** Of the ejected endpoints the one whose ejection ends first, be it over or not. */
  first(tried: ReadonlySet<EndpointState>): EndpointState | undefined {
    if (tried.size === 0) return this.#ejected[0];
    return this.#ejected.find((endpoint) => !tried.has(endpoint));
  }

  /**
   * As `pick` among open endpoints where some have been tried: of the next two behind a random place the one
   * with less load.
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

  /** The index in `#ejected` at which an endpoint is inserted. */
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
