import { accountIdentity } from '../../api/linkerd/identity-form.ts';
import { DEFAULT_CLUSTER_DOMAIN, DEFAULT_LINKERD_NAMESPACE } from '../../api/names.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';

/** The workload that an identity names: a Kubernetes service account in a mesh. */
export interface WorkloadName {
  readonly serviceAccount: string;
  readonly namespace: string;
  /** Namespace of the mesh's control plane, part of every name; default `linkerd`. */
  readonly controlNamespace?: string;
  /** Default `cluster.local`. */
  readonly trustDomain?: string;
}

/** Longest DNS name, in characters (RFC 1035 section 2.3.4). */
const MAX_NAME = 253;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
const SPIFFE = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[A-Za-z0-9._-]+)+$/;

/**
 * Linkerd's name of a workload: `<sa>.<ns>.serviceaccount.identity.<control-ns>.<trust-domain>` (linkerd2
 * pkg/identity).
 * @throws LinkspanError CONFIG_INVALID when a part is no Kubernetes name or the whole is longer than a DNS
 * name may be
 */
export function identityName(workload: WorkloadName): string {
  const control = workload.controlNamespace ?? DEFAULT_LINKERD_NAMESPACE;
  const domain = workload.trustDomain ?? DEFAULT_CLUSTER_DOMAIN;
  requireForm('service account', workload.serviceAccount, SUBDOMAIN);
  requireForm('namespace', workload.namespace, LABEL);
  requireForm('control plane namespace', control, LABEL);
  requireForm('trust domain', domain, SUBDOMAIN);
  const name = accountIdentity({ ...workload, controlNamespace: control, trustDomain: domain });
  requireForm('identity', name, SUBDOMAIN);
  return name;
}

/**
 * Checks a name that a leaf certificate is to carry: a DNS name, or `spiffe://<domain>/<path>`.
 * @returns which SAN holds it
 * @throws LinkspanError CONFIG_INVALID
 */
export function identityKind(name: string): 'dns' | 'uri' {
  if (SPIFFE.test(name)) return 'uri';
  requireForm('identity', name, SUBDOMAIN);
  return 'dns';
}

/**
 * Checks a trust domain and returns it unchanged.
 * @throws LinkspanError CONFIG_INVALID when it is no DNS name
 */
export function requireDomain(domain: string): string {
  requireForm('trust domain', domain, SUBDOMAIN);
  return domain;
}

function requireForm(what: string, value: string, form: RegExp): void {
  if (value.length <= MAX_NAME && form.test(value)) return;
  throw new LinkspanError('CONFIG_INVALID', `${what}: "${value}" is not a valid name`);
}

const USERNAME = /^system:serviceaccount:([a-z0-9-]+):([a-z0-9.-]+)$/;

/**
 * The service account behind a Kubernetes user name or a token's subject,
 * `system:serviceaccount:<ns>:<name>`; undefined for anybody else.
 */
export function serviceAccountOf(
  username: string,
): { readonly namespace: string; readonly serviceAccount: string } | undefined {
  const match = USERNAME.exec(username);
  const [namespace, serviceAccount] = [match?.[1], match?.[2]];
  return namespace === undefined || serviceAccount === undefined ? undefined : { namespace, serviceAccount };
}
