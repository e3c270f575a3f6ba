import { X509Certificate } from 'node:crypto';
import { describeError } from '../../api/errors/linkspan-error.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import type { LinkReason } from '../../api/link/link-status.ts';
import { tokenFacts } from '../../linking/token.ts';

/**
 * Before the end of credentials that nothing renews there is a warning: when a third of their life is left,
 * but not earlier than this many milliseconds before the end.
 */
const WARN_SHARE = 1 / 3;
const WARN_AT_MOST_MS = 14 * 86_400_000;

/** When the token or client certificate of a kubeconfig expires. */
export interface Expiry {
  readonly what: 'token' | 'client certificate';
  /** Milliseconds since the epoch; undefined: the token does not say. */
  readonly issuedAt: number | undefined;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/**
 * When the credentials of a kubeconfig expire; undefined: they do not say (the token of a token Secret never
 * does).
 */
export function expiryOf(access: Pick<ClusterAccess, 'bearer' | 'cert'>): Expiry | undefined {
  if (access.bearer !== undefined) {
    const { issuedAt, expiresAt } = tokenFacts(access.bearer);
    return expiresAt === undefined ? undefined : { what: 'token', issuedAt, expiresAt };
  }
  if (access.cert === undefined) return undefined;
  try {
    const certificate = new X509Certificate(access.cert);
    return {
      what: 'client certificate',
      issuedAt: certificate.validFromDate.getTime(),
      expiresAt: certificate.validToDate.getTime(),
    };
  } catch {
    // A certificate that cannot be read here makes TLS fail, which tells of it.
    return undefined;
  }
}

/** What is known of a Link's credentials while it runs. */
export interface CredentialsFacts {
  readonly expiry: Expiry | undefined;
  /** Whether the controller renews the token. */
  readonly renewed: boolean;
  /** Why the last attempt to renew it failed; undefined: it did not. */
  readonly renewalError: Error | undefined;
}

/** Status, reason and message of the condition `CredentialsValid`. */
export interface CredentialsVerdict {
  readonly status: 'True' | 'False';
  readonly reason: LinkReason;
  readonly message: string;
}

/** Whether the credentials are valid, and until when. Pure. @param now milliseconds since the epoch */
export function credentialsVerdict(facts: CredentialsFacts, now: number): CredentialsVerdict {
  const { expiry, renewed, renewalError } = facts;
  const failure = renewalError === undefined ? '' : `; not renewed: ${describeError(renewalError)}`;
  if (expiry === undefined) {
    if (renewalError === undefined) return { status: 'True', reason: 'Accepted', message: '' };
    return { status: 'True', reason: 'RenewalFailed', message: `the token has no end${failure}` };
  }
  const { what, expiresAt } = expiry;
  const date = new Date(expiresAt).toISOString().replace(/\.\d+Z$/, 'Z');
  if (now >= expiresAt) {
    const message = `the ${what} expired on ${date}${failure}; run \`linkspan link\` again`;
    return { status: 'False', reason: 'CredentialsExpired', message };
  }
  if (renewalError !== undefined)
    return {
      status: 'True',
      reason: 'RenewalFailed',
      message: `the ${what} is valid until ${date}${failure}`,
    };
  if (!renewed && now >= warnAt(expiry)) {
    const message = `the ${what} expires on ${date} and nothing renews it; run \`linkspan link\` again before`;
    return { status: 'True', reason: 'CredentialsExpiring', message };
  }
  return { status: 'True', reason: 'Accepted', message: `the ${what} is valid until ${date}` };
}

/**
 * When time alone changes the verdict, milliseconds since the epoch; undefined: never. Pure.
 * @param now milliseconds since the epoch
 */
export function credentialsChangeAt({ expiry, renewed, renewalError }: CredentialsFacts, now: number) {
  if (expiry === undefined || now >= expiry.expiresAt) return undefined;
  const isWarned = renewed || renewalError !== undefined || now >= warnAt(expiry);
  return isWarned ? expiry.expiresAt : warnAt(expiry);
}

function warnAt({ issuedAt, expiresAt }: Expiry): number {
  const life = issuedAt === undefined ? Number.POSITIVE_INFINITY : Math.max(0, expiresAt - issuedAt);
  return expiresAt - Math.min(WARN_AT_MOST_MS, life * WARN_SHARE);
}
