import type { V1EndpointSlice } from '@kubernetes/client-node';
import { isDnsLabel } from '../../base/text.ts';
import { isHeadless } from '../../exports/endpoint-slices.ts';
import type { MirrorAddress } from '../objects/mirrored-endpoints.ts';
import type { MirrorFacts } from '../reconcile/mirror-facts.ts';
import type { MirroredPort } from '../objects/mirrored-ports.ts';

/**
 * The host names in a headless Service's slices, sorted, and whether a pod of each is ready. Names that are
 * no DNS labels, which today's API servers do not have, are left out, because our API server would refuse
 * them.
 */
export function hostsOf(slices: readonly V1EndpointSlice[]): Map<string, boolean> {
  const found = new Map<string, boolean>();
  for (const { hostname, conditions } of slices.flatMap((slice) => slice.endpoints ?? [])) {
    if (hostname === undefined || hostname === null || !isDnsLabel(hostname)) continue;
    found.set(hostname, found.get(hostname) === true || conditions?.ready !== false);
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * The form of a mirror that goes through the gateway: `headless` with an endpoint mirror for each host, or
 * `ordinary` with a ClusterIP of its own. A Service cannot be changed from one to the other, only made again,
 * and clients keep the ClusterIP, so that the form changes only where the endpoints require it.
 * - Pods with host names (a StatefulSet's): headless. A host counts until its grace period is over.
 * - Endpoints without host names: ordinary, as with Linkerd, because DNS has no names for them.
 * - No endpoints at all: the mirror keeps its form; a new one becomes headless, which is the likelier form.
 * - Slices that have not been listed yet: an ordinary mirror stays ordinary; otherwise the form is `unknown`,
 *   and nothing is decided.
 */
export function formOf({ remote, remoteReady, remoteSlices, link, hosts, local }: FormFacts): Form {
  if (!link.headless || !isHeadless(remote)) return 'ordinary';
  const is = local.service === undefined ? undefined : isHeadless(local.service) ? 'headless' : 'ordinary';
  if (remoteReady === undefined) return is === 'ordinary' ? is : 'unknown';
  if (hosts.length > 0) return 'headless';
  return remoteSlices.some(({ endpoints }) => (endpoints ?? []).length > 0) ? 'ordinary' : (is ?? 'headless');
}
/** See `formOf`. */
export type Form = 'headless' | 'ordinary' | 'unknown';
type FormFacts = Pick<MirrorFacts, 'remote' | 'remoteReady' | 'remoteSlices' | 'link' | 'hosts' | 'local'>;

/** The ClusterIPs of the endpoint mirrors of ready hosts, with the hosts' names. */
export function hostAddresses(hosts: MirrorFacts['hosts']): MirrorAddress[] {
  return hosts.flatMap(({ host, ready, local }) => {
    const ip = local.service?.spec?.clusterIP;
    return ready && ip !== undefined && ip !== 'None' ? [{ ip, hostname: host }] : [];
  });
}

/**
 * The port on which the pods serve a service port, because clients of a headless Service connect to pods: the
 * one in the slices, else the target port.
 */
export function podPort(slices: readonly V1EndpointSlice[], port: MirroredPort): number {
  for (const slice of slices) {
    const match = (slice.ports ?? []).find(
      (candidate) => (candidate.name ?? '') === port.name && (candidate.protocol ?? 'TCP') === 'TCP',
    );
    if (match?.port !== undefined) return match.port;
  }
  return typeof port.targetPort === 'number' ? port.targetPort : port.port;
}
