import { isDeepStrictEqual } from 'node:util';
import type { Random } from '../../../base/backoff.ts';
import type { Clock } from '../../../base/clock.ts';
import type { RequestRules } from '../../../policy/requests/request-rules.ts';
import { DEFAULT_BUDGET, type RetryRules } from '../../../policy/retries/retry-rules.ts';
import type { ResponseClass, RouteRules } from '../../../policy/routes/route-rules.ts';
import type { TimeoutRules } from '../../../policy/timeouts/timeout-rules.ts';
import type { ProxyCounters } from '../../metrics/counters.ts';
import type { RouteCounters } from '../../metrics/route-counters.ts';
import type { OutgoingRequest } from '../../http/messages.ts';
import { RetryBudget } from './budget.ts';
import { MatchingAllowance } from './matching-allowance.ts';
import { PROCESS_ROOM, type ReplayRoom } from './replay-body.ts';
import { type Asked, isFailure, isIn, requestTest, withoutQuery } from './route-match.ts';

/**
 * Retries of a retryable route of a ServiceProfile. Linkerd retries as long as the budget allows it, which is
 * for ever when the target always fails.
 */
const MAX_ROUTE_RETRIES = 5;
/** A longer path belongs to no route: no regular expression is meant for it. */
const MAX_PATH = 2048;

/** Whether and how often a request is tried again. */
export interface RetryConfig {
  /** Retries at most. */
  readonly limit: number;
  /** Pause before each; undefined: Linkerd's, which grows. */
  readonly pauseMs: number | undefined;
  /** How long every attempt but the last may take, milliseconds; undefined: no limit. */
  readonly tryTimeoutMs: number | undefined;
  /** Whether an answer makes the request be retried. */
  again(status: number, grpc: number | undefined): boolean;
  /** The gRPC status matters, so a gRPC response is looked at until it is known or data comes. */
  readonly looksAtGrpc: boolean;
}

/** How one request is to be treated. */
export interface RouteConfig {
  /** Of the route; empty: the request is of none. */
  readonly name: string;
  readonly counters: RouteCounters;
  readonly retry: RetryConfig | undefined;
  readonly timeouts: TimeoutRules;
  /** Most time from the request's head to the response's, milliseconds; undefined: no limit. */
  readonly headMs: number | undefined;
  /** Which answers the metrics count as failures. */
  readonly classes: readonly ResponseClass[];
}

/** What a target's policy needs beside its rules. */
export interface PolicyParts {
  /** `name:port`. */
  readonly label: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: ProxyCounters;
  /** Memory for bodies that may be sent again; default: that of the process. */
  readonly room?: ReplayRoom;
}

/** A route of a ServiceProfile, compiled. */
interface Route {
  readonly matches: (asked: Asked) => boolean;
  readonly config: RouteConfig;
}

/** The rules for a target's requests, compiled. */
export class RequestPolicy {
  readonly label: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly room: ReplayRoom;
  readonly budget: RetryBudget;
  readonly #rules: RequestRules;
  readonly #allowance: MatchingAllowance;
  readonly #routes: readonly Route[];
  /** For requests of no route. */
  readonly #other: RouteConfig;

  /**
   * @param former the policy before this one: its budget is kept, where the rules for it are the same
   * @throws RegexError for a path that is no regular expression; the reader of the rules has checked that
   */
  constructor(rules: RequestRules, parts: PolicyParts, former?: RequestPolicy) {
    const { label, clock, random, counters, room = PROCESS_ROOM } = parts;
    this.label = label;
    this.clock = clock;
    this.random = random;
    this.room = room;
    this.#rules = rules;
    this.#allowance = former === undefined ? new MatchingAllowance(clock) : former.#allowance;
    const budget = rules.budget ?? DEFAULT_BUDGET;
    this.budget =
      former !== undefined && isDeepStrictEqual(former.budget.rules, budget)
        ? former.budget
        : new RetryBudget(budget, clock);
    const { routes } = rules;
    this.#routes = (routes ?? []).map((route) => ({
      matches: requestTest(route.condition),
      config: routeConfig(route, counters.route(label, route.name)),
    }));
    const other = counters.route(label, '');
    this.#other = routes === undefined ? plainConfig(rules, other) : { ...NOTHING, counters: other };
  }

  /** Whether this policy was made from those rules. */
  follows(rules: RequestRules | undefined): boolean {
    return isDeepStrictEqual(this.#rules, rules);
  }

  /** How a request is to be treated: as the first route that matches it says. */
  configOf({ method, path }: OutgoingRequest): RouteConfig {
    if (this.#routes.length > 0 && path.length <= MAX_PATH) {
      const effort = this.#allowance.begin();
      // Requests of no route have no retries and timeouts, and are served.
      if (effort === undefined) return this.#other;
      const asked = { method, path: withoutQuery(path), effort };
      for (const { matches, config } of this.#routes) {
        const found = matches(asked);
        // An expression that takes longer was written to do so. A test that was given up is no answer, least
        // of all where a condition negates it.
        if (effort.left >= 0 && !found) continue;
        this.#allowance.end(effort);
        return effort.left < 0 ? this.#other : config;
      }
      this.#allowance.end(effort);
    }
    return this.#other;
  }
}

const NOTHING = { name: '', retry: undefined, timeouts: {}, headMs: undefined, classes: [] };

function plainConfig({ retry, timeouts = {} }: RequestRules, counters: RouteCounters): RouteConfig {
  return { ...NOTHING, counters, timeouts, retry: retry === undefined ? undefined : retryConfig(retry) };
}

function retryConfig({ statuses, grpc, limit, pauseMs, tryTimeoutMs }: RetryRules): RetryConfig {
  return {
    limit,
    pauseMs,
    tryTimeoutMs,
    again: (status, code) => isIn(status, statuses) || (code !== undefined && grpc.includes(code)),
    looksAtGrpc: grpc.length > 0,
  };
}

function routeConfig(
  { name, retryable, timeoutMs, classes }: RouteRules,
  counters: RouteCounters,
): RouteConfig {
  const retry: RetryConfig = {
    limit: MAX_ROUTE_RETRIES,
    pauseMs: undefined,
    tryTimeoutMs: undefined,
    again: (status, code) => isFailure(classes, status, code),
    looksAtGrpc: true,
  };
  return { ...NOTHING, name, counters, headMs: timeoutMs, classes, retry: retryable ? retry : undefined };
}
