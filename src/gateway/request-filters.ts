import type { EffectivePolicy } from '../policy/effective-policy.ts';
import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { RateLimits } from '../policy/rate-limits/rate-limits.ts';
import { isDeepStrictEqual } from 'node:util';
import { matchesIdentity } from '../identity/x509/peer-certificate.ts';
import type { ProxyCounters } from '../proxy/metrics/counters.ts';
import { RequestFilter } from '../proxy/filters/request-filter.ts';
import { RateLimiter } from '../proxy/filters/rate-limiter.ts';
import type { Target } from '../proxy/upstream/target.ts';

/** What all filters of a process share. */
export interface RequestFiltersOptions {
  readonly counters: ProxyCounters;
  readonly clock: Clock;
  readonly random: Random;
  /** Number of processes that share the port; each enforces an equal part of every limit. */
  readonly workers: number;
}

/** A limiter, and the targets that it limits together. */
interface Shared {
  readonly limiter: RateLimiter;
  readonly users: Set<Target>;
}

/**
 * The request filters of all targets. Rate limits with the same key share one state, whichever targets they
 * apply to, and keep it while they are unchanged.
 */
export class RequestFilters {
  readonly #options: RequestFiltersOptions;
  readonly #filters = new Map<Target, RequestFilter>();
  readonly #limiters = new Map<string, Shared>();

  constructor(options: RequestFiltersOptions) {
    this.#options = options;
  }

  /** Sets the limits and faults of a target, from its next request on. */
  set(target: Target, { limits = [], faults = [] }: Pick<EffectivePolicy, 'limits' | 'faults'>): void {
    if (limits.length === 0 && faults.length === 0) {
      this.drop(target);
      return;
    }
    const limiters = limits.map((one) => this.#limiter(one, target));
    this.#release(target, new Set(limits.map(({ key }) => key)));
    const filter = this.#filters.get(target) ?? this.#make(target);
    target.filter = filter.set(limiters, faults) ? filter : undefined;
  }

  /** Removes a target's filter. */
  drop(target: Target): void {
    target.filter = undefined;
    if (this.#filters.delete(target)) this.#release(target, new Set());
  }

  #make(target: Target): RequestFilter {
    const { counters, clock, random } = this.#options;
    const { label } = target;
    const onEmpty = () => this.drop(target);
    const filter = new RequestFilter({ label, counters, clock, random, onEmpty });
    this.#filters.set(target, filter);
    return filter;
  }

  /** The limiter for these limits: the present one as long as they are unchanged, or else a new one. */
  #limiter(limits: RateLimits, target: Target): RateLimiter {
    const { key } = limits;
    const known = this.#limiters.get(key);
    if (known !== undefined && isDeepStrictEqual(known.limiter.limits, limits)) {
      known.users.add(target);
      return known.limiter;
    }
    const limiter = new RateLimiter(limits, { matches: matchesIdentity, shares: this.#options.workers });
    this.#limiters.set(key, { limiter, users: new Set(known?.users).add(target) });
    return limiter;
  }

  /** Takes a target off all limiters but those of the keys in `kept`, and forgets those without targets. */
  #release(target: Target, kept: ReadonlySet<string>): void {
    for (const [key, { users }] of this.#limiters)
      if (!kept.has(key) && users.delete(target) && users.size === 0) this.#limiters.delete(key);
  }
}
