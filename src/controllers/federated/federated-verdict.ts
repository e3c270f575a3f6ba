import type { V1EndpointSlice } from '@kubernetes/client-node';
import { federatedName, memberLabel } from '../../api/mirror/federated-members.ts';
import { withFacts } from '../../api/mirror/slice-facts.ts';
import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';
import { desiredSlices, podSlices, type EndpointsOwner } from '../objects/mirrored-endpoints.ts';
import { sharedAddresses, shownAddresses } from '../objects/shown-addresses.ts';
import { mirroredPorts } from '../objects/mirrored-ports.ts';
import { endpointsReason, standing, type EndpointsFrom } from '../policies/endpoints-reason.ts';
import { importNotes } from '../policies/kept-out.ts';
import { type Decided, firstFinding } from '../policies/check-chain.ts';
import { federatedChain, memberSubject } from './federated-policies.ts';
import { prefixOf, type MemberFacts, type Union, unionNow } from './member-facts.ts';

/**
 * What should be done about one membership, and why. `join`: it should exist, with these slices of its own.
 */
export type MemberVerdict = Decided<{ readonly action: 'join'; readonly slices: readonly V1EndpointSlice[] }>;

const chain = federatedChain();

const ENDPOINTS_FROM: Readonly<Record<Union, EndpointsFrom>> = {
  none: 'nobody',
  relay: 'egress',
  pods: 'pods',
};

/** Decides about one membership. Pure: no I/O, no clock. */
export function decideMember(facts: MemberFacts): MemberVerdict {
  return firstFinding(chain, facts, memberSubject(facts)) ?? join(facts);
}

function join(facts: MemberFacts): MemberVerdict {
  const { union, rules, remote, gateway } = facts;
  const path = facts.lost === true ? 'ClusterLost' : endpointsReason(facts, ENDPOINTS_FROM[union]);
  const slices = withFacts(unionSlices(facts, path), facts.factsText);
  const { service } = facts.federated;
  const written = {
    path,
    gateway,
    parts: () => [{ service, slices }],
    here: [service],
    portsLeftOut: [],
    notes: remote === undefined ? [] : importNotes(facts, remote, { rules, pods: union === 'pods' }),
  };
  return { action: 'join', ...standing(written), slices };
}

/** This member's slices. kube-proxy makes the union of all members', and none has to touch another's. */
function unionSlices(facts: MemberFacts, path: MirrorReason): V1EndpointSlice[] {
  const { key, member, union, remote } = facts;
  if (union === 'none' || remote === undefined) return [];
  const service = federatedName(key.name);
  const owner: EndpointsOwner = {
    namespace: key.namespace,
    service,
    prefix: prefixOf(facts),
    cluster: memberLabel(member),
    fqName: undefined,
    gatewayIdentity: undefined,
    notReady: path === 'Mirrored' ? undefined : path,
  };
  if (facts.lost === true) return [];
  if (unionNow(facts) === 'pods')
    return podSlices(owner, facts.remoteSlices, { zoneHints: false, refusal: facts.imports.podRefusal });
  // The slices of all members lead to the same port, that of the group. kube-proxy counts equal endpoints of
  // several slices once, and the port has endpoints as long as one member can be reached (ADR 0036).
  const ports = facts.egressGroups.get(service) ?? facts.egressPorts.get(service) ?? {};
  return desiredSlices({
    ...owner,
    ...sharedAddresses(shownAddresses(path, facts.egress)),
    ports: mirroredPorts(remote),
    portOf: (port) => ports[port.port] ?? 0,
  });
}
