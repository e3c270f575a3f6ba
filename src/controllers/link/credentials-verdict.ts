import { X509Certificate } from 'node:crypto';
import { describeError } from '../../api/errors/linkspan-error.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import type { LinkReason } from '../../api/link/link-status.ts';
import { tokenFacts } from '../../linking/token.ts';

/**
 * Credentials that nobody renews are warned of when a third of their life is left, and this long before their
 * end at the most: milliseconds.
 */
const WARN_SHARE = 1 / 3;
const WARN_AT_MOST_MS = 14 * 86_400_000;

/** The end of what a kubeconfig proves itself with. */
export interface Expiry {
  readonly what: 'token' | 'client certificate';
  /** Milliseconds since the epoch. */
  readonly issuedAt: number | undefined;
  readonly expiresAt: number;
}

/**
 * When the credentials of a kubeconfig end; undefined where nothing says so (a token Secret's token never
 * ends).
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
    // What cannot be read here is for TLS to complain about.
    return undefined;
  }
}

/** What is known of a Link's credentials while it runs. */
export interface CredentialsFacts {
  readonly expiry: Expiry | undefined;
  /** Whether the controller renews the token. */
  readonly renewed: boolean;
  /** Why the last try to renew it failed; undefined after one that worked. */
  readonly renewalError: Error | undefined;
}

export interface CredentialsVerdict {
  readonly status: 'True' | 'False';
  readonly reason: LinkReason;
  readonly message: string;
}

/** Whether the credentials hold, and until when. Pure. @param now milliseconds since the epoch */
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
 * When the verdict will be another although nothing happens: milliseconds since the epoch; undefined: never.
 * Pure. @param now milliseconds since the epoch
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
