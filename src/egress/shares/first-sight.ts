import type { FailoverFacts } from '../../api/failover/failover-facts.ts';
import { MAX_SKEW_MS } from '../../kube/client/cluster-time.ts';

/**
 * When facts of members were first seen to say that they can be used again. Holds and ramps count from a time
 * that somebody else's clock gave; where ours and his cannot be compared they count from here. Only ramps
 * depend on time, so nothing else has to be put right.
 */
export class FirstSight {
  #seen: Map<string, { readonly usableSince: number; readonly at: number }> | undefined;

  /**
   * The facts with a time that can be compared with `now`.
   * @param name of the member
   * @param now milliseconds since the epoch, by our clock
   * @param skewed whether our clock is known to be wrong; otherwise only a time to come is not believed
   */
  comparable(name: string, facts: FailoverFacts, now: number, skewed: boolean): FailoverFacts {
    const { usableSince, flaps } = facts;
    if (usableSince === null || flaps === 0) {
      this.#seen?.delete(name);
      return facts;
    }
    this.#seen ??= new Map();
    let seen = this.#seen.get(name);
    if (seen?.usableSince !== usableSince) this.#seen.set(name, (seen = { usableSince, at: now }));
    const isToCome = usableSince > seen.at + MAX_SKEW_MS;
    return skewed || isToCome ? { ...facts, usableSince: seen.at } : facts;
  }
}
