import type { V1Service } from '@kubernetes/client-node';
import { ownGatewayOf } from '../../api/mirror/mirror-annotations.ts';
import { isFlatMirror } from '../../api/mirror/mirror-labels.ts';
import { originOf } from '../../api/mirror/ownership.ts';
import { isHeadless } from '../../exports/endpoint-slices.ts';
import {
  followEndpoints,
  type FollowedPart,
  followHosts,
  followPods,
  isPopulated,
  sayingFacts,
} from '../reconcile/followed-endpoints.ts';
import type { LocalPart, MirrorFacts } from '../reconcile/mirror-facts.ts';
import { isOurs, ownSlices, type Step } from '../reconcile/steps.ts';
import { hostAddresses } from './headless.ts';

/**
 * The writes of a mirror that is otherwise left as it is (not synced, over a budget, held back, without
 * egress ports, …). Whatever keeps its Service from being written, clients must not be sent to pods, gateways
 * or egress pods that are dead, and must be sent to those that are back. Only readiness and addresses in
 * existing slices change, on the ports that they have; what is not known neither adds nor removes an address.
 */
export function planKept(facts: MirrorFacts): Step[] {
  const { local, link, key, hosts, formerHosts } = facts;
  if (local.service === undefined || originOf(local.service, link) !== `${key.namespace}/${key.name}`)
    return [];
  const populated = isPopulated(facts);
  if (isFlatMirror(local.service))
    return link.flatEndpoints && populated !== undefined
      ? followPods(ownSlices(local), local.service.metadata?.name ?? '', facts)
      : [];
  const known = populated !== undefined;
  const shared = {
    relay: link.dataPath === 'relay',
    egress: facts.egress,
    exported: facts.remote !== undefined,
  };
  const part = (one: LocalPart, ready: boolean | undefined): FollowedPart => ({
    ...shared,
    slices: ownSlices(one),
    endpoints: one.endpoints !== undefined && isOurs(one.endpoints, link.cluster) ? one.endpoints : undefined,
    populated: populated === false || ready === false ? false : populated,
    gateway: ownGateway(one.service, facts.remote) ? undefined : facts.gateway,
  });
  const steps = [
    ...hosts.flatMap((host) => followEndpoints(part(host.local, known ? host.ready : undefined))),
    ...formerHosts.flatMap((former) => followEndpoints(part(former, known ? false : undefined))),
    ...(isHeadless(local.service)
      ? followHosts(part(local, undefined), hosts.length > 0 ? hostAddresses(hosts) : undefined)
      : followEndpoints(part(local, undefined))),
  ];
  return sayingFacts(steps, ownSlices(local), facts.factsText);
}

/** Whether the export is not known now and named a gateway of its own when it was. */
function ownGateway(service: V1Service | undefined, remote: V1Service | undefined): boolean {
  return remote === undefined && ownGatewayOf(service) !== undefined;
}
