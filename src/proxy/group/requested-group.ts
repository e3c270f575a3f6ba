import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { GroupCounters } from '../metrics/group-counters.ts';
import type { Outage } from '../upstream/outage.ts';
import type { GroupBackend } from './group-backend.ts';

/** A backend that has been drawn. */
export interface ChosenBackend {
  readonly backend: GroupBackend;
  /** How many others that it has not been sent to could take the request now. */
  readonly alternatives: number;
}

/** What a request needs of the group that it is for. */
export interface RequestedGroup extends Boundary {
  readonly clock: Clock;
  readonly random: Random;
  readonly outage: Outage;
  readonly numbers: GroupCounters;
  readonly backends: readonly GroupBackend[];
  /**
   * Draws a backend: of those that can take a request now, else of all.
   * @param tried backends that the request has been sent to in this round
   * @param now monotonic milliseconds
   * @param tier the only one that it may go to; undefined: any
   */
  pick(tried: readonly GroupBackend[], now: number, tier?: number): ChosenBackend | undefined;
  /** Draws one of the backends that can take a request now; undefined where none can. */
  pickOpen(tried: readonly GroupBackend[], now: number, tier?: number): ChosenBackend | undefined;
  /**
   * Why nobody can serve, where that has been so for the failfast time and is known of each backend: then
   * none is tried for the sake of a request, but all in the background.
   * @param now monotonic milliseconds
   */
  outOfReach(now: number): ProxyFailure | undefined;
  /** As `SessionTarget.mayOpenAgain`. */
  mayOpenAgain(elapsedMs: number): boolean;
  /** As `SessionTarget.untilOpenAgain`. */
  untilOpenAgain(refusals: number): Promise<void>;
  /**
   * The failure that the client gets where no backend could be connected to.
   * @param failures why, by name of the backend; empty: the group has no backend
   */
  unserved(failures: ReadonlyMap<string, ProxyFailure>): ProxyFailure;
}
