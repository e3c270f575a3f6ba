import type { Random } from '../../../base/backoff.ts';
import type { Clock } from '../../../base/clock.ts';
import { type DialAddress, isUpgrading } from '../../io/dial-address.ts';
import {
  type AccrualSettings,
  type CountingOptions,
  DEFAULT_ACCRUAL,
  DEFAULT_EWMA,
  type EndpointCounts,
  type EndpointParts,
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
export interface BalancerOptions extends CountingOptions {
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

const NONE: ReadonlySet<EndpointState> = new Set();
const NO_TIER = new Tier([]);

/**
 * Power of two choices over Peak-EWMA: of two endpoints drawn at random the one with less load. Endpoints
 * that fail are left out for a growing time (ejected) and then probed by one request. An update keeps what is
 * known of the endpoints that stay.
 */
export class Balancer implements EndpointParts {
  /** Requests and flows in hand, those at endpoints that are gone included. */
  pending = 0;
  readonly #options: BalancerOptions;
  #members: readonly EndpointState[] = [];
  /** The preferred endpoints. */
  #near = NO_TIER;
  /** The others. */
  #far = NO_TIER;
  #known = 0;
  #accrual: AccrualSettings;
  #upgrading = false;

  constructor(options: BalancerOptions) {
    this.#options = options;
    this.#accrual = options.accrual ?? DEFAULT_ACCRUAL;
  }

  /** Endpoints that may get traffic, and all that discovery knows, ready or not. */
  get counts(): { readonly ready: number; readonly known: number } {
    return { ready: this.#members.length, known: this.#known };
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  get random(): Random {
    return this.#options.random;
  }

  get ewma(): EwmaSettings {
    return this.#options.ewma ?? DEFAULT_EWMA;
  }

  countsOf(endpoint: DialAddress): EndpointCounts | undefined {
    return this.#options.countsOf?.(endpoint);
  }

  get accrual(): AccrualSettings {
    return this.#accrual;
  }

  /** Some endpoint takes HTTP/1 requests over HTTP/2. */
  get upgrading(): boolean {
    return this.#upgrading;
  }

  /** Endpoints that may get traffic. */
  get endpoints(): readonly EndpointState[] {
    return this.#members;
  }

  /** Whether discovery still gives it, and it may get traffic. */
  has(endpoint: EndpointState): boolean {
    return endpoint.tier !== undefined;
  }

  /**
   * Takes the endpoints as they are now.
   * @param accrual for all of them, those that stay and those that are gone included; absent = the balancer's
   * own
   */
  update(addresses: readonly EndpointAddress[], accrual?: AccrualSettings): void {
    this.#accrual = accrual ?? this.#options.accrual ?? DEFAULT_ACCRUAL;
    const former = new Map<string, EndpointState>();
    for (const endpoint of this.#members) former.set(keyOf(endpoint), endpoint);
    const next = new Map<string, EndpointState>();
    const near = new Set<EndpointState>();
    for (const address of addresses) {
      if (!address.ready) continue;
      const key = keyOf(address);
      let endpoint = next.get(key);
      if (endpoint === undefined) {
        endpoint = former.get(key) ?? new EndpointState(address, this);
        next.set(key, endpoint);
      }
      if (address.preferred === true) near.add(endpoint);
    }
    for (const endpoint of this.#members) endpoint.tier = undefined;
    this.#members = [...next.values()];
    this.#known = addresses.length;
    this.#near = tierOf([...near]);
    this.#far = tierOf(
      near.size === 0 ? this.#members : this.#members.filter((endpoint) => !near.has(endpoint)),
    );
    this.#upgrading = this.#members.some(isUpgrading);
  }

  onBreaker(endpoint: EndpointState): void {
    endpoint.tier?.move(endpoint);
  }

  /** Whether some endpoint is not ejected. */
  get hasOpen(): boolean {
    return this.#near.hasOpen || this.#far.hasOpen;
  }

  /** An endpoint whose ejection is over, so that it may be tried again; undefined: there is none. */
  due(): EndpointState | undefined {
    const near = this.#near.first(NONE);
    if (near?.breaker === 'probation') return near;
    const far = this.#far.first(NONE);
    return far?.breaker === 'probation' ? far : undefined;
  }

  /** An endpoint that is not ejected, if there is one. */
  anyOpen(): EndpointState | undefined {
    const { clock, random } = this;
    for (const tier of [this.#near, this.#far]) if (tier.hasOpen) return tier.pick(NONE, clock, random);
    return undefined;
  }

  /** Picks an endpoint for a request or connection, leaving out those already tried for it. */
  pick(tried = NONE): EndpointPick {
    const { clock, random } = this;
    const endpoint =
      this.#near.pick(tried, clock, random) ?? this.#far.pick(tried, clock, random) ?? this.#floor(tried);
    if (endpoint !== undefined) return { endpoint };
    return { none: this.#members.length === 0 ? 'no endpoints' : 'all tried' };
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
}

function tierOf(endpoints: readonly EndpointState[]): Tier {
  if (endpoints.length === 0) return NO_TIER;
  const tier = new Tier(endpoints);
  for (const endpoint of endpoints) endpoint.tier = tier;
  return tier;
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
