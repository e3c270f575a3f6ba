/** A DNS name without the dot at its end, which says that it is absolute and not part of a search. */
export function withoutFinalDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name;
}

/**
 * A DNS name in the one spelling that look-ups compare: lower case (RFC 4343), without the dot at its end.
 */
export function plainName(name: string): string {
  return withoutFinalDot(name).toLowerCase();
}
