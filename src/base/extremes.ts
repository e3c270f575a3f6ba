/**
 * The largest of any number of values, `least` where there is none that is larger. `Math.max(...values)` ends
 * with an overflow of the stack at some 120,000.
 */
export function largest(values: Iterable<number>, least = -Infinity): number {
  let found = least;
  for (const value of values) if (value > found) found = value;
  return found;
}

/** The smallest of any number of values, `most` where there is none that is smaller. */
export function smallest(values: Iterable<number>, most = Infinity): number {
  let found = most;
  for (const value of values) if (value < found) found = value;
  return found;
}
