import type { Random } from '../../../base/backoff.ts';
import type { Clock } from '../../../base/clock.ts';
import { type DialAddress, isUpgrading } from '../../io/dial-address.ts';
import {
  type AccrualSettings,
  DEFAULT_ACCRUAL,
  DEFAULT_EWMA,
  EndpointState,
  type EwmaSettings,
} from './endpoint.ts';
import { Tier } from './tier.ts';

/** An address that discovery gave. */
export interface EndpointAddress extends DialAddress {
  readonly ready: boolean;
  /**
   * Used before those that are not, as long as one of the preferred ones can be used (topology hints: it is
   * in our zone).
   */
  readonly preferred?: boolean;
}

/** What a balancer decides by. */
export interface BalancerOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Default `DEFAULT_EWMA`. */
  readonly ewma?: EwmaSettings;
  /** Where `update` gives none; default `DEFAULT_ACCRUAL`. */
  readonly accrual?: AccrualSettings;
}

/** The endpoint that was picked, or the reason why none was. */
export type EndpointPick =
  | { readonly endpoint: EndpointState }
  | { readonly none: 'no endpoints' | 'all tried' };

const NONE_TRIED: ReadonlySet<EndpointState> = new Set();

/**
 * Power of two choices over Peak-EWMA: of two endpoints drawn at random the one with less load. Endpoints
 * that fail are left out for a growing time (ejected) and then probed by one request. An update keeps what is
 * known of the endpoints that stay.
 */
export class Balancer {
  readonly #options: BalancerOptions;
  readonly #total = { pending: 0 };
  /** By `keyOf`. */
  #endpoints = new Map<string, EndpointState>();
  #members = new Set<EndpointState>();
  #preferred = new Set<EndpointState>();
  /** The preferred endpoints. */
  #near = new Tier();
  /** The others. */
  #far = new Tier();
  #known = 0;
  #accrual: AccrualSettings;
  #upgrading = false;

  constructor(options: BalancerOptions) {
    this.#options = options;
    this.#accrual = options.accrual ?? DEFAULT_ACCRUAL;
  }

  /** Endpoints that may get traffic, and all that discovery knows, ready or not. */
  get counts(): { readonly ready: number; readonly known: number } {
    return { ready: this.#endpoints.size, known: this.#known };
  }

  /** Requests and flows in hand, those at endpoints that are gone included. */
  get pending(): number {
    return this.#total.pending;
  }

  /** Some endpoint takes HTTP/1 requests over HTTP/2. */
  get upgrading(): boolean {
    return this.#upgrading;
  }

  /** Endpoints that may get traffic. */
  get endpoints(): ReadonlySet<EndpointState> {
    return this.#members;
  }

  /** Whether discovery still gives it. */
  has(endpoint: EndpointState): boolean {
    return this.#members.has(endpoint);
  }

  /**
   * Takes the endpoints as they are now.
   * @param accrual for all of them, those that stay included; absent = the balancer's own
   */
  update(addresses: readonly EndpointAddress[], accrual?: AccrualSettings): void {
    this.#accrual = accrual ?? this.#options.accrual ?? DEFAULT_ACCRUAL;
    const next = new Map<string, EndpointState>();
    const preferred = new Set<EndpointState>();
    for (const address of addresses) {
      if (!address.ready) continue;
      const key = keyOf(address);
      const endpoint = next.get(key) ?? this.#endpoints.get(key) ?? this.#make(address);
      endpoint.accrual = this.#accrual;
      next.set(key, endpoint);
      if (address.preferred === true) preferred.add(endpoint);
    }
    this.#endpoints = next;
    this.#members = new Set(next.values());
    this.#preferred = preferred;
    this.#known = addresses.length;
    this.#near = new Tier();
    this.#far = new Tier();
    this.#upgrading = false;
    for (const endpoint of this.#members) {
      this.#tierOf(endpoint).add(endpoint);
      if (isUpgrading(endpoint)) this.#upgrading = true;
    }
  }

  /** Whether some endpoint is not ejected. */
  get hasOpen(): boolean {
    return this.#near.hasOpen || this.#far.hasOpen;
  }

  /** An endpoint whose ejection is over, so that it may be tried again; undefined: there is none. */
  due(): EndpointState | undefined {
    const near = this.#near.first(NONE_TRIED);
    if (near?.breaker === 'probation') return near;
    const far = this.#far.first(NONE_TRIED);
    return far?.breaker === 'probation' ? far : undefined;
  }

  /** An endpoint that is not ejected, if there is one. */
  anyOpen(): EndpointState | undefined {
    const { clock, random } = this.#options;
    for (const tier of [this.#near, this.#far]) if (tier.hasOpen) return tier.pick(NONE_TRIED, clock, random);
    return undefined;
  }

  /** Picks an endpoint for a request or connection, leaving out those already tried for it. */
  pick(tried = NONE_TRIED): EndpointPick {
    const { clock, random } = this.#options;
    const endpoint =
      this.#near.pick(tried, clock, random) ?? this.#far.pick(tried, clock, random) ?? this.#floor(tried);
    if (endpoint !== undefined) return { endpoint };
    return { none: this.#endpoints.size === 0 ? 'no endpoints' : 'all tried' };
  }

  /**
   * With every endpoint ejected, the one that is due first is tried all the same: failing by rule would turn
   * a bad minute of the target into an outage. Where all are being probed, the one that has least in hand.
   */
  #floor(tried: ReadonlySet<EndpointState>): EndpointState | undefined {
    const near = this.#near.first(tried);
    const far = this.#far.first(tried);
    if (near !== undefined && (far === undefined || near.ejectedUntil <= far.ejectedUntil)) return near;
    if (far !== undefined) return far;
    let least: EndpointState | undefined;
    for (const endpoint of this.#members)
      if (!tried.has(endpoint) && (least === undefined || endpoint.pending < least.pending)) least = endpoint;
    return least;
  }

  #make(address: EndpointAddress): EndpointState {
    const { clock, random, ewma = DEFAULT_EWMA } = this.#options;
    return new EndpointState(address, {
      clock,
      random,
      ewma,
      accrual: this.#accrual,
      onBreaker: (endpoint) => {
        if (this.has(endpoint)) this.#tierOf(endpoint).move(endpoint);
      },
      total: this.#total,
    });
  }

  #tierOf(endpoint: EndpointState): Tier {
    return this.#preferred.has(endpoint) ? this.#near : this.#far;
  }
}

/**
 * An address that is spoken to in another way is another endpoint: nothing known of the one holds for the
 * other.
 */
function keyOf({ host, port, mesh }: DialAddress): string {
  return mesh === undefined
    ? `${host} ${port}`
    : `${host} ${port} ${mesh.identity} ${mesh.port} ${mesh.opaque}`;
}
