import { isIPv6, type LookupFunction } from 'node:net';
import { forEachIsolated } from '../base/isolation.ts';
import { backoffDelay, type Random } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import type { Logger } from '../telemetry/log.ts';
import { failedAnswer, failureOf, hasAddresses, type LookUp, type NameAnswer } from './answer.ts';
import {
  allAddresses,
  answerTtlMs,
  type KnownAddresses,
  afterAnswer,
  MIN_TTL_MS,
  NOTHING_KNOWN,
} from './known-addresses.ts';

/** How long one look-up may take, with all search domains and name servers, milliseconds. */
export const LOOK_UP_MS = 10_000;
/**
 * Wait before a name that could not be resolved is looked up again, milliseconds, doubling. A name with known
 * addresses waits `MIN_TTL_MS` at least.
 */
const RETRY = { minMs: 1000, maxMs: 15_000 };
/**
 * Jitter: look-ups are delayed by up to this share of the TTL, so that names that were looked up together
 * spread out.
 */
const SPREAD = 0.1;

export interface HostNamesOptions {
  readonly lookUp: LookUp;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Numbers of names: with current addresses, with addresses whose last look-up failed, without any. */
export interface NameStates {
  readonly resolved: number;
  readonly stale: number;
  readonly unresolved: number;
}

/** How a look-up ended. */
export type LookUpResult = 'found' | 'none' | 'failed';

/** A name as one of its followers sees it. */
export interface FollowedName {
  /** Addresses of both families, at most `MAX_ADDRESSES`. */
  readonly addresses: readonly string[];
  /** Whether the name has been looked up, found or not. */
  readonly asked: boolean;
  /** Why the last look-up gave no addresses. */
  readonly error: Error | undefined;
  stop(): void;
}

interface User {
  readonly onChange: () => void;
  /** Whether this user follows the name; otherwise it asked once. */
  readonly follows: boolean;
}

interface Entry {
  readonly name: string;
  /** The followers and callers that wait for the name, with their callbacks. */
  readonly users: Set<User>;
  known: KnownAddresses;
  asked: boolean;
  error: Error | undefined;
  failures: number;
  timer: Timer | undefined;
  running: AbortController | undefined;
}

/**
 * The host names of a process. Each is looked up once for all of its followers, again when its TTL ends, and
 * not any more when nobody follows it. Names share nothing, so that a silent name server delays only its own
 * names: each has one look-up at a time, of `LOOK_UP_MS` at most. The last addresses of a name stay until
 * there are others. The number of names is bounded by the callers: 64 hosts for each gateway that the
 * administrator has allowed.
 */
export class HostNames {
  readonly #options: HostNamesOptions;
  readonly #entries = new Map<string, Entry>();
  /** Look-ups that have ended. */
  readonly ended: Record<LookUpResult, number> = { found: 0, none: 0, failed: 0 };

  constructor(options: HostNamesOptions) {
    this.#options = options;
  }

  /**
   * Follows a name until `stop`. Addresses that are known already, from another follower, are there at once.
   * @param onChange called whenever its addresses have changed, and after its first look-up; never from
   * within this call
   */
  follow(host: string, onChange: () => void): FollowedName {
    return this.#join(host, { onChange, follows: true });
  }

  #join(host: string, user: User): FollowedName {
    const name = host.toLowerCase();
    const entry = this.#entries.get(name) ?? this.#open(name);
    entry.users.add(user);
    return {
      get addresses() {
        return allAddresses(entry.known);
      },
      get asked() {
        return entry.asked;
      },
      get error() {
        return entry.error;
      },
      stop: () => this.#leave(entry, user),
    };
  }

  /**
   * The addresses of a name, from its followers or a recent answer where there is one, else by a look-up.
   * @throws Error with getaddrinfo's codes: ENOTFOUND (no addresses), EAI_AGAIN (no answer)
   */
  async resolve(host: string): Promise<readonly string[]> {
    const asked = Promise.withResolvers<void>();
    const followed = this.#join(host, { onChange: asked.resolve, follows: false });
    try {
      if (!followed.asked) await asked.promise;
      if (followed.addresses.length > 0) return followed.addresses;
      throw followed.error ?? notFound(host);
    } finally {
      followed.stop();
    }
  }

