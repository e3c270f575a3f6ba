import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import type { FailoverFacts } from '../../api/failover/failover-facts.ts';
import { FAILOVER_PRIMARY_SERVICE } from '../../api/failover/failover-names.ts';
import type { FailoverTexts } from '../../api/mirror/failover-texts.ts';
import type { Backend } from './backend.ts';
import type { FailoverPolicy } from './failover-policy.ts';
import { readFailoverPolicy } from './failover-policy-text.ts';
import { placeBackends, type Placement } from './placement.ts';
import { Problems, shortened } from './problems.ts';
import { readTiers } from './tiers.ts';

/** What is known of a backend; absent: nothing. */
export interface WeighedBackend {
  readonly facts?: FailoverFacts | undefined;
  /** Drains of its cluster. */
  readonly drains?: readonly FailoverDrain[] | undefined;
}

/** What is said of a list of backends whose weights are managed. */
export interface WeighedTexts extends FailoverTexts {
  /** `failover.linkerd.io/primary-service`, as linkerd-failover has it. */
  readonly primary?: string | undefined;
}

/** Those among whom the requests for a TrafficSplit, or one rule of a route, are divided, and how. */
export interface WeighedGroup {
  readonly backends: readonly Backend[];
  readonly policy: FailoverPolicy;
  readonly placement: Placement;
  /** What is wrong with what is said, one line each. */
  readonly problems: readonly string[];
}

/**
 * The group of backends whose weights are managed. With tiers as somebody wrote them; else the primary
 * Service is the first tier, or the first backend is, and all others are the second, each by its capacity, as
 * linkerd-failover has it. Pure.
 * @param backends names of Services in the order in which they are written, with what is known of each
 * @param texts what holds of tiers and policy (`settleTexts`)
 */
export function weighedGroup(
  backends: ReadonlyMap<string, WeighedBackend>,
  texts: WeighedTexts,
): WeighedGroup {
  const { policy } = readFailoverPolicy(texts.policy);
  const { tiers } = readTiers(texts.tiers);
  const problems = new Problems(FAILOVER_PRIMARY_SERVICE);
  const names = [...backends.keys()];
  let placement: Placement;
  if (tiers === undefined) {
    if (texts.primary !== undefined && !backends.has(texts.primary))
      problems.add(`"${shortened(texts.primary)}" is no backend; the first one serves before all others`);
    placement = byPrimary(names, texts.primary);
  } else placement = placeBackends(names, tiers);
  return {
    backends: placement.places.map((place) => ({ ...place, ...backends.get(place.name) })),
    policy,
    placement,
    problems: problems.lines,
  };
}

function byPrimary(names: readonly string[], primary: string | undefined): Placement {
  const first = primary !== undefined && names.includes(primary) ? primary : names[0];
  const places = names.map((name) => ({ name, tier: name === first ? 0 : 1, factor: 1 }));
  return { places, unknown: [], leftOut: [] };
}
