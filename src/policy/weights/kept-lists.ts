import type { KeptList, KeptWeight, KeptWeights } from '../../api/failover/backend-weights.ts';
import type { ListedBackend, ListWeights, StandingList } from './weighted-object.ts';

/**
 * What is kept of each list as it stands now, by its number. Rules move when their author puts another before
 * them: what is kept goes with what the rule says, and with its number only where that was changed. Pure.
 */
export function keptByList(
  lists: readonly Pick<StandingList, 'at' | 'rule'>[],
  kept: KeptWeights,
): ReadonlyMap<number, KeptList> {
  const left = new Map(kept);
  const found = new Map<number, KeptList>();
  const take = (at: number, from: number | undefined) => {
    const one = from === undefined ? undefined : left.get(from);
    if (from === undefined || one === undefined) return;
    left.delete(from);
    found.set(at, one);
  };
  for (const { at, rule } of lists) if (left.get(at)?.rule === rule) take(at, at);
  for (const { at, rule } of lists)
    if (!found.has(at)) take(at, [...left].find(([, one]) => one.rule === rule && rule !== '')?.[0]);
  for (const { at } of lists) if (!found.has(at)) take(at, at);
  return found;
}

/** What an author wrote stays kept as long as what stands there is what we wrote. */
export function keptFor(
  backends: readonly ListedBackend[],
  before: KeptList | undefined,
  weights: readonly number[],
): KeptWeight[] {
  const known = byBackend(before);
  return backends.map(({ id, weight }, nth) => {
    const one = known.get(id);
    return { backend: id, base: one?.wrote === weight ? one.base : weight, wrote: weights[nth] ?? 0 };
  });
}

/** The weights of a list that nobody manages any more: what somebody has written since is his. */
export function releasedWeights({ backends }: StandingList, kept: KeptList | undefined): ListWeights {
  const known = byBackend(kept);
  return backends.map((backend) => {
    if (backend === undefined) return undefined;
    const one = known.get(backend.id);
    return one?.wrote === backend.weight ? one.base : backend.weight;
  });
}

/** Whether somebody has written other weights over ours. */
export function isOverwritten({ backends }: StandingList, kept: KeptList | undefined): boolean {
  const known = byBackend(kept);
  return backends.some((backend) => {
    const one = backend === undefined ? undefined : known.get(backend.id);
    return one !== undefined && one.wrote !== backend?.weight;
  });
}

function byBackend(kept: KeptList | undefined): ReadonlyMap<string, KeptWeight> {
  return new Map((kept?.weights ?? []).map((one) => [one.backend, one]));
}
