import { LEAF_USAGES } from '../../api/names.ts';
import { identityName, serviceAccountOf } from '../names/identity-name.ts';

/** The parts of a PKCS#10 request that the decision depends on. */
export interface RequestFacts {
  /** Attributes of the subject, in order: `CN`, or the OID of another. */
  readonly subject: readonly { readonly type: string; readonly value: string }[];
  readonly dnsNames: readonly string[];
  /** Kinds of the other alternative names: `ip`, `url`, `email`, … */
  readonly otherNames: readonly string[];
  /** Kind of the key: `P-256`, or another one, as text. */
  readonly key: string;
  /** Whether the request's signature verifies, which proves possession of the private key. */
  readonly proven: boolean;
}

/** A CertificateSigningRequest as far as the decision depends on it. */
export interface CsrFacts {
  /** The requester's user name (`spec.username`), which only the API server sets. */
  readonly username: string;
  readonly usages: readonly string[];
  /** Life asked for; undefined when nothing was. */
  readonly expirationSeconds: number | undefined;
  /** Undefined when it does not parse. */
  readonly request: RequestFacts | undefined;
}

/** The mesh whose identities are signed. */
export interface SignerRules {
  readonly controlNamespace: string;
  readonly trustDomain: string;
  /** Longest life that is signed, milliseconds; default a day. */
  readonly maxLifetimeMs?: number;
}

/** Why a request is denied: `reason` of the condition `Denied`. */
export const DENIAL_REASONS = {
  IdentityMismatch: 'The request asks for a name that is not that of the service account which made it.',
  KeyNotAllowed: 'The key is not ECDSA P-256, or the request is not signed with it.',
  NamesNotAllowed: 'There is not exactly one DNS name, or there are addresses, URIs or mail addresses.',
  NotServiceAccount: 'The requester is not a service account, or its name makes no identity.',
  RequestUnreadable: 'The request does not parse.',
  SubjectNotAllowed: 'The subject is neither empty nor the identity as its only common name.',
  UsagesNotAllowed:
    'A usage is none of digital signature, server auth and client auth, or neither end is asked for.',
} as const;
export type DenialReason = keyof typeof DENIAL_REASONS;

export type SignerVerdict =
  | {
      readonly allowed: true;
      readonly identity: string;
      readonly lifetimeMs: number;
      readonly server: boolean;
      readonly client: boolean;
    }
  | { readonly allowed: false; readonly reason: DenialReason; readonly message: string };

/**
 * Life of a certificate when none is asked for, and the shortest that may be asked for; Kubernetes itself
 * takes nothing below ten minutes.
 */
const DEFAULT_SECONDS = 24 * 3600;
const MIN_SECONDS = 600;
/**
 * A leaf cannot be revoked before it expires, so its longest life is for the operator to set, not for the
 * requester.
 */
const DEFAULT_MAX_MS = 24 * 3_600_000;

/**
 * Whether the requester may have the certificate: it must name the identity of the requester's own service
 * account and nothing else, by the rules of Linkerd's identity service (linkerd2 pkg/identity, `checkCSR`)
 * with the account taken from `spec.username` instead of a token. Pure.
 */
export function signerVerdict(facts: CsrFacts, rules: SignerRules): SignerVerdict {
  const identity = identityOfRequester(facts.username, rules);
  if (identity === undefined) {
    return denied(
      'NotServiceAccount',
      `"${short(facts.username)}" is not a service account with an identity`,
    );
  }
  const { request } = facts;
  if (request === undefined) return denied('RequestUnreadable', 'the request is no PKCS#10 request in PEM');
  const wrong = wrongIn(request, identity) ?? wrongUsages(facts.usages);
  if (wrong !== undefined) return wrong;
  const seconds = facts.expirationSeconds ?? DEFAULT_SECONDS;
  return {
    allowed: true,
    identity,
    lifetimeMs: Math.min(rules.maxLifetimeMs ?? DEFAULT_MAX_MS, Math.max(MIN_SECONDS, seconds) * 1000),
    server: facts.usages.includes('server auth'),
    client: facts.usages.includes('client auth'),
  };
}

function identityOfRequester(username: string, rules: SignerRules): string | undefined {
  const account = serviceAccountOf(username);
  if (account === undefined) return undefined;
  try {
    return identityName({ ...account, ...rules });
  } catch {
    // Kubernetes allows service accounts whose names are too long for a DNS name.
    return undefined;
  }
}

function wrongIn(request: RequestFacts, identity: string): SignerVerdict | undefined {
  const { dnsNames, otherNames, subject, key, proven } = request;
  const [name] = dnsNames;
  if (name === undefined || dnsNames.length !== 1) {
    return denied('NamesNotAllowed', `${dnsNames.length} DNS names, where one is wanted: ${identity}`);
  }
  if (otherNames.length > 0) {
    return denied('NamesNotAllowed', `names other than DNS names: ${short(otherNames.join(', '))}`);
  }
  if (name !== identity) {
    return denied('IdentityMismatch', `asked for "${short(name)}", the requester is ${identity}`);
  }
  const [first] = subject;
  if (first !== undefined && (subject.length !== 1 || first.type !== 'CN' || first.value !== identity)) {
    return denied('SubjectNotAllowed', 'the subject must be empty, or the identity as its common name');
  }
  if (key !== 'P-256') return denied('KeyNotAllowed', `the key is ${short(key)}, it must be ECDSA P-256`);
  return proven ? undefined : denied('KeyNotAllowed', 'the request is not signed with its key');
}

function wrongUsages(usages: readonly string[]): SignerVerdict | undefined {
  const foreign = usages.filter((usage) => !(LEAF_USAGES as readonly string[]).includes(usage));
  if (foreign.length > 0) return denied('UsagesNotAllowed', `usages ${short(foreign.join(', '))}`);
  if (usages.includes('server auth') || usages.includes('client auth')) return undefined;
  return denied('UsagesNotAllowed', 'neither server auth nor client auth');
}

function denied(reason: DenialReason, message: string): SignerVerdict {
  return { allowed: false, reason, message };
}

/** Shortens text that a requester wrote, for a condition that people read. */
function short(text: string): string {
  const clean = text.replaceAll(/[^\x20-\x7e]/g, '?');
  return clean.length > 200 ? `${clean.slice(0, 200)}…` : clean;
}
