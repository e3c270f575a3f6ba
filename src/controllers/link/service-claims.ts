import type { V1Service } from '@kubernetes/client-node';
import { keyOf } from '../../api/kubernetes/resource.ts';
import type { Link } from '../../api/link/link-schema.ts';
import { isExported } from '../mirror/selected-exports.ts';
import { memberClaim } from '../removals/drop-guard.ts';

/** The drop guard's claims of a Service of the target. */
export function claimsOf(service: V1Service, link: Link): string[] {
  const key = keyOf(service);
  const mirror = isExported(service, link) ? [key] : [];
  return link.federatedServiceSelector.matches(service.metadata?.labels)
    ? [...mirror, memberClaim(key)]
    : mirror;
}
