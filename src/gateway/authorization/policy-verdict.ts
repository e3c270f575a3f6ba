import { meshSuffix } from '../../api/linkerd/identity-form.ts';
import { matchesIdentity } from '../../identity/x509/peer-certificate.ts';
import { inNetworks } from './networks.ts';
import { matchesSelector } from './label-match.ts';
import {
  type AuthorizationPolicy,
  isReferenceTo,
  POLICY_GROUP,
  type Server,
  type ServerAuthorization,
} from '../../api/linkerd/linkerd-kinds.ts';
import { byName, type PolicyFacts, type Rule } from './policy-rules.ts';

/** The client that a verdict is about. */
export interface PolicyClient {
  readonly identity: string;
  /** Source address as the gateway sees it: behind NAT that of the translator. */
  readonly address: string;
}

/** Properties of the cluster that the policies depend on. */
export interface PolicySetting {
  /**
   * Control-plane namespace and trust domain, the end of the identities of this cluster's service accounts.
   */
  readonly controlNamespace: string;
  readonly trustDomain: string;
  /** Networks that `cluster-authenticated` and `cluster-unauthenticated` allow. */
  readonly clusterNetworks: readonly string[];
}

/** Whether the cluster's policies allow a client to use a target. */
export interface PolicyVerdict {
  readonly allowed: boolean;
  /** `group/kind/name` of the deciding policy; empty where there are no rules. */
  readonly policy: string;
  /** Why it is refused, without the requested name; empty when allowed. */
  readonly reason: string;
}

/** The verdict without rules. */
export const UNRESTRICTED: PolicyVerdict = { allowed: true, policy: '', reason: '' };

/**
 * Whether all rules allow a client. When allowed, the reported policy is that of the last rule, so the most
 * specific rules come last; when refused, that of the first rule that does not allow it. Pure.
 */
export function policyVerdict(
  facts: PolicyFacts,
  rules: readonly Rule[],
  client: PolicyClient,
  setting: PolicySetting,
): PolicyVerdict {
  let verdict = UNRESTRICTED;
  for (const rule of rules) {
    verdict =
      rule.kind === 'server'
        ? serverVerdict(facts, rule.server, client, setting)
        : defaultVerdict(rule.policy, client, setting);
    if (!verdict.allowed) return verdict;
  }
  return verdict;
}

/** One policy object that allows clients to use a Server. */
interface Grant {
  readonly kind: 'AuthorizationPolicy' | 'ServerAuthorization';
  readonly name: string;
  readonly allows: boolean;
}

function serverVerdict(
  facts: PolicyFacts,
  server: Server,
  client: PolicyClient,
  setting: PolicySetting,
): PolicyVerdict {
  const { name = '', namespace = '' } = server.metadata ?? {};
  const grants: Grant[] = [
    ...facts
      .authorizationPolicies(namespace)
      .filter((policy) => targets(policy, server))
      .sort(byName)
      .map((policy) => ({
        kind: 'AuthorizationPolicy' as const,
        name: policy.metadata?.name ?? '',
        allows: policyAllows(facts, policy, client, setting),
      })),
    ...facts
      .serverAuthorizations(namespace)
      .filter((authorization) => authorizes(authorization, server))
      .sort(byName)
      .map((authorization) => ({
        kind: 'ServerAuthorization' as const,
        name: authorization.metadata?.name ?? '',
        allows: authorizationAllows(authorization, client, setting),
      })),
  ];
  const granting = grants.find((grant) => grant.allows);
  if (granting !== undefined) return allow(POLICY_GROUP, granting.kind, granting.name);
  const access = server.spec?.accessPolicy ?? 'deny';
  if (access !== 'deny' && defaultAllows(access, client, setting)) return allow('', 'default', access);
  const policy = labelOf(POLICY_GROUP, 'Server', name);
  return { allowed: false, policy, reason: refusal(`${namespace}/${name}`, namespace, grants, client) };
}

function refusal(server: string, namespace: string, grants: readonly Grant[], client: PolicyClient): string {
  const who = `client ${client.identity} from ${client.address}`;
  const [only] = grants;
  if (only === undefined) return `Server ${server} has no policy that allows ${who}`;
  if (grants.length === 1) return `${only.kind} ${namespace}/${only.name} does not allow ${who}`;
  return `none of the ${grants.length} policies of Server ${server} allows ${who}`;
}

function allow(group: string, kind: string, name: string): PolicyVerdict {
  return { allowed: true, policy: labelOf(group, kind, name), reason: '' };
}

/** A policy's name as Linkerd's metrics have it: kinds in lower case, names without namespace. */
function labelOf(group: string, kind: string, name: string): string {
  return `${group}/${kind.toLowerCase()}/${name}`;
}

