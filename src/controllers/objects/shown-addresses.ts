import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';
import { shortList } from '../imports/import-rules.ts';
import type { EndpointsWanted, MirrorAddress } from './mirrored-endpoints.ts';

/**
 * Which addresses the endpoints of a Service have, and which of them are ready. Those of a dead gateway stay
 * as not ready, as Linkerd leaves them, so that people see them. Without ready pods, or where all are
 * refused, there are none, as with Linkerd.
 * @param path why nothing can be sent to them; `Mirrored`: it can
 * @param addresses those that are used
 * @param dead further addresses, which do not answer
 */
export function shownAddresses(
  path: MirrorReason,
  addresses: readonly MirrorAddress[],
  dead: readonly MirrorAddress[] = [],
): Pick<EndpointsWanted, 'addresses' | 'withdrawn' | 'notReady'> {
  if (path !== 'Mirrored')
    return {
      addresses: [],
      withdrawn: path === 'GatewayDead' ? [...addresses, ...dead] : [],
      notReady: path,
    };
  const silent = shortList(
    dead.map(({ ip }) => ip),
    4,
  );
  return { addresses, withdrawn: dead, notReady: dead.length === 0 ? undefined : `no answer from ${silent}` };
}

/**
 * The same of a member of a federated Service on the relay path: only those that are ready. The slices of all
 * members hold the same egress pods on the same port. Where one slice says of an endpoint that it is ready
 * and another that it is not, kube-proxy takes the one that it happens to see first, in no order
 * (`pkg/proxy/endpointslicecache.go`).
 */
export function sharedAddresses<S extends Pick<EndpointsWanted, 'withdrawn'>>(shown: S): S {
  return { ...shown, withdrawn: [] };
}
