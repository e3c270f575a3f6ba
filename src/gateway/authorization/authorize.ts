import { shortTarget } from '../../api/ports/target-key.ts';
import type { TargetSpec } from '../../discovery/target-spec.ts';
import { ALLOWED_BY_ANNOTATION, ALLOWED_BY_TRUST_DOMAIN } from '../../api/names.ts';
import { matchesIdentity } from '../../identity/x509/peer-certificate.ts';
import { ProxyFailure } from '../../proxy/http/failures.ts';
import type { PolicyVerdict } from './policy-verdict.ts';
import { isOfTrustDomain } from '../../identity/names/trust-domain.ts';

/** What decides whether a request may pass. */
export interface AuthorizationFacts {
  readonly own: string;
  readonly client: string;
  /** `name:port` of what is asked for. */
  readonly label: string;
  /** The target as it is now; undefined when it is not exported. */
  readonly spec: TargetSpec | undefined;
  /** Trust domains whose identities may come in; undefined = all that the trust anchors vouch for. */
  readonly trustDomains: readonly string[] | undefined;
  /** What the cluster's policies say of the client and the target; undefined when it is not exported. */
  readonly policy: PolicyVerdict | undefined;
}

/** What was decided. */
export interface AuthorizationVerdict {
  /** Why the request may not pass; undefined = it may. */
  readonly failure: ProxyFailure | undefined;
  /** `group/kind/name` of what decided; empty = the rule that every identity of the trust domain may. */
  readonly policy: string;
}

/**
 * Whether a client's requests and connections may pass the gateway, whatever they hold: `passedBefore` looks
 * at that. Everything that restricts must allow it: trust domain, the Service's own annotation, the cluster's
 * policies. Pure.
 */
export function authorize(question: AuthorizationFacts): AuthorizationVerdict {
  const { own, client, label, spec, policy } = question;
  const refuse = (kind: 'unknown service' | 'unauthorized', reason: string, by = '') => ({
    failure: new ProxyFailure(kind, reason),
    policy: by,
  });
  if (spec === undefined) return refuse('unknown service', `${label} is not exported by this cluster`);
  if (client === own) return { failure: loopFailure(label), policy: '' };
  const stranger = foreign(question);
  if (stranger !== undefined) return refuse('unauthorized', stranger, ALLOWED_BY_TRUST_DOMAIN);
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

export function loopFailure(label: string): ProxyFailure {
  return new ProxyFailure('gateway loop', `${label} was sent back to the gateway it came from`);
}

function foreign({ client, label, trustDomains }: AuthorizationFacts): string | undefined {
  if (trustDomains?.some((domain) => isOfTrustDomain(client, domain)) !== false) return undefined;
  const domains = trustDomains.join(', ');
  return `${shortTarget(label)}: client ${client} is of none of the trust domains that may use this gateway (${domains})`;
}
