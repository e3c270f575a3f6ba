import { dateClaim, tokenClaims } from '../base/token-claims.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { isForbidden, isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { keyOf, serviceAccounts, type KubeObject } from '../api/kubernetes/resource.ts';

/**
 * Shortest life of a token that API servers grant (`expirationSeconds` of a TokenRequest must not be below
 * 600).
 */
export const MIN_TOKEN_TTL_MS = 600_000;

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
  readonly spec: { readonly expirationSeconds: number; readonly audiences?: readonly string[] };
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
  const claims = tokenClaims(token);
  const [, namespace, name] =
    /^system:serviceaccount:([^:]+):([^:]+)$/.exec(typeof claims['sub'] === 'string' ? claims['sub'] : '') ??
    [];
  return {
    account: namespace === undefined || name === undefined ? undefined : { namespace, name },
    issuedAt: dateClaim(claims['iat']),
    expiresAt: dateClaim(claims['exp']),
  };
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
  options: {
    readonly signal?: AbortSignal | undefined;
    /** Whom it is for; default: the API server. */
    readonly audience?: string;
  } = {},
): Promise<string> {
  const { signal, audience } = options;
  const body: TokenRequest = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {
      expirationSeconds: Math.round(ttlMs / 1000),
      ...(audience === undefined ? {} : { audiences: [audience] }),
    },
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
