import type { V1EndpointSlice } from '@kubernetes/client-node';
import { isDnsLabel } from '../../base/text.ts';
import { isHeadless } from '../../exports/endpoint-slices.ts';
import type { MirrorAddress } from '../objects/mirrored-endpoints.ts';
import type { MirrorFacts } from '../reconcile/mirror-facts.ts';
import type { MirroredPort } from '../objects/mirrored-ports.ts';

/**
 * Host names in a headless Service's slices, sorted, and whether a pod of that name is ready. A name that is
 * no DNS label (no API server of today gives one) would be refused here, so it counts as absent.
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
 * The form of a mirror that does not lead to pods: `headless` with an endpoint mirror for each host, or
 * `ordinary` with a ClusterIP of its own. It cannot be changed in place, and clients keep the ClusterIP, so
 * it changes only where the endpoints demand it.
 * - Pods with host names (a StatefulSet's): headless. A host that is only missed for a moment counts.
 * - Endpoints without host names: ordinary, as with Linkerd. DNS could name none of them.
 * - No endpoints at all: the mirror keeps its form; a new one becomes headless, which is the likelier form.
 * - Slices not listed yet: an ordinary mirror stays as it is; anything else is `unknown`, and nothing is
 *   decided.
 */
export function formOf({ remote, remoteReady, remoteSlices, link, hosts, local }: FormFacts): Form {
  if (!link.headless || !isHeadless(remote)) return 'ordinary';
  const is = local.service === undefined ? undefined : isHeadless(local.service) ? 'headless' : 'ordinary';
  if (remoteReady === undefined) return is === 'ordinary' ? is : 'unknown';
  if (hosts.length > 0) return 'headless';
  return remoteSlices.some(({ endpoints }) => (endpoints ?? []).length > 0) ? 'ordinary' : (is ?? 'headless');
}
export type Form = 'headless' | 'ordinary' | 'unknown';
type FormFacts = Pick<MirrorFacts, 'remote' | 'remoteReady' | 'remoteSlices' | 'link' | 'hosts' | 'local'>;

/** The ClusterIPs of the endpoint mirrors of hosts that are ready, under their names. */
export function hostAddresses(hosts: MirrorFacts['hosts']): MirrorAddress[] {
  return hosts.flatMap(({ host, ready, local }) => {
    const ip = local.service?.spec?.clusterIP;
    return ready && ip !== undefined && ip !== 'None' ? [{ ip, hostname: host }] : [];
  });
}

/**
 * The port on which the pods answer a service port: what the slices say, else the target port. Clients of a
 * headless Service dial pods.
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
