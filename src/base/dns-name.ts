/** A DNS name without its final dot, which marks it as absolute (no search domains are tried). */
export function withoutFinalDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name;
}

/**
 * A DNS name in the one spelling that look-ups compare: lower case (RFC 4343), without the dot at its end.
 */
export function plainName(name: string): string {
  return withoutFinalDot(name).toLowerCase();
}
