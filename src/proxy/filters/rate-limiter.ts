import type { Rate, RateLimits } from '../../policy/rate-limits/rate-limits.ts';
import { TokenBucket, BucketPace } from './token-bucket.ts';

/** Which of the limits it is: Linkerd's label `ratelimit_scope`. */
export type LimitScope = 'total' | 'identity' | 'override';

/** A limit that has been reached. */
export interface Excess {
  readonly limits: RateLimits;
  readonly scope: LimitScope;
  readonly rate: Rate;
  /** Milliseconds until one more may pass. */
  readonly waitMs: number;
}

/** Clients that are told apart; those beyond share one bucket. */
const MAX_CLIENTS = 10_000;
/** Shortest time between two sweeps of a full table for idle clients. */
const SWEEP_MS = 1000;

/** What a limiter depends on beside its limits. */
export interface RateLimiterOptions {
  /** Whether a client is one of those that an override names. */
  readonly matches: (pattern: string, client: string) => boolean;
  /** Among how many limiters (one in each worker process) the limits are divided equally; default 1. */
  readonly shares?: number;
  /** Clients that are told apart; default 10,000. */
  readonly maxClients?: number;
}

/**
 * The state of one set of limits. A request counts against the limit of its client and against that of all
 * only if both let it through, so that one who asks too much takes nothing from the others.
 *
 * Its memory is bounded: it remembers only clients that have asked lately, because a bucket that is full
 * again is as good as a new one. When there are too many of these, new clients share one bucket. No client is
 * forgotten to make room, so a client cannot get rid of its own past by using many names.
 */
export class RateLimiter {
  readonly limits: RateLimits;
  readonly #options: RateLimiterOptions;
  readonly #total: TokenBucket | undefined;
  readonly #perClient: BucketPace | undefined;
  readonly #overrides: readonly { readonly clients: readonly string[]; readonly bucket: TokenBucket }[];
  /** The override of a client, so that names are not compared at every request. */
  readonly #named = new Map<string, TokenBucket | undefined>();
  readonly #clients = new Map<string, TokenBucket>();
  /** What the clients share for which there is no room. */
  #others: TokenBucket | undefined;
  #sweptAt = -Infinity;

  constructor(limits: RateLimits, options: RateLimiterOptions) {
    const { shares = 1 } = options;
    const pace = (rate: Rate) => new BucketPace(rate, shares);
    const { total, perClient, overrides } = limits;
    this.limits = limits;
    this.#options = options;
    this.#total = total === undefined ? undefined : new TokenBucket(pace(total));
    this.#perClient = perClient === undefined ? undefined : pace(perClient);
    this.#overrides = overrides.map(({ clients, rate }) => ({
      clients,
      bucket: new TokenBucket(pace(rate)),
    }));
  }

  /** Clients that are remembered. */
  get size(): number {
    return this.#clients.size;
  }

  /**
   * Which limit a client has reached; undefined = it may pass, and is counted by `take`.
   * @param now monotonic milliseconds
   */
  excess(client: string, now: number): Excess | undefined {
    const own = this.#own(client, now);
    const ownWait = own?.wait(now) ?? 0;
    const totalWait = this.#total?.wait(now) ?? 0;
    if (ownWait === 0 && totalWait === 0) return undefined;
    const { limits } = this;
    const waitMs = Math.max(ownWait, totalWait);
    // The client's own limit is reported first: the client can do something about that one.
    if (own !== undefined && ownWait > 0) {
      const scope = this.#override(client) === undefined ? 'identity' : 'override';
      return { limits, scope, rate: own.pace.rate, waitMs };
    }
    return { limits, scope: 'total', rate: this.#total?.pace.rate ?? { perSecond: 0, burst: 0 }, waitMs };
  }

  /** Counts one request of this client, which passes. */
  take(client: string, now: number): void {
    this.#own(client, now)?.take(now);
    this.#total?.take(now);
  }

  #own(client: string, now: number): TokenBucket | undefined {
    const override = this.#override(client);
    if (override !== undefined || this.#perClient === undefined) return override;
    const known = this.#clients.get(client);
    if (known !== undefined) return known;
    const { maxClients = MAX_CLIENTS } = this.#options;
    if (this.#clients.size >= maxClients) this.#sweep(now);
    if (this.#clients.size >= maxClients) return (this.#others ??= new TokenBucket(this.#perClient));
    const bucket = new TokenBucket(this.#perClient);
    this.#clients.set(client, bucket);
    return bucket;
  }

  #override(client: string): TokenBucket | undefined {
    if (this.#overrides.length === 0) return undefined;
    if (this.#named.has(client)) return this.#named.get(client);
    const { matches, maxClients = MAX_CLIENTS } = this.#options;
    const found = this.#overrides.find(({ clients }) => clients.some((pattern) => matches(pattern, client)));
    if (this.#named.size >= maxClients) this.#named.clear();
    this.#named.set(client, found?.bucket);
    return found?.bucket;
  }

  #sweep(now: number): void {
    if (now - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = now;
    for (const [client, bucket] of this.#clients) if (bucket.isFull(now)) this.#clients.delete(client);
  }
}
