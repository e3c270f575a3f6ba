import { MAX_BASE_WEIGHTS_LENGTH } from './failover-names.ts';
import { readJsonObject } from './json-object.ts';

/**
 * A weight as it stands in an object: a number, a Kubernetes quantity such as `500m` (TrafficSplit v1alpha1),
 * or null where the backend has none, which stands for 1 in routes.
 */
export type WrittenWeight = number | string | null;

/** What is kept of the weight of one backend whose weights are managed. */
export interface KeptWeight {
  /** The backend, by a name that is unique in its list. */
  readonly backend: string;
  /** As its author wrote it: it is put back when nobody manages it any more. */
  readonly base: WrittenWeight;
  /** As it was written last by us; where another stands there, its author has changed it since. */
  readonly wrote: number;
}

/** What is kept of one list of backends. */
export interface KeptList {
  readonly weights: readonly KeptWeight[];
  /**
   * By what its rule can be told from others, wherever it stands; empty: there is one list only, or a version
   * before this one has written it.
   */
  readonly rule: string;
}

/** The same for each list of backends of an object that is managed, by its number: one for each rule. */
export type KeptWeights = ReadonlyMap<number, KeptList>;

/** Longest quantity that is put back. */
const MAX_QUANTITY = 32;
/** Rules of a route: more than Gateway API allows. */
const MAX_LISTS = 256;
const MAX_RULE = 64;

/** The value of `failover.linkspan.dev/base-weights`; undefined: it would be longer than what is read. */
export function writeKeptWeights(lists: KeptWeights): string | undefined {
  const entries = [...lists].map(([at, { weights, rule }]) => [
    at,
    weights.map(({ backend, base, wrote }) => [backend, base, wrote]),
    ...(rule === '' ? [] : [rule]),
  ]);
  const text = JSON.stringify(entries);
  return text.length <= MAX_BASE_WEIGHTS_LENGTH ? text : undefined;
}

/** Reads it; nothing is kept where the text is not valid. Never throws. */
export function readKeptWeights(text: string | undefined): KeptWeights {
  const value: unknown = readJsonObject(text, MAX_BASE_WEIGHTS_LENGTH);
  const found = new Map<number, KeptList>();
  if (!Array.isArray(value) || value.length > MAX_LISTS) return found;
  for (const entry of value as readonly unknown[]) {
    const [at, kept, rule = ''] = Array.isArray(entry) ? (entry as readonly unknown[]) : [];
    if (!Number.isInteger(at) || !Array.isArray(kept)) return new Map();
    if (typeof rule !== 'string' || rule.length > MAX_RULE) return new Map();
    const weights = (kept as readonly unknown[]).map(keptOf);
    if (weights.some((one) => one === undefined)) return new Map();
    found.set(at as number, { weights: weights as readonly KeptWeight[], rule });
  }
  return found;
}

function keptOf(value: unknown): KeptWeight | undefined {
  if (!Array.isArray(value) || value.length !== 3) return undefined;
  const [backend, base, wrote] = value as readonly unknown[];
  if (typeof backend !== 'string' || !isWrittenWeight(base)) return undefined;
  return Number.isInteger(wrote) && (wrote as number) >= 0
    ? { backend, base, wrote: wrote as number }
    : undefined;
}

/** Whether a value can be a weight, from an object of somebody else's. */
export function isWrittenWeight(value: unknown): value is WrittenWeight {
  if (value === null) return true;
  if (typeof value === 'string') return value.length <= MAX_QUANTITY;
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
