import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';
import { shortList } from '../imports/import-rules.ts';
import type { EndpointsWanted, MirrorAddress } from './mirrored-endpoints.ts';

/**
 * What the endpoints of a Service show of its addresses. Behind a gateway that does not answer they stay, not
 * ready, as Linkerd leaves them: whoever looks sees what would be there. What is refused, or has no pods
 * behind it, shows nothing, as with Linkerd.
 * @param path why nothing can be sent to them; `Mirrored` where it can
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
