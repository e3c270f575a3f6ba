/**
 * The claims of a JSON Web Token (RFC 7519). They are not verified here: that is for whoever the token is
 * shown to. Never throws: other kinds of tokens have no claims.
 */
export function tokenClaims(token: string): Readonly<Record<string, unknown>> {
  try {
    const text = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
    const claims: unknown = JSON.parse(text);
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** The last moment that is a date: milliseconds since the epoch (ECMA-262, time range). */
const MAX_DATE = 8.64e15;

/** A claim that is a time, as milliseconds since the epoch; undefined for others, and beyond all dates. */
export function dateClaim(claim: unknown): number | undefined {
  return typeof claim === 'number' && Math.abs(claim * 1000) <= MAX_DATE ? claim * 1000 : undefined;
}
