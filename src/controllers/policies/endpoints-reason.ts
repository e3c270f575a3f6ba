import type { V1Service } from '@kubernetes/client-node';
import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';
import { familyGap, type ServiceWithSlices } from '../objects/address-families.ts';
import { shortList, type ImportNote } from '../imports/import-rules.ts';
import type { PathFacts, RemoteFacts } from '../reconcile/mirror-facts.ts';
import { isLeaving } from '../reconcile/steps.ts';
import { allRefused } from './kept-out.ts';

/**
 * What the endpoints of a Service here are: the target's pods, the addresses of its gateway, the egress pods,
 * or none, because Linkerd resolves the Service (`nobody` writes them).
 */
export type EndpointsFrom = 'pods' | 'gateway' | 'egress' | 'nobody';

/** Why the endpoints get no address that may be used; `Mirrored`: they get some. */
export function endpointsReason(facts: RemoteFacts & PathFacts, from: EndpointsFrom): MirrorReason {
  if (from === 'nobody') return 'Mirrored';
  if (facts.remoteReady === 0) return 'NoReadyEndpoints';
  if (from === 'pods') return allRefused(facts) ? 'ImportAddressRefused' : 'Mirrored';
  return pathReason(facts, from) ?? 'Mirrored';
}

/** Why nothing can be sent to the gateway; undefined: it can. */
function pathReason({ gateway, egress }: PathFacts, from: 'gateway' | 'egress'): MirrorReason | undefined {
  if (gateway === undefined) return 'NoGateway';
  if (gateway.path === 'refused') return gateway.refusal?.reason ?? 'ImportAddressRefused';
  if (gateway.path === 'dead') return 'GatewayDead';
  if (gateway.path === 'unresolved') return 'GatewayUnresolved';
  return from === 'egress' && egress.length === 0 ? 'NoEgress' : undefined;
}

/** What is written for an export, as far as its reason and message depend on it. */
export interface Written {
  /** As `endpointsReason`. */
  readonly path: MirrorReason;
  readonly gateway: PathFacts['gateway'];
  /**
   * Every Service here that stands for the export, with the slices that it should have; called only where
   * needed.
   */
  readonly parts: () => readonly ServiceWithSlices[];
  /** The Services that are here under those names now. */
  readonly here: readonly (V1Service | undefined)[];
  /** Ports that are left out, as people write them. */
  readonly portsLeftOut: readonly string[];
  readonly notes: readonly ImportNote[];
}

/** Reason and message of an export whose Service is here, or is being written, as far as that is possible. */
export function standing({ path, gateway, parts, here, portsLeftOut, notes }: Written): {
  readonly reason: MirrorReason;
  readonly message: string;
  readonly notes?: readonly ImportNote[];
} {
  const leaving = here.find(isLeaving);
  const gap = path === 'Mirrored' ? familyGap(parts()) : undefined;
  const reason =
    leaving === undefined ? (gap === undefined ? path : 'AddressFamilyMismatch') : 'BeingDeleted';
  const message = [
    ...(leaving === undefined ? [] : [heldBy(leaving)]),
    ...(gap === undefined ? [] : [gap]),
    ...(reason === gateway?.refusal?.reason ? [gateway.refusal.message] : []),
    ...(portsLeftOut.length === 0
      ? []
      : [`ports left out, only TCP is mirrored: ${portsLeftOut.join(', ')}`]),
    ...notes.map(({ text }) => text),
  ];
  return { reason, message: message.join('; '), ...(notes.length === 0 ? {} : { notes }) };
}

/** A sentence about a Service that is being deleted, with the finalizers that hold it. */
function heldBy({ metadata }: V1Service): string {
  const { namespace, name, finalizers = [] } = metadata ?? {};
  const held = finalizers.length === 0 ? '' : `, held by ${shortList(finalizers)}`;
  return `Service ${namespace}/${name} is being deleted${held}`;
}