function defaultVerdict(policy: string, client: PolicyClient, setting: PolicySetting): PolicyVerdict {
  if (defaultAllows(policy, client, setting)) return allow('', 'default', policy);
  return {
    allowed: false,
    policy: labelOf('', 'default', policy),
    reason: `the default inbound policy ${policy} does not allow client ${client.identity} from ${client.address}`,
  };
}

/**
 * Whether a default policy, which is known by name only, allows a client. All clients here are authenticated.
 * An unknown name allows nobody.
 */
function defaultAllows(policy: string, { address }: PolicyClient, setting: PolicySetting): boolean {
  switch (policy) {
    case 'all-authenticated':
    case 'all-unauthenticated':
    case 'audit':
      return true;
    case 'cluster-authenticated':
    case 'cluster-unauthenticated':
      return inNetworks(
        setting.clusterNetworks.map((cidr) => ({ cidr })),
        address,
      );
    default:
      return false;
  }
}

/**
 * Whether an AuthorizationPolicy targets a Server. One that targets a route does not count, since it allows
 * less than the whole Server.
 */
function targets({ metadata, spec }: AuthorizationPolicy, server: Server): boolean {
  const target = spec?.targetRef ?? {};
  if (isReferenceTo(target, POLICY_GROUP, 'Server')) return target.name === server.metadata?.name;
  return isReferenceTo(target, '', 'Namespace') && target.name === metadata?.namespace;
}

function policyAllows(
  facts: PolicyFacts,
  { metadata, spec }: AuthorizationPolicy,
  client: PolicyClient,
  setting: PolicySetting,
): boolean {
  return (spec?.requiredAuthenticationRefs ?? []).every((ref) => {
    const { name = '', namespace = metadata?.namespace ?? '' } = ref;
    if (isReferenceTo(ref, POLICY_GROUP, 'MeshTLSAuthentication')) {
      const patterns = patternsOf(facts, namespace, name, setting);
      return patterns.some((pattern) => matchesIdentity(pattern, client.identity));
    }
    if (isReferenceTo(ref, POLICY_GROUP, 'NetworkAuthentication')) {
      const networks = facts.networkAuthentication(namespace, name)?.spec?.networks ?? [];
      return inNetworks(networks, client.address);
    }
    // A requirement of an unknown kind cannot be met.
    if (!isReferenceTo(ref, '', 'ServiceAccount')) return false;
    return matchesIdentity(accountIdentity(name, namespace, setting), client.identity);
  });
}

/**
 * Identity patterns of a MeshTLSAuthentication; none where it does not exist, or refers to an unknown kind.
 */
function patternsOf(
  facts: PolicyFacts,
  namespace: string,
  name: string,
  setting: PolicySetting,
): readonly string[] {
  const spec = facts.meshTlsAuthentication(namespace, name)?.spec ?? {};
  const patterns = [...(spec.identities ?? [])];
  for (const ref of spec.identityRefs ?? []) {
    const { name: of = '' } = ref;
    if (isReferenceTo(ref, '', 'ServiceAccount'))
      patterns.push(accountIdentity(of, ref.namespace ?? namespace, setting));
    else if (isReferenceTo(ref, '', 'Namespace'))
      patterns.push(`*.${accountIdentity('', of, setting).slice(1)}`);
    else return [];
  }
  return patterns;
}

/** Whether a ServerAuthorization is about a Server, which it names or selects by label. */
function authorizes({ spec }: ServerAuthorization, server: Server): boolean {
  const { name, selector } = spec?.server ?? {};
  if (name !== undefined) return name === server.metadata?.name;
  return selector !== undefined && matchesSelector(selector, server.metadata?.labels, false);
}

function authorizationAllows(
  { metadata, spec }: ServerAuthorization,
  client: PolicyClient,
  setting: PolicySetting,
): boolean {
  const { networks, unauthenticated, meshTLS = {} } = spec?.client ?? {};
  if (networks !== undefined && !inNetworks(networks, client.address)) return false;
  if (unauthenticated === true || meshTLS.unauthenticatedTLS === true) return true;
  const own = metadata?.namespace ?? '';
  const accounts = (meshTLS.serviceAccounts ?? []).map(({ name = '', namespace = own }) =>
    accountIdentity(name, namespace, setting),
  );
  return [...(meshTLS.identities ?? []), ...accounts].some((pattern) =>
    matchesIdentity(pattern, client.identity),
  );
}

/**
 * The identity of a service account of this cluster. An account of the same name in another cluster has the
 * same identity only where both share a trust domain.
 */
export function accountIdentity(name: string, namespace: string, setting: PolicySetting): string {
  return `${name}.${namespace}${meshSuffix(setting)}`;
}
