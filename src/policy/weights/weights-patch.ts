import { isDeepStrictEqual } from 'node:util';
import { readAnnotation } from '../../api/annotations.ts';
import {
  FAILOVER_BACKEND_FACTS,
  FAILOVER_BASE_WEIGHTS,
  FAILOVER_EFFECTIVE_POLICY,
  FAILOVER_EFFECTIVE_TIERS,
} from '../../api/failover/failover-names.ts';
import {
  type ListWeights,
  type StandingList,
  withWeights,
  type WeightedKind,
  type WeightedObject,
} from './weighted-object.ts';

/** What is ours among the annotations of an object that is managed. */
const OURS = [
  FAILOVER_BASE_WEIGHTS,
  FAILOVER_BACKEND_FACTS,
  FAILOVER_EFFECTIVE_TIERS,
  FAILOVER_EFFECTIVE_POLICY,
] as const;

/** A merge patch (RFC 7396), bound to the version of the object that was decided about. */
export interface WeightsPatch {
  readonly metadata: {
    readonly resourceVersion: string | undefined;
    readonly annotations?: Readonly<Record<string, string | null>>;
  };
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** The weights of those lists that have other ones. */
export function changedLists(
  lists: readonly { readonly list: StandingList; readonly weights: ListWeights }[],
): ReadonlyMap<number, ListWeights> {
  const others = lists.filter(({ list, weights }) => !areThere(list, weights));
  return new Map(others.map(({ list, weights }) => [list.at, weights]));
}

/** The write of annotations of ours, and of weights; undefined: there is nothing to write. Pure. */
export function objectPatch(
  kind: WeightedKind,
  object: WeightedObject,
  wanted: Readonly<Record<string, string | undefined>>,
  weights: ReadonlyMap<number, ListWeights>,
): WeightsPatch | undefined {
  const { annotations, resourceVersion } = object.metadata ?? {};
  const changes: Record<string, string | null> = {};
  for (const name of OURS) {
    const [there, value] = [readAnnotation(annotations, name), wanted[name]];
    if (there !== value) changes[name] = value ?? null;
  }
  const isAnnotated = Object.keys(changes).length > 0;
  if (!isAnnotated && weights.size === 0) return undefined;
  return {
    metadata: { resourceVersion, ...(isAnnotated ? { annotations: changes } : {}) },
    ...(weights.size === 0 ? {} : { spec: { [kind.field]: withWeights(kind, object, weights) } }),
  };
}

function areThere({ backends }: StandingList, weights: ListWeights): boolean {
  return isDeepStrictEqual(
    backends.map((backend) => backend?.weight),
    weights,
  );
}