  /** The same in the form of `net.connect`'s option `lookup`. */
  get forSockets(): LookupFunction {
    return (host, { all, family }, callback) => {
      const wanted = family === 4 || family === 'IPv4' ? 4 : family === 6 || family === 'IPv6' ? 6 : 0;
      this.resolve(host).then(
        (addresses) => {
          const found = addresses
            .map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }))
            .filter((one) => wanted === 0 || one.family === wanted);
          const [first] = found;
          if (first === undefined) callback(notFound(host), '', 0);
          else if (all === true) callback(null, found);
          else callback(null, first.address, first.family);
        },
        (error: NodeJS.ErrnoException) => callback(error, '', 0),
      );
    };
  }

  /** How many of the followed names are in which state; names before their first answer are in none. */
  get states(): NameStates {
    const states = { resolved: 0, stale: 0, unresolved: 0 };
    for (const entry of this.#entries.values()) {
      if (!isFollowed(entry) || !entry.asked) continue;
      if (entry.error === undefined) states.resolved++;
      else if (allAddresses(entry.known).length > 0) states.stale++;
      else states.unresolved++;
    }
    return states;
  }

  #open(name: string): Entry {
    const entry: Entry = {
      name,
      users: new Set(),
      known: NOTHING_KNOWN,
      asked: false,
      error: undefined,
      failures: 0,
      timer: undefined,
      running: undefined,
    };
    this.#entries.set(name, entry);
    void this.#lookUp(entry);
    return entry;
  }

  /**
   * Removes a user. The answer is kept until it expires, so that a route that is closed and opened again
   * needs no look-up.
   */
  #leave(entry: Entry, user: User): void {
    if (!entry.users.delete(user) || entry.users.size > 0 || entry.running === undefined) return;
    this.#entries.delete(entry.name);
    entry.running.abort(new Error('nobody wants to know any more'));
    entry.running = undefined;
  }

  #due(entry: Entry): void {
    if (entry.users.size > 0) void this.#lookUp(entry);
    else this.#entries.delete(entry.name);
  }

  async #lookUp(entry: Entry): Promise<void> {
    const running = new AbortController();
    entry.running = running;
    const answer = await this.#answer(entry.name, running);
    if (entry.running !== running) return;
    entry.running = undefined;
    const { clock, random } = this.#options;
    const before = allAddresses(entry.known).join();
    const first = !entry.asked;
    entry.known = afterAnswer(entry.known, answer);
    entry.asked = true;
    const ms = hasAddresses(answer) ? answerTtlMs(answer) * (1 + SPREAD * random()) : this.#retryMs(entry);
    entry.timer = clock.after(ms, () => this.#due(entry), { unref: true });
    this.#judge(entry, answer);
    if (first || before !== allAddresses(entry.known).join())
      forEachIsolated('users of a host name', entry.users, (user) => user.onChange());
  }

  /** The answer, or `failed` after `LOOK_UP_MS`, even where the look-up ignores its signal. */
  async #answer(name: string, running: AbortController): Promise<NameAnswer> {
    const { lookUp, clock } = this.#options;
    const { signal } = running;
    const ended = Promise.withResolvers<never>();
    signal.addEventListener('abort', () => ended.reject(signal.reason as Error), { once: true });
    const late = () => running.abort(new Error(`no answer within ${LOOK_UP_MS / 1000} s`));
    const limit = clock.after(LOOK_UP_MS, late, { unref: true });
    try {
      return await Promise.race([lookUp(name, signal), ended.promise]);
    } catch (error) {
      return failedAnswer(error instanceof Error ? error : new Error(messageOf(error)));
    } finally {
      limit.cancel();
    }
  }

  #retryMs(entry: Entry): number {
    const ms = backoffDelay(entry.failures++, RETRY, this.#options.random);
    return allAddresses(entry.known).length === 0 ? ms : Math.max(MIN_TTL_MS, ms);
  }

  /** Counts the answer, and logs a failure that differs from the last one. */
  #judge(entry: Entry, answer: NameAnswer): void {
    const { log } = this.#options;
    const host = entry.name;
    if (hasAddresses(answer)) {
      this.ended.found++;
      if (isFollowed(entry) && entry.error !== undefined)
        log.info({ host, addresses: allAddresses(entry.known) }, 'host name resolved again');
      entry.error = undefined;
      entry.failures = 0;
      return;
    }
    const failure = failureOf(answer);
    this.ended[failure === undefined ? 'none' : 'failed']++;
    const error = failure === undefined ? notFound(host) : noAnswer(host, failure);
    // For names that are followed only: a one-time caller gets the error itself.
    if (isFollowed(entry) && error.message !== entry.error?.message)
      log.warn({ host, cause: error.message, kept: allAddresses(entry.known) }, 'host name not resolved');
    entry.error = error;
  }
}

function isFollowed({ users }: Entry): boolean {
  return [...users].some(({ follows }) => follows);
}

function notFound(host: string): Error {
  return Object.assign(new Error(`${host} has no addresses`), { code: 'ENOTFOUND' });
}

function noAnswer(host: string, cause: Error): Error {
  const message = `${host} could not be looked up: ${messageOf(cause)}`;
  return Object.assign(new Error(message, { cause }), { code: 'EAI_AGAIN' });
}
