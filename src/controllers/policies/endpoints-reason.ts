import type { V1Service } from '@kubernetes/client-node';
import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';
import { familyGap, type ServiceWithSlices } from '../objects/address-families.ts';
import { shortList, type ImportNote } from '../imports/import-rules.ts';
import type { PathFacts, RemoteFacts } from '../reconcile/mirror-facts.ts';
import { isLeaving } from '../reconcile/steps.ts';
import { allRefused } from './kept-out.ts';

/**
 * Where the endpoints of a Service here come from: the target's pods, its gateway, the egress pods, or nobody
 * writes any.
 */
export type EndpointsFrom = 'pods' | 'gateway' | 'egress' | 'nobody';

/** Why endpoints get no address that may be used; `Mirrored` where they do. */
export function endpointsReason(facts: RemoteFacts & PathFacts, from: EndpointsFrom): MirrorReason {
  if (from === 'nobody') return 'Mirrored';
  if (facts.remoteReady === 0) return 'NoReadyEndpoints';
  if (from === 'pods') return allRefused(facts) ? 'ImportAddressRefused' : 'Mirrored';
  return pathReason(facts, from) ?? 'Mirrored';
}

/** Why nothing can be sent towards the gateway; undefined when it can. */
function pathReason({ gateway, egress }: PathFacts, from: 'gateway' | 'egress'): MirrorReason | undefined {
  if (gateway === undefined) return 'NoGateway';
  if (gateway.path === 'refused') return gateway.refusal?.reason ?? 'ImportAddressRefused';
  if (gateway.path === 'dead') return 'GatewayDead';
  if (gateway.path === 'unresolved') return 'GatewayUnresolved';
  return from === 'egress' && egress.length === 0 ? 'NoEgress' : undefined;
}

/** What is written for an export, as far as it says how things stand. */
export interface Written {
  /** Why its endpoints get no address that may be used; `Mirrored` where they do. */
  readonly path: MirrorReason;
  readonly gateway: PathFacts['gateway'];
  /**
   * Every Service that stands for it, with the slices that it shall have; asked for only where it matters.
   */
  readonly parts: () => readonly ServiceWithSlices[];
  /** What stands here under the names, whether it is written or not. */
  readonly here: readonly (V1Service | undefined)[];
  /** Ports that are left out. */
  readonly portsLeftOut: readonly string[];
  readonly notes: readonly ImportNote[];
}

/** What is said of an export that is here as it should be, or as nearly so as can be. */
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

/** What holds a Service that is being deleted. */
function heldBy({ metadata }: V1Service): string {
  const { namespace, name, finalizers = [] } = metadata ?? {};
  const held = finalizers.length === 0 ? '' : `, held by ${shortList(finalizers)}`;
  return `Service ${namespace}/${name} is being deleted${held}`;
}
