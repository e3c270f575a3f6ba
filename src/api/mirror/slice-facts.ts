import type { V1EndpointSlice } from '@kubernetes/client-node';
import { readAnnotation } from '../annotations.ts';
import { type FailoverFacts, readFacts } from '../failover/failover-facts.ts';
import { FAILOVER_FACTS } from '../failover/failover-names.ts';

/**
 * Facts of a member stand on one of its slices only: a member of a thousand pods has ten of them, and a word
 * about it should be one write.
 */

/** The text of a member's facts. @param slices all slices of that member */
export function factsTextOf(slices: readonly V1EndpointSlice[]): string | undefined {
  return textOf(carrierOf(slices));
}

/** A member's facts; undefined: nothing is known of it. @param slices all slices of that member */
export function factsOf(slices: readonly V1EndpointSlice[]): FailoverFacts | undefined {
  return readFacts(factsTextOf(slices));
}

/** The slice that carries a member's facts, or is to: the first by name of those that have some. */
export function carrierOf(slices: readonly V1EndpointSlice[]): V1EndpointSlice | undefined {
  const carrying = slices.filter((slice) => textOf(slice) !== undefined);
  return firstByName(carrying.length === 0 ? slices : carrying);
}

/** Slices as they should be, with facts on one of them; undefined: without. */
export function withFacts(slices: readonly V1EndpointSlice[], facts: string | undefined): V1EndpointSlice[] {
  const carrier = facts === undefined ? undefined : firstByName(slices);
  return slices.map((slice) =>
    slice === carrier && facts !== undefined
      ? { ...slice, metadata: { ...slice.metadata, annotations: annotated(slice, facts) } }
      : slice,
  );
}

/** The annotation that says it, as a merge patch has it. */
export function factsAnnotation(facts: string): Record<string, string> {
  return { [FAILOVER_FACTS]: facts };
}

function annotated({ metadata }: V1EndpointSlice, facts: string): Record<string, string> {
  return { ...metadata?.annotations, ...factsAnnotation(facts) };
}

function textOf(slice: V1EndpointSlice | undefined): string | undefined {
  return readAnnotation(slice?.metadata?.annotations, FAILOVER_FACTS);
}

function firstByName(slices: readonly V1EndpointSlice[]): V1EndpointSlice | undefined {
  if (slices.length < 2) return slices[0];
  return slices.toSorted((a, b) => ((a.metadata?.name ?? '') < (b.metadata?.name ?? '') ? -1 : 1))[0];
}
