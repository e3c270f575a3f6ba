/** Shares are whole numbers of basis points: so many are all requests. */
export const BASIS_POINTS = 10_000;
/** Differences of remainders below this come from rounding. */
const ROUNDING = 1e-9;

/**
 * Rounds parts of a whole to whole units, by the largest-remainder method: their sum is `units` exactly, each
 * differs from its exact part by less than one, and a part of 0 gets none. Of equal remainders the first is
 * rounded up, so that a caller who sorts by name always gets the same.
 * @param parts not negative; where their sum is 0, each gets 0
 */
export function apportion(parts: readonly number[], units = BASIS_POINTS): number[] {
  let sum = 0;
  for (const part of parts) sum += part;
  if (!(sum > 0)) return parts.map(() => 0);
  let left = units;
  const remainders: number[] = [];
  const whole = parts.map((part, at) => {
    const exact = (part / sum) * units;
    const floor = Math.floor(exact);
    // Rounded, so that remainders that should be equal are.
    remainders[at] = part > 0 ? Math.round((exact - floor) / ROUNDING) : -1;
    left -= floor;
    return floor;
  });
  if (left === 0) return whole;
  const order = parts.map((_, at) => at).sort((a, b) => (remainders[b] ?? 0) - (remainders[a] ?? 0) || a - b);
  for (const at of order.slice(0, Math.max(0, left))) whole[at] = (whole[at] ?? 0) + 1;
  return whole;
}
