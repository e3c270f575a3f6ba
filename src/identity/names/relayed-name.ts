import { IDENTITY_MARK, meshSuffix } from '../../api/linkerd/identity-form.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { identityName } from './identity-name.ts';

/** No identity is longer: it is a DNS name. */
const MAX_NAME = 253;

/** Whose workloads a relay can name. */
export interface RelayDomain {
  /** Of the mesh's control plane, as the relay's own identity has it. */
  readonly controlNamespace: string;
  readonly trustDomain: string;
}

/**
 * The workloads that a relay can name: those of its own trust domain and control plane, so that its name says
 * how far its word goes. The last mark counts: an account may have dots in its name, and so look like a whole
 * identity. Pure.
 * @param relay the relay's identity
 * @returns undefined where that is not of Linkerd's form: such a relay can name nobody
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
 * What a relay calls a workload of its cluster: the identity that the workload would have in the mesh. Pure.
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
