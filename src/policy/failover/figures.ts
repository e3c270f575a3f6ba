import type { FailoverFacts } from '../../api/failover/failover-facts.ts';
import type { Backend, Figures } from './backend.ts';
import type { FailoverPolicy } from './failover-policy.ts';
import { backAt, holdMs, isEnough, strictestDrain } from './readiness.ts';

/**
 * The figures that each backend has by itself, ordered by tier, then by name; those that depend on the other
 * backends are still 0.
 */
export function figuresOf(backends: readonly Backend[], policy: FailoverPolicy, now: number): Figures[] {
  // If all weights are 0 they are ignored: otherwise no backend would be used.
  const weighed = backends.some(({ weight = 1 }) => weight > 0);
  return backends
    .map((backend) => initialFigures(backend, weighed ? backend.weight : undefined, policy, now))
    .sort(({ backend: a }, { backend: b }) => a.tier - b.tier || (a.name < b.name ? -1 : 1));
}

/** Without facts a backend counts as one ready endpoint, or as many as the policy expects. */
function initialFigures(
  backend: Backend,
  wish: number | undefined,
  policy: FailoverPolicy,
  now: number,
): Figures {
  const { facts } = backend;
  const expected = expectedOf(backend, policy);
  const ready = facts?.ready ?? expected;
  const usable = facts === undefined || isUsable(facts, expected, policy);
  const { drain: drainedBy, level: drain } = strictestDrain(backend.drains, now);
  const back = facts === undefined ? 1 : backAt(facts, policy, now);
  const phi = usable && wish !== 0 ? drain * back : 0;
  return {
    backend,
    ready,
    expected,
    factor: backend.factor ?? 1,
    wish,
    off: wish === 0,
    usable,
    drain,
    drainedBy,
    holdMs: holdMs(facts?.flaps ?? 0, policy),
    back,
    phi,
    filled: phi,
    room: 0,
    weight: 0,
    load: 0,
    share: 0,
    state: 'Unknown',
    reason: 'FactsUnknown',
  };
}

function expectedOf({ name, facts }: Backend, policy: FailoverPolicy): number {
  return policy.expected.get(name) ?? facts?.expected ?? 1;
}

function isUsable({ path, ready }: FailoverFacts, expected: number, { minHealthy }: FailoverPolicy): boolean {
  return path === 'alive' && isEnough(ready, expected, minHealthy);
}
