import { apportion, BASIS_POINTS } from './apportion.ts';
import type { Decision } from './decide.ts';

/** The sum of a route's weights, and the largest that the Gateway API takes. */
export const ROUTE_SCALE = 1_000_000;
/**
 * The largest sum of a TrafficSplit's weights: Linkerd's controller multiplies weights by 10,000, and the sum
 * must fit into 32 bits (`profile_translator.go`). With a larger one, its proxy ends with a panic.
 */
export const MAX_SPLIT_SUM = 429_496;
/** The largest sum of all standbys' weights, per million: a basis point. */
export const MAX_STANDBYS_PPM = ROUTE_SCALE / BASIS_POINTS;

/** Weights by the names of backends. */
export type BackendWeights = ReadonlyMap<string, number>;

/**
 * The weights of a route for a decision. At least one is positive: if all were 0, Linkerd's proxy would end
 * with a panic. A backend that can be used and has no share gets the weight `standby`, so that a sidecar can
 * fail over to it while no controller runs. One that cannot be used, is drained or has weight 0 gets 0.
 * @param standbyPpm per million; 0: standbys get no weight
 * @returns undefined where all requests are refused, which weights cannot express: the present ones must stay
 */
export function routeWeights({ backends }: Decision, standbyPpm: number): BackendWeights | undefined {
  if (backends.every(({ share }) => share === 0)) return undefined;
  const standbys = backends.filter(
    ({ share, usable, off, drain }) => share === 0 && usable && !off && drain > 0,
  );
  const each = Math.min(standbyPpm, Math.max(1, Math.floor(MAX_STANDBYS_PPM / Math.max(1, standbys.length))));
  // With more standbys than units to divide, only the first ones get a weight.
  const chosen = new Set(standbys.slice(0, MAX_STANDBYS_PPM).map(({ backend }) => backend.name));
  return new Map(
    backends.map(({ backend: { name }, share }) => [
      name,
      chosen.has(name) ? each : share * (ROUTE_SCALE / BASIS_POINTS),
    ]),
  );
}

/**
 * The weights of a TrafficSplit, or of a ServiceProfile's `dstOverrides`, for a decision: shares in basis
 * points, of which at least one is positive.
 * @returns undefined where all requests are refused, which weights cannot express: the present ones must stay
 */
export function splitWeights({ backends }: Decision): BackendWeights | undefined {
  if (backends.every(({ share }) => share === 0)) return undefined;
  return new Map(backends.map(({ backend: { name }, share }) => [name, share]));
}

/** The shares that weights amount to, in basis points; empty where all weights are 0. */
export function sharesOf(weights: BackendWeights): ReadonlyMap<string, number> {
  const entries = [...weights].sort(([a], [b]) => (a < b ? -1 : 1));
  const shares = apportion(entries.map(([, weight]) => Math.max(0, weight)));
  if (shares.every((share) => share === 0)) return new Map();
  return new Map(entries.map(([name], at) => [name, shares[at] ?? 0]));
}
