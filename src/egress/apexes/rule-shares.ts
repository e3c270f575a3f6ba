import type { FailoverTexts } from '../../api/mirror/failover-texts.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { reportContained } from '../../base/isolation.ts';
import { leafKey } from '../../discovery/target-spec.ts';
import { BASIS_POINTS } from '../../policy/failover/apportion.ts';
import { decide } from '../../policy/failover/decide.ts';
import { standbyOrder } from '../../policy/failover/fallback.ts';
import type { WeighedBackend } from '../../policy/failover/weighed-group.ts';
import { type RuleGroup, ruleGroup } from '../../policy/routing/rule-group.ts';
import type { RoutingRule } from '../../policy/routing/routing.ts';
import type { BackendDraw } from '../../proxy/group/group-backend.ts';
import type { RuleDivision } from '../../proxy/routing/rule-division.ts';
import { type Division, divisionOf } from '../shares/division.ts';
import type { ApexBackend, ApexRoute } from '../routes/route.ts';

/** What is known of the backends of apexes. */
export interface KnownBackends {
  /** @param apex its `namespace/name` */
  of(apex: string, backend: ApexBackend): WeighedBackend;
  /** Calls `listener` when something else may be known of backends of the apex. @returns what ends that */
  watch(apex: string, backends: readonly ApexBackend[], listener: () => void): () => void;
}

/** Nothing is known of any backend: weights alone decide. */
export const NOTHING_KNOWN: KnownBackends = { of: () => ({}), watch: () => () => undefined };

/** Shortest and longest time between two looks at what time has changed, milliseconds, as for groups. */
const MIN_WAIT_MS = 50;
const MAX_WAIT_MS = 10_000;
const WHAT = 'shares of apexes';

/**
 * How the requests of each rule of one apex are divided: by `decide`, of what is known of the backends, as
 * soon as that changes, and when time alone changes it.
 */
export class RuleShares {
  readonly #clock: Clock;
  readonly #known: KnownBackends;
  readonly #onChange: (divisionOf: (rule: RoutingRule) => RuleDivision | undefined) => void;
  /** What held of the texts of each rule, by its name. */
  readonly #held = new Map<string, FailoverTexts>();
  /** What was decided last about each rule, by its name. */
  readonly #decided = new Map<string, Division>();
  #route: ApexRoute | undefined;
  #unwatch: () => void = () => undefined;
  #timer: Timer | undefined;

  /** @param onChange called whenever requests are to be divided anew */
  constructor(
    clock: Clock,
    known: KnownBackends,
    onChange: (divisionOf: (rule: RoutingRule) => RuleDivision | undefined) => void,
  ) {
    this.#clock = clock;
    this.#known = known;
    this.#onChange = onChange;
  }

  /** Takes in the rules and the backends as they are now, and divides by them. */
  follow(route: ApexRoute): void {
    this.#route = route;
    this.#unwatch();
    this.#unwatch = this.#known.watch(route.apex, route.backends, () => this.#divide());
    const names = new Set(route.routing.rules.map(({ name }) => name));
    for (const known of [this.#held, this.#decided])
      for (const name of known.keys()) if (!names.has(name)) known.delete(name);
    this.#divide();
  }

  /** What was decided last about the requests of a rule; undefined: nothing yet. */
  of({ name }: Pick<RoutingRule, 'name'>): Division | undefined {
    return this.#decided.get(name);
  }

  close(): void {
    this.#unwatch();
    this.#unwatch = () => undefined;
    this.#timer?.cancel();
    this.#route = undefined;
  }

  #divide(): void {
    const route = this.#route;
    if (route === undefined) return;
    this.#timer?.cancel();
    const now = this.#clock.now();
    const backends = new Map(route.backends.map((backend) => [backend.key, backend]));
    let next = Number.POSITIVE_INFINITY;
    this.#onChange((rule) => {
      try {
        const group = ruleGroup(
          rule,
          (one) => {
            const backend = backends.get(leafKey(one));
            return backend === undefined ? {} : this.#known.of(route.apex, backend);
          },
          this.#held.get(rule.name),
        );
        this.#held.set(rule.name, group.texts);
        const decision = decide(group.backends, group.policy, now, group.weighing);
        next = Math.min(next, decision.nextChangeAt ?? next);
        this.#decided.set(rule.name, divisionOf(decision));
        return ruleDivision(decision, group);
      } catch (error) {
        // Its former division stays until something changes.
        reportContained(error, WHAT, { apex: route.apex });
        return undefined;
      }
    });
    if (next === Number.POSITIVE_INFINITY) return;
    const wait = Math.min(MAX_WAIT_MS, Math.max(MIN_WAIT_MS, next - now));
    this.#timer = this.#clock.after(wait, () => this.#divide(), { unref: true });
  }
}

/** Loads, not rounded shares: a split is exact, however small one of its weights is. */
function ruleDivision(
  { backends, refused }: ReturnType<typeof decide>,
  { weighing }: Pick<RuleGroup, 'weighing'>,
): RuleDivision | undefined {
  const draws = new Map<string, BackendDraw>();
  for (const one of backends) {
    const order = standbyOrder(one);
    if (order === undefined) continue;
    const { weight, load: share } = one;
    draws.set(one.backend.name, { share, order, weight, tier: one.backend.tier });
  }
  if (draws.size === 0) return undefined;
  // As `ruleGroup` has it: tiers are about references that are right.
  return { draws, countsInvalid: weighing === 'exact', refused: refused / BASIS_POINTS };
}
