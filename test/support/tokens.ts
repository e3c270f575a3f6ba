/**
 * A ServiceAccount's token as an API server would issue it, unsigned: for code that reads claims. Times in
 * milliseconds since the epoch.
 */
export function serviceAccountToken(options: {
  readonly issuedAt: number;
  /** Undefined: it never ends. */
  readonly expiresAt?: number;
  readonly account?: string;
}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const { issuedAt, expiresAt, account = 'linkerd-multicluster:mirror' } = options;
  const claims = {
    iss: 'https://kubernetes.default.svc',
    sub: `system:serviceaccount:${account}`,
    iat: issuedAt / 1000,
    ...(expiresAt === undefined ? {} : { exp: expiresAt / 1000 }),
  };
  return `${part({ alg: 'RS256' })}.${part(claims)}.signature`;
}
