import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { APEX_MEMBER } from '../../api/egress/egress-record.ts';
import type { EgressPorts } from '../../api/egress/egress-ports.ts';
import { desiredSlices, type MirrorAddress } from '../objects/mirrored-endpoints.ts';
import { mirroredPorts } from '../objects/mirrored-ports.ts';
import { writeSlices } from '../reconcile/object-plan.ts';
import { deletion, type Step } from '../reconcile/steps.ts';

/** The writes by which the clients of a Service get to the egress. Pure. */
export function leadSteps(
  service: V1Service,
  actual: readonly V1EndpointSlice[],
  { ports, egress }: { readonly ports: EgressPorts; readonly egress: readonly MirrorAddress[] },
): Step[] {
  const { namespace = '', name = '' } = service.metadata ?? {};
  const desired = desiredSlices({
    namespace,
    service: name,
    prefix: name,
    // No cluster has this name, so that no Link's mirrors are meant.
    cluster: APEX_MEMBER,
    fqName: undefined,
    gatewayIdentity: undefined,
    addresses: egress,
    withdrawn: [],
    ports: mirroredPorts(service).filter(({ port }) => ports[port] !== undefined),
    portOf: ({ port }) => ports[port] ?? 0,
  });
  return writeSlices(actual, desired, service);
}

/** The writes that take it all back. Pure. */
export function releaseSteps(actual: readonly V1EndpointSlice[]): Step[] {
  return actual.flatMap((slice) => deletion('endpointSlices', slice));
}
