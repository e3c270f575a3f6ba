/** The one in the middle; NaN where there is none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? NaN) + (sorted[sorted.length >> 1] ?? NaN)) / 2;
}

/** The mean of what several batches found, and its standard error; of one batch, the error is not known. */
export function meanOf(found: readonly number[]): { readonly mean: number; readonly error: number } {
  const mean = found.reduce((sum, one) => sum + one, 0) / found.length;
  const squares = found.reduce((sum, one) => sum + (one - mean) ** 2, 0);
  return { mean, error: Math.sqrt(squares / (found.length - 1) / found.length) };
}
