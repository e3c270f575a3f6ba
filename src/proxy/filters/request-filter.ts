import type { Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { FaultRule } from '../../policy/faults/fault-rules.ts';
import type { Rate } from '../../policy/rate-limits/rate-limits.ts';
import type { ProxyCounters } from '../metrics/counters.ts';
import { ProxyFailure } from '../http/failures.ts';
import { chooseFault, type FilteredHead, unexpired } from './fault-injection.ts';
import type { Excess, RateLimiter } from './rate-limiter.ts';

/** Field of every response that fault injection has delayed or made: `delay` or `abort`. */
export const FAULT_FIELD = 'linkspan-injected-fault';
/** Requests and raw connections of one target that may be delayed at the same time; more are refused. */
const MAX_HELD = 1000;

/**
 * How a filter says what becomes of a request or connection. Exactly one of the two is called, and none after
 * `Hold.cancel`.
 */
export interface RequestFilterCallbacks {
  admit(): void;
  refuse(failure: ProxyFailure): void;
}

/** Whose filter it is, and where it counts. */
export interface RequestFilterOptions {
  /** `name:port` of the target. */
  readonly label: string;
  readonly counters: ProxyCounters;
  readonly clock: Clock;
  readonly random: Random;
  /** Called when the last fault has expired and there are no limits: the filter is not needed any more. */
  readonly onEmpty: () => void;
  /** How many may be delayed at the same time; default 1,000. */
  readonly maxHeld?: number;
}

/**
 * What stands before a target, for every request and every new raw connection that may use it: rate limits,
 * then fault injection. It is passed before an endpoint is picked, so what is refused here does not
 * count against one and is not retried.
 */
export class RequestFilter {
  readonly #options: RequestFilterOptions;
  #limiters: readonly RateLimiter[] = [];
  #faults: readonly FaultRule[] = [];
  #held = 0;

  constructor(options: RequestFilterOptions) {
    this.#options = options;
  }

  /** Sets the limits and faults from the next request on. @returns whether there are any */
  set(limiters: readonly RateLimiter[], faults: readonly FaultRule[]): boolean {
    this.#limiters = limiters;
    this.#faults = unexpired(faults, this.#options.clock.now());
    return this.#limiters.length > 0 || this.#faults.length > 0;
  }

  /**
   * Lets a request pass, refuses it, or makes it wait.
   * @param client its name, by which rate limits tell clients apart
   * @returns what cancels the wait; undefined: a callback has been called
   */
  pass(client: string, head: FilteredHead, callbacks: RequestFilterCallbacks): Hold | undefined {
    const excess = this.#limit(client, head);
    const fault = excess === undefined && this.#faults.length > 0 ? this.#fault(head) : undefined;
    if (excess !== undefined) callbacks.refuse(this.#excessFailure(excess));
    else if (fault === undefined) callbacks.admit();
    else if (fault.delayMs === 0) this.#finish(fault, callbacks);
    else return this.#delay(fault, callbacks);
    return undefined;
  }

  /** Returns the limit that a client has reached; if there is none, counts the request against all limits. */
  #limit(client: string, head: FilteredHead): Excess | undefined {
    const now = this.#options.clock.monotonic();
    for (const limiter of this.#limiters) {
      const excess = limiter.excess(client, now);
      if (excess === undefined) continue;
      const { label, counters } = this.#options;
      if (head !== undefined) counters.rateLimited(label, limiter.limits.policy, excess.scope);
      return excess;
    }
    for (const limiter of this.#limiters) limiter.take(client, now);
    return undefined;
  }

  #excessFailure({ limits, scope, rate, waitMs }: Excess): ProxyFailure {
    const { label } = this.#options;
    const whose = {
      total: 'all clients together',
      identity: 'each client',
      override: 'this client',
    }[scope];
    const text = `${label}: over the rate limit of ${limits.policy} for ${whose} (${rateText(rate)})`;
    const retryAfter = String(Math.max(1, Math.ceil(waitMs / 1000)));
    return new ProxyFailure('rate limited', text, undefined, { fields: { 'retry-after': retryAfter } });
  }

  #fault(head: FilteredHead): FaultRule | undefined {
    const { clock, random, onEmpty } = this.#options;
    this.#faults = unexpired(this.#faults, clock.now());
    if (this.#faults.length === 0 && this.#limiters.length === 0) onEmpty();
    return chooseFault(this.#faults, head, random);
  }

  #delay(fault: FaultRule, callbacks: RequestFilterCallbacks): Hold | undefined {
    const { label, counters, clock, random, maxHeld = MAX_HELD } = this.#options;
    if (this.#held >= maxHeld) {
      const text = `${label}: a drill delays ${maxHeld} requests already, which is as many as it may`;
      callbacks.refuse(new ProxyFailure('load shed', text));
      return undefined;
    }
    counters.fault(label, 'delay');
    this.#held++;
    const over = () => void this.#held--;
    const ms = fault.delayMs + fault.jitterMs * random();
    return new Hold(clock, ms, { over, pass: () => this.#finish(fault, callbacks) });
  }

  /** What a rule does after its delay. */
  #finish({ abort, reset, until }: FaultRule, callbacks: RequestFilterCallbacks): void {
    const { label, counters } = this.#options;
    if (abort === undefined && !reset) {
      callbacks.admit();
      return;
    }
    const what = reset ? 'reset' : 'abort';
    counters.fault(label, what);
    const text = `${label}: injected fault (${what}) of a drill that ends at ${new Date(until).toISOString()}`;
    const terms = reset ? { breaks: true } : { ...abort, fields: { [FAULT_FIELD]: what } };
    callbacks.refuse(new ProxyFailure('injected fault', text, undefined, terms));
  }
}

/** `100 a second, 200 at once`. */
function rateText({ perSecond, burst }: Rate): string {
  const [count, unit] =
    perSecond >= 1 ? [1, 'a second'] : perSecond * 60 >= 1 ? [60, 'a minute'] : [3600, 'an hour'];
  return `${Number((perSecond * count).toPrecision(4))} ${unit}, ${burst} at once`;
}

/** A request or connection that waits at a filter, or has waited there. */
export class Hold {
  /** What was done to it: value of `FAULT_FIELD`, and of the access log's `fault`. */
  readonly mark = 'delay';
  readonly #over: () => void;
  readonly #timer: Timer;
  #waits = true;

  constructor(clock: Clock, ms: number, then: { readonly over: () => void; readonly pass: () => void }) {
    this.#over = then.over;
    // A process that is told to end does not stay for requests that wait.
    this.#timer = clock.after(
      ms,
      () => {
        this.cancel();
        then.pass();
      },
      { unref: true },
    );
  }

  /** It has neither been let through nor refused. */
  get waits(): boolean {
    return this.#waits;
  }

  /** The client has gone: nothing happens any more. */
  cancel(): void {
    if (!this.#waits) return;
    this.#waits = false;
    this.#timer.cancel();
    this.#over();
  }
}
