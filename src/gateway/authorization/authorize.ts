import { shortTarget } from '../../api/ports/target-key.ts';
import type { TargetSpec } from '../../discovery/target-spec.ts';
import { ALLOWED_BY_ANNOTATION, ALLOWED_BY_TRUST_DOMAIN } from '../../api/names.ts';
import { matchesIdentity } from '../../identity/x509/peer-certificate.ts';
import { ProxyFailure } from '../../proxy/http/failures.ts';
import type { PolicyVerdict } from './policy-verdict.ts';
import { isOfTrustDomain } from '../../identity/names/trust-domain.ts';

/** The facts that an authorization depends on. */
export interface AuthorizationFacts {
  /** The gateway's identity. */
  readonly own: string;
  /** The client's identity. */
  readonly client: string;
  /** `name:port` of the requested service. */
  readonly label: string;
  /** The target as it is now; undefined when it is not exported. */
  readonly spec: TargetSpec | undefined;
  /** Trust domains whose identities are admitted; undefined = all that the trust anchors vouch for. */
  readonly trustDomains: readonly string[] | undefined;
  /** Verdict of the cluster's policies for client and target; undefined when it is not exported. */
  readonly policy: PolicyVerdict | undefined;
}

/** The decision. */
export interface AuthorizationVerdict {
  /** Why the client is refused; undefined = it is allowed. */
  readonly failure: ProxyFailure | undefined;
  /**
   * `group/kind/name` of the deciding policy; empty = the default that all identities of the trust domains
   * are allowed, or that no policy was asked (unknown service, loop).
   */
  readonly policy: string;
}

/**
 * Whether a client's requests and connections may pass the gateway. Trust domain, the Service's own
 * annotation and the cluster's policies must all allow it. Independent of a request's contents, which
 * `passedBefore` checks. Pure.
 */
export function authorize(facts: AuthorizationFacts): AuthorizationVerdict {
  const { own, client, label, spec, policy } = facts;
  const refuse = (kind: 'unknown service' | 'unauthorized', reason: string, by = '') => ({
    failure: new ProxyFailure(kind, reason),
    policy: by,
  });
  if (spec === undefined) return refuse('unknown service', `${label} is not exported by this cluster`);
  if (client === own) return { failure: loopFailure(label), policy: '' };
  const outsider = foreign(facts);
  if (outsider !== undefined) return refuse('unauthorized', outsider, ALLOWED_BY_TRUST_DOMAIN);
  const { allow } = spec;
  if (allow?.some((pattern) => matchesIdentity(pattern, client)) === false)
    return refuse(
      'unauthorized',
      `${shortTarget(label)}: its allowed clients do not include ${client}`,
      ALLOWED_BY_ANNOTATION,
    );
  if (policy?.allowed === false)
    return refuse('unauthorized', `${shortTarget(label)}: ${policy.reason}`, policy.policy);
  return { failure: undefined, policy: policy?.policy || (allow === undefined ? '' : ALLOWED_BY_ANNOTATION) };
}

/** The failure of a request or connection that this gateway has sent to itself. @param label `name:port` */
export function loopFailure(label: string): ProxyFailure {
  return new ProxyFailure('gateway loop', `${label} was sent back to the gateway it came from`);
}

/** Why a client is of no admitted trust domain; undefined: it is of one. */
function foreign({ client, label, trustDomains }: AuthorizationFacts): string | undefined {
  if (trustDomains?.some((domain) => isOfTrustDomain(client, domain)) !== false) return undefined;
  const domains = trustDomains.join(', ');
  return `${shortTarget(label)}: client ${client} is of none of the trust domains that may use this gateway (${domains})`;
}
