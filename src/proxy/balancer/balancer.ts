import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import {
  DEFAULT_ACCRUAL,
  DEFAULT_EWMA,
  EndpointState,
  type AccrualSettings,
  type EwmaSettings,
} from './endpoint.ts';

/** An address that discovery gave. */
export interface EndpointAddress {
  readonly host: string;
  readonly port: number;
  readonly ready: boolean;
}

export interface BalancerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly ewma?: EwmaSettings;
  readonly accrual?: AccrualSettings;
}

/** What was picked, or why nothing was. */
export type Pick = { readonly endpoint: EndpointState } | { readonly none: 'no endpoints' | 'all tried' };

/**
 * Power of two choices over Peak-EWMA: of two endpoints drawn at random the one with less load. Endpoints that fail are left out for a growing time and then proven by one
 * request. An update keeps what is known of the endpoints that stay.
 */
export class Balancer {
  readonly #options: BalancerOptions;
  #endpoints = new Map<string, EndpointState>();
  #known = 0;

  constructor(options: BalancerOptions) {
    this.#options = options;
  }

  /** Endpoints that may get traffic, and all that discovery knows, ready or not. */
  get counts(): { readonly ready: number; readonly known: number } {
    return { ready: this.#endpoints.size, known: this.#known };
  }

  get endpoints(): Iterable<EndpointState> {
    return this.#endpoints.values();
  }

  /** Takes the endpoints as they are now. */
  update(addresses: readonly EndpointAddress[]): void {
    const { clock, random, ewma = DEFAULT_EWMA, accrual = DEFAULT_ACCRUAL } = this.#options;
    const next = new Map<string, EndpointState>();
    for (const address of addresses) {
      if (!address.ready) continue;
      const key = `${address.host} ${address.port}`;
      next.set(key, this.#endpoints.get(key) ?? new EndpointState(address, { clock, random, ewma, accrual }));
    }
    this.#endpoints = next;
    this.#known = addresses.length;
  }

  /** Picks an endpoint for a request or connection, leaving out those already tried for it. */
  pick(tried: ReadonlySet<EndpointState>): Pick {
    const candidates: EndpointState[] = [];
    let soonest: EndpointState | undefined;
    for (const endpoint of this.#endpoints.values()) {
      if (tried.has(endpoint)) continue;
      const breaker = endpoint.breaker;
      // One whose time has come is proven at once; waiting for chance would keep it out for long.
      if (breaker === 'probation') return { endpoint };
      if (breaker === 'open') candidates.push(endpoint);
      else if (soonest === undefined || endpoint.shutUntil < soonest.shutUntil) soonest = endpoint;
    }
    // The floor: with every endpoint shut, the one that is due first is tried all the same. Failing by rule would turn a bad minute of the target into an outage.
    const endpoint = this.#choose(candidates) ?? soonest;
    if (endpoint !== undefined) return { endpoint };
    return { none: this.#endpoints.size === 0 ? 'no endpoints' : 'all tried' };
  }

  #choose(candidates: readonly EndpointState[]): EndpointState | undefined {
    if (candidates.length <= 1) return candidates[0];
    const first = Math.floor(this.#options.random() * candidates.length);
    const second =
      (first + 1 + Math.floor(this.#options.random() * (candidates.length - 1))) % candidates.length;
    const a = candidates[first];
    const b = candidates[second];
    return a === undefined || (b !== undefined && b.load < a.load) ? b : a;
  }
}
