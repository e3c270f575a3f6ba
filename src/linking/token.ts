import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { isForbidden, isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { keyOf, serviceAccounts, type KubeObject } from '../api/kubernetes/resource.ts';

/**
 * Shortest life of a token that API servers grant (`expirationSeconds` of a TokenRequest must not be below
 * 600).
 */
export const MIN_TOKEN_TTL_MS = 600_000;

/** The last moment that is a date: milliseconds since the epoch (ECMA-262, time range). */
const MAX_DATE = 8.64e15;

/** A ServiceAccount. */
export interface AccountRef {
  readonly namespace: string;
  readonly name: string;
}

/**
 * TokenRequest of authentication.k8s.io/v1. Declared here because client-node's type requires audiences;
 * without any, the API server's own is used.
 */
interface TokenRequest extends KubeObject {
  readonly spec: { readonly expirationSeconds: number };
  readonly status?: { readonly token?: string };
}

/**
 * The claims of a ServiceAccount's token. They are not verified here; that is for the API server. Times are
 * milliseconds since the epoch, by the target's clock.
 */
export interface TokenFacts {
  readonly account: AccountRef | undefined;
  readonly issuedAt: number | undefined;
  /** Undefined for tokens that never expire, or beyond all dates, and for those that are no JWT. */
  readonly expiresAt: number | undefined;
}

/** Reads the claims of a token (RFC 7519). Never throws: other kinds of tokens have no claims. */
export function tokenFacts(token: string): TokenFacts {
  const claims = claimsOf(token);
  const [, namespace, name] =
    /^system:serviceaccount:([^:]+):([^:]+)$/.exec(typeof claims['sub'] === 'string' ? claims['sub'] : '') ??
    [];
  const time = (claim: unknown) =>
    typeof claim === 'number' && Math.abs(claim * 1000) <= MAX_DATE ? claim * 1000 : undefined;
  return {
    account: namespace === undefined || name === undefined ? undefined : { namespace, name },
    issuedAt: time(claims['iat']),
    expiresAt: time(claims['exp']),
  };
}

function claimsOf(token: string): Readonly<Record<string, unknown>> {
  try {
    const text = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
    const claims: unknown = JSON.parse(text);
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/**
 * Requests a token of limited life from the API server (TokenRequest API), which may grant a shorter life
 * than requested.
 * @throws LinkspanError SERVICE_ACCOUNT_MISSING, TOKEN_REFUSED when this account may not `create`
 * serviceaccounts/token, or what the client throws
 */
export async function requestToken(
  client: KubeClient,
  account: AccountRef,
  ttlMs: number,
  signal?: AbortSignal,
): Promise<string> {
  const body: TokenRequest = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: Math.round(ttlMs / 1000) },
  };
  try {
    const answer = await client.createUnder(
      serviceAccounts,
      account,
      'token',
      body,
      signal === undefined ? {} : { signal },
    );
    const token = answer.status?.token ?? '';
    if (token !== '') return token;
    throw new LinkspanError('KUBE_GARBLED', `${client.server} answered a TokenRequest without a token`);
  } catch (error) {
    if (isNotFound(error)) throw missingAccount(account, error);
    if (!isForbidden(error)) throw error;
    throw new LinkspanError(
      'TOKEN_REFUSED',
      `no token for service account ${keyOf(account)}: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

export function missingAccount(account: AccountRef, cause?: unknown): LinkspanError {
  return new LinkspanError(
    'SERVICE_ACCOUNT_MISSING',
    `there is no service account ${keyOf(account)} in the target cluster`,
    { cause },
  );
}
