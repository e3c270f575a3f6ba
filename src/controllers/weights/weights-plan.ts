import { type BackendFacts, writeBackendFacts } from '../../api/failover/backend-facts.ts';
import { writeKeptWeights } from '../../api/failover/backend-weights.ts';
import { FAILOVER_BACKEND_FACTS, FAILOVER_BASE_WEIGHTS } from '../../api/failover/failover-names.ts';
import { effectiveAnnotations } from '../../api/mirror/failover-texts.ts';
import { releasePatch } from '../../policy/weights/release.ts';
import { changedLists, objectPatch, type WeightsPatch } from '../../policy/weights/weights-patch.ts';
import type { WeightedKind, WeightedObject } from '../../policy/weights/weighted-object.ts';
import type { WeightsVerdict } from './weights-verdict.ts';

/**
 * The one write that makes an object what the verdict says; undefined: it is so already, or nothing is to be
 * done. Weights and what is kept of them are written together: there is no moment at which what the author
 * wrote is lost. Pure.
 * @param localFacts of the backends that are Services of this cluster
 */
export function weightsPatch(
  kind: WeightedKind,
  object: WeightedObject,
  verdict: WeightsVerdict,
  localFacts: BackendFacts,
): WeightsPatch | undefined {
  if (verdict.action === 'restore') return releasePatch(kind, object, verdict.released);
  if (verdict.action !== 'write') return undefined;
  const { kept, wanted, released, texts } = verdict;
  return objectPatch(
    kind,
    object,
    {
      [FAILOVER_BASE_WEIGHTS]: kept.size === 0 ? undefined : writeKeptWeights(kept),
      [FAILOVER_BACKEND_FACTS]: localFacts.size === 0 ? undefined : writeBackendFacts(localFacts),
      ...effectiveAnnotations(texts),
    },
    changedLists([...wanted, ...released]),
  );
}
