import type { V1EndpointSlice } from '@kubernetes/client-node';
import { readFacts, writeFacts } from '../../api/failover/failover-facts.ts';
import type { GatewayFacts } from '../reconcile/mirror-facts.ts';
import type { Clock } from '../../base/clock.ts';
import {
  type FactsRules,
  type FactsState,
  foldFacts,
  nextFactsAt,
  publishAt,
  publishedFacts,
  resumedFacts,
  type Sighting,
} from '../../policy/failover/facts-fold.ts';

/** What a member's slices are to say, and when that should be looked at again. */
export interface PublishedFacts {
  /** Undefined: nothing is known yet, or nobody wants to know. */
  readonly text: string | undefined;
  /** Milliseconds, more than 0; undefined: not before somebody says something else. */
  readonly againMs: number | undefined;
}

/** What the facts of a member depend on beside its endpoints. */
export interface Watched {
  readonly path: Sighting['path'];
  readonly rules: FactsRules;
  /** The member's slices, as they are. */
  readonly slices: readonly V1EndpointSlice[];
}

/** What is known of one member at one moment. */
export interface Seen extends Pick<Watched, 'rules'> {
  readonly sighting: Sighting;
  /** The facts that are published, as text. */
  readonly there: string | undefined;
}

/** What a peer has seen of the way to a member; undefined: nothing yet, or nothing that is sure. */
export function pathSeen(gateway: GatewayFacts | undefined): Sighting['path'] {
  if (gateway?.doubted === true) return 'dead';
  if (gateway?.path === 'alive') return 'alive';
  return gateway?.path === 'dead' || gateway?.path === 'refused' ? 'dead' : undefined;
}

const NOTHING: PublishedFacts = { text: undefined, againMs: undefined };

/**
 * Keeps the facts of one peer's members between two looks at each. What is published is the memory: a
 * controller that starts, or gets the Lease, goes on from there, and forgets no withdrawal.
 */
export class FactsKeeper {
  readonly #clock: Clock;
  readonly #states = new Map<string, FactsState & { readonly text: string | undefined }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Folds what is seen of a member into its facts. @param key `namespace/name` of the export */
  see(key: string, seen: Seen): PublishedFacts {
    const { sighting, rules } = seen;
    const now = this.#clock.now();
    const state = this.#states.get(key);
    // What was wanted last counts, not what a hand has made of it: it is wanted still.
    const there = state?.text ?? seen.there;
    const published = readFacts(there);
    const before = state ?? (published === undefined ? undefined : resumedFacts(published, now));
    // Without a word about the path, or about the endpoints, nothing is known: no facts are better than
    // facts that say "none is ready".
    if (before === undefined && (sighting.path === undefined || sighting.ready === undefined)) return NOTHING;
    const folded = foldFacts(before, sighting, rules, now);
    const at = publishAt(folded, now);
    const changesAt = nextFactsAt(folded, rules, now);
    if (at === undefined || at > now) {
      this.#states.set(key, { ...folded, text: there });
      return { text: there, againMs: untilFirst([at, changesAt], now) };
    }
    const text = writeFacts(folded.facts);
    this.#states.set(key, { ...publishedFacts(folded, folded.facts, now), text });
    return { text, againMs: untilFirst([changesAt], now) };
  }

  /** The export is gone, or nobody wants its facts any more. */
  forget(key: string): void {
    this.#states.delete(key);
  }
}

function untilFirst(moments: readonly (number | undefined)[], now: number): number | undefined {
  const known = moments.filter((one) => one !== undefined);
  return known.length === 0 ? undefined : Math.max(1, Math.min(...known) - now);
}
