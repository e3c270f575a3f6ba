import { readAnnotation } from '../../api/annotations.ts';
import { type KeptWeights, readKeptWeights } from '../../api/failover/backend-weights.ts';
import { FAILOVER_BASE_WEIGHTS } from '../../api/failover/failover-names.ts';
import { isOverwritten, keptByList, releasedWeights } from './kept-lists.ts';
import {
  type ListWeights,
  type ReadLists,
  readLists,
  type StandingList,
  type WeightedKind,
  type WeightedObject,
} from './weighted-object.ts';
import { changedLists, objectPatch, type WeightsPatch } from './weights-patch.ts';

/** What its author wrote in a list; undefined: that backend stays as it is. */
export interface ReleasedWeights {
  readonly list: StandingList;
  readonly weights: ListWeights;
}

/** What was kept when weights were written. */
export function keptOf({ metadata }: WeightedObject): KeptWeights {
  return readKeptWeights(readAnnotation(metadata?.annotations, FAILOVER_BASE_WEIGHTS));
}

/** All lists of an object, in their order. */
export function allLists({ lists, others }: ReadLists): readonly StandingList[] {
  return [...lists, ...others].sort((a, b) => a.at - b.at);
}

/** What its author wrote in each list of an object. Pure. */
export function releasedLists(
  kind: WeightedKind,
  object: WeightedObject,
  clusterDomain: string,
): ReleasedWeights[] {
  const all = allLists(readLists(kind, object, clusterDomain));
  const kept = keptByList(all, keptOf(object));
  return all.map((list) => ({ list, weights: releasedWeights(list, kept.get(list.at)) }));
}

/**
 * The write that puts back what an author wrote, and takes away what is ours; undefined: there is nothing to
 * put back. Pure.
 */
export function releasePatch(
  kind: WeightedKind,
  object: WeightedObject,
  released: readonly ReleasedWeights[],
): WeightsPatch | undefined {
  return objectPatch(kind, object, {}, changedLists(released));
}

/**
 * What of an object cannot be put back, one line each: what was kept cannot be read, or somebody has written
 * other weights since, which stay. Pure.
 */
export function unreleased(kind: WeightedKind, object: WeightedObject, clusterDomain: string): string[] {
  const kept = keptOf(object);
  if (kept.size === 0) return [`what is kept in ${FAILOVER_BASE_WEIGHTS} cannot be read`];
  const all = allLists(readLists(kind, object, clusterDomain));
  const byList = keptByList(all, kept);
  const lines = all
    .filter((list) => isOverwritten(list, byList.get(list.at)))
    .map(({ at }) => `${all.length > 1 ? `rule ${at + 1}: ` : ''}somebody has written other weights since`);
  const gone = kept.size - byList.size;
  return gone > 0 ? [...lines, `${gone} of its rules are not there any more`] : lines;
}
