/**
 * Divides an amount in proportion to weights; none gets more than its limit while another has not reached its
 * own. What is left when all have is divided by weight nevertheless.
 * @param weights not negative
 * @param limits not negative; may be infinite
 * @returns the part of each; 0 where its weight is 0
 */
export function pour(amount: number, weights: readonly number[], limits: readonly number[]): number[] {
  const { given, left } = pourWithin(amount, weights, limits);
  const sum = weights.reduce((all, weight) => all + weight, 0);
  if (left > 0 && sum > 0)
    for (const [at, weight] of weights.entries()) given[at] = (given[at] ?? 0) + (left * weight) / sum;
  return given;
}

/** As `pour`, but what is left when all have reached their limits is not divided. */
export function pourWithin(
  amount: number,
  weights: readonly number[],
  limits: readonly number[],
): { readonly given: number[]; readonly left: number } {
  const given = weights.map(() => 0);
  let open = weights.map((_, at) => at).filter((at) => (weights[at] ?? 0) > 0);
  let left = amount;
  // In each round one reaches its limit, or all is divided.
  while (open.length > 0 && left > 0) {
    let sum = 0;
    for (const at of open) sum += weights[at] ?? 0;
    const level = left / sum;
    const still: number[] = [];
    for (const at of open) {
      const [fair, limit] = [level * (weights[at] ?? 0), limits[at] ?? 0];
      given[at] = Math.min(fair, limit);
      if (fair < limit) still.push(at);
      else left -= limit;
    }
    if (still.length === open.length) return { given, left: 0 };
    open = still;
  }
  // Nothing is left for those that are still open: take back what the last round gave them.
  for (const at of open) given[at] = 0;
  return { given, left: Math.max(0, left) };
}
