import { backoffDelay, type Random } from '../../base/backoff.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { BackendCounts } from '../metrics/group-counters.ts';
import type { Target } from '../upstream/target.ts';
import type { TryWatch } from '../upstream/try-watch.ts';
import type { Drawn } from './draw.ts';

/** How long a backend that has no endpoint is left out, milliseconds; longer each time in a row. */
const REST = { minMs: 250, maxMs: 5000 } as const;

/** Shortest time between two proofs of a backend that is not due to be tried again, milliseconds. */
const PROVE_EARLY_MS = 500;

/** What a group uses of a target. */
export type BackendTarget = Pick<
  Target,
  'standing' | 'prove' | 'proveEarly' | 'open' | 'openNow' | 'openAttempt' | 'leaseOrFail'
> &
  Partial<Pick<Target, 'openWatched'>>;

/** A backend of a group, as the group's user configures it. */
export interface BackendSpec {
  /** Unique in the group; for metrics and messages. */
  readonly name: string;
  /** Balances over its endpoints. It has no retries and timeouts of its own: those are the group's. */
  readonly target: BackendTarget;
}

/** How a backend is drawn. */
export interface BackendDraw extends Drawn {
  /** Tries of a request count by tier: at most one leaves the tier of the first. */
  readonly tier: number;
}

/** How a backend is drawn until something is said of it: one among equals. */
export const EQUAL_DRAW: BackendDraw = { share: 1, order: 0, weight: 1, tier: 0 };

/** What went wrong at a backend. */
interface Trouble {
  unreached: ProxyFailure | undefined;
  provenEarlyAt: number;
  restsUntil: number;
  rests: number;
}

/** A backend of a group, and whether it can take requests now. */
export class GroupBackend implements BackendDraw {
  readonly name: string;
  readonly target: BackendTarget;
  readonly numbers: BackendCounts;
  /** How it is drawn from now on; undefined: not at all. */
  draw: BackendDraw | undefined = EQUAL_DRAW;
  /**
   * What watches its requests, by the protocol of its application: made when the first one is sent, anew when
   * the group has other backends. Two fields, as an object for both would be larger than what it holds.
   */
  http1Tries: TryWatch | undefined;
  http2Tries: TryWatch | undefined;
  /** Undefined: nothing did, as a rule. */
  #trouble: Trouble | undefined;

  constructor({ name, target }: BackendSpec, numbers: BackendCounts) {
    this.name = name;
    this.numbers = numbers;
    this.target = target;
  }

  get share(): number {
    return this.draw?.share ?? 0;
  }

  get order(): number {
    return this.draw?.order ?? 0;
  }

  get weight(): number {
    return this.draw?.weight ?? 0;
  }

  get tier(): number {
    return this.draw?.tier ?? 0;
  }

  /** Whether it is drawn at all. */
  get isUsed(): boolean {
    return this.draw !== undefined;
  }

  /** Why it could not be connected to, the last time that a request or raw connection found out. */
  get unreached(): ProxyFailure | undefined {
    return this.#trouble?.unreached;
  }

  set unreached(failure: ProxyFailure | undefined) {
    this.#troubled.unreached = failure;
  }

  /**
   * Whether it can take a request now, as far as is known. Where it could not be connected to and is due to
   * be tried again, this opens a connection in the background, and the request goes to another backend.
   * @param now monotonic milliseconds
   */
  takes(now: number): boolean {
    if (this.draw === undefined || this.rests(now)) return false;
    const { standing } = this.target;
    if (standing === 'open') return true;
    if (standing === 'unproven') this.target.prove();
    else this.#proveEarly(now);
    return false;
  }

  /** Whether it is left out for now (`rest`). @param now monotonic milliseconds */
  rests(now: number): boolean {
    return this.#trouble !== undefined && now < this.#trouble.restsUntil;
  }

  /**
   * Leaves it out for a while, because it has refused a request for lack of an endpoint.
   * @param now monotonic milliseconds
   */
  rest(now: number, random: Random): void {
    const trouble = this.#troubled;
    // Requests that were under way at the same time are refused together, which counts once.
    if (now < trouble.restsUntil) return;
    trouble.restsUntil = now + backoffDelay(trouble.rests++, REST, random);
  }

  /** It has answered, so it has endpoints: it is no longer left out. */
  served(): void {
    if (this.#trouble === undefined) return;
    this.#trouble.rests = 0;
    this.#trouble.restsUntil = 0;
  }

  /**
   * Where it could not be connected to, the wait until it is due may be a minute, which is meant for requests
   * that have to find out. Proofs do not, and a backend that is back is to have its share at once.
   */
  #proveEarly(now: number): void {
    const trouble = this.#troubled;
    if (now - trouble.provenEarlyAt < PROVE_EARLY_MS) return;
    trouble.provenEarlyAt = now;
    this.target.proveEarly();
  }

  get #troubled(): Trouble {
    return (this.#trouble ??= {
      unreached: undefined,
      provenEarlyAt: Number.NEGATIVE_INFINITY,
      restsUntil: 0,
      rests: 0,
    });
  }
}
