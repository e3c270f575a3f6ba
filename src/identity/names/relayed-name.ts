import { IDENTITY_MARK, meshSuffix } from '../../api/linkerd/identity-form.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { identityName } from './identity-name.ts';

/** Longest identity, in characters: it is a DNS name. */
const MAX_NAME = 253;

/** Whose workloads a relay can name. */
export interface RelayDomain {
  /** Of the mesh's control plane, as the relay's own identity has it. */
  readonly controlNamespace: string;
  readonly trustDomain: string;
}

/**
 * The workloads that a relay may speak for: those of its own trust domain and control plane, which its own
 * identity names. The last marker counts: an account's name may contain dots, and so look like a whole
 * identity. Pure.
 * @param relay the relay's identity
 * @returns undefined where the relay's identity is not of Linkerd's form: it may speak for nobody
 */
export function relayDomain(relay: string): RelayDomain | undefined {
  if (relay.length > MAX_NAME || relay.includes('/')) return undefined;
  const lower = relay.toLowerCase();
  const at = lower.lastIndexOf(IDENTITY_MARK);
  const rest = lower.slice(at + IDENTITY_MARK.length);
  const dot = rest.indexOf('.');
  if (at <= 0 || dot <= 0 || dot === rest.length - 1) return undefined;
  return { controlNamespace: rest.slice(0, dot), trustDomain: rest.slice(dot + 1) };
}

/**
 * The name by which a relay refers to a workload of its cluster: the identity that it would have in the mesh.
 * Pure.
 * @returns undefined where there is no such name: Kubernetes' accounts may have longer names than DNS
 */
export function relayedName(
  domain: RelayDomain,
  workload: { readonly namespace: string; readonly serviceAccount: string },
): string | undefined {
  try {
    return identityName({ ...workload, ...domain });
  } catch (error) {
    if (error instanceof LinkspanError) return undefined;
    throw error;
  }
}

/**
 * Whether a relay may say that it speaks for `name`: a workload of its own domain, in the form in which
 * `relayedName` writes it. Pure; costs no more than the length of a DNS name, whatever comes.
 */
export function mayRelay(relay: string, name: string): boolean {
  const domain = relayDomain(relay);
  if (domain === undefined || name.length > MAX_NAME) return false;
  const suffix = meshSuffix(domain);
  if (!name.endsWith(suffix)) return false;
  const workload = name.slice(0, -suffix.length);
  const dot = workload.lastIndexOf('.');
  if (dot <= 0) return false;
  const [serviceAccount, namespace] = [workload.slice(0, dot), workload.slice(dot + 1)];
  return relayedName(domain, { namespace, serviceAccount }) === name;
}
