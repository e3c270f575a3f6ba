import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import type { RecordEntry } from '../../api/egress/egress-record.ts';
import type { FailoverReason } from '../../api/failover/failover-reasons.ts';
import { MANAGER } from '../../api/names.ts';
import { federatedName, isFederated } from '../../api/mirror/federated-members.ts';
import { isMirrored } from '../../api/mirror/mirror-labels.ts';
import { isExternalName, isHeadless } from '../../exports/endpoint-slices.ts';
import { MANAGED_BY_LABEL } from '../../exports/slice-makers.ts';
import { isLeaving } from '../reconcile/steps.ts';

/**
 * Most ports of Services that lead elsewhere: of one namespace, and of all, of the 20,000 of an egress. Ports
 * that were given back count for as long as nobody else may have them: else whoever makes and deletes
 * Services could take all of them.
 */
export const MAX_APEX_PORTS = { namespace: 100, all: 2000 } as const;

/** Everything that decides about one Service. */
export interface ApexFacts {
  readonly namespace: string;
  readonly name: string;
  /** Undefined: there is none. `unknown`: it has not been read yet. */
  readonly service: V1Service | 'unknown' | undefined;
  /** All of its slices. */
  readonly slices: readonly V1EndpointSlice[];
  /** Its ports about which something says where their requests go. */
  readonly ports: readonly number[];
  /** Whether something is written about it for clients without a mesh: tiers, or a backend elsewhere. */
  readonly isForPlainClients: boolean;
  /** Whether a split, a route or a profile is about it, whatever that says. */
  readonly isSubject: boolean;
  /** Whether all that may be written about it has been read. */
  readonly isComplete: boolean;
  /** Whether there is a Service `<name>-federated`. */
  readonly hasFederated: boolean;
  /** How many ports other Services keep from everybody: of its namespace, and all. */
  readonly kept: { readonly namespace: number; readonly all: number };
  /** Its own ports that have, or had until a moment ago, a port of the egress. */
  readonly own: readonly number[];
}

/**
 * `wait`: not enough is known, what is stays; `ignore`: it is none of ours, and nothing of it is touched;
 * `follow`: it is federated, and only routes hear in their status what of them holds;
 * `release`: it leads nowhere else (any more); `refuse`: it is to lead elsewhere, and cannot; `lead`: it does
 * on these ports, and on no others because of `short`.
 */
export type ApexVerdict =
  | { readonly action: 'wait' | 'ignore' | 'follow' | 'release' }
  | { readonly action: 'refuse'; readonly reason: FailoverReason; readonly message: string }
  | {
      readonly action: 'lead';
      readonly service: V1Service;
      readonly ports: readonly number[];
      readonly short?: { readonly reason: FailoverReason; readonly message: string };
    };

/** What is to be done with a Service. Pure. */
export function apexVerdict(facts: ApexFacts): ApexVerdict {
  const { service } = facts;
  if (service === 'unknown') return { action: 'wait' };
  if (service === undefined || isLeaving(service)) return { action: 'release' };
  // What mirroring makes has slices of its own writers; rules may be written about a federated Service.
  if (isFederated(service)) return { action: facts.isSubject || !facts.isComplete ? 'follow' : 'ignore' };
  return isMirrored(service) ? { action: 'ignore' } : ofUser(service, facts);
}

function ofUser(service: V1Service, facts: ApexFacts): ApexVerdict {
  const { ports, isComplete } = facts;
  if (ports.length === 0) return { action: isComplete ? 'release' : 'wait' };
  if (Object.keys(service.spec?.selector ?? {}).length > 0) return withSelector(facts);
  return unsuitable(service) ?? foreign(facts) ?? lead(service, facts);
}

/**
 * A Service with a selector whose split is for clients with Linkerd's proxy, or for the gateway, is as it
 * should be.
 */
function withSelector({ name, slices, isForPlainClients, isComplete, hasFederated }: ApexFacts): ApexVerdict {
  if (!isForPlainClients) {
    // Slices of ours must not stand beside those of its pods. What was told of it stays until it is known
    // that nothing asks for it: else it comes and goes at each start.
    const isLed = slices.some(({ metadata }) => metadata?.labels?.[MANAGED_BY_LABEL] === MANAGER);
    return { action: isComplete || isLed ? 'release' : 'wait' };
  }
  const instead = hasFederated
    ? `they can use ${federatedName(name)}`
    : 'a Service without selector can lead them elsewhere';
  const message = `clients without a mesh reach its own pods only; ${instead}`;
  return { action: 'refuse', reason: 'ApexHasSelector', message };
}

function unsuitable(service: V1Service): ApexVerdict | undefined {
  if (!isHeadless(service) && !isExternalName(service)) return undefined;
  const what = isHeadless(service) ? 'it is headless' : 'it is of type ExternalName';
  return { action: 'refuse', reason: 'ApexUnsuitable', message: `${what}, so its clients need no endpoints` };
}

function foreign({ slices }: ApexFacts): ApexVerdict | undefined {
  const others = slices.filter(({ metadata }) => metadata?.labels?.[MANAGED_BY_LABEL] !== MANAGER);
  if (others.length === 0) return undefined;
  const names = others.map(({ metadata }) => metadata?.name ?? '').sort();
  const message = `these EndpointSlices are not ours: ${names.slice(0, 5).join(', ')}`;
  return { action: 'refuse', reason: 'ApexHasEndpoints', message };
}

/**
 * A tenant must not take the ports of all others. What leads already goes on: a port more that has no room
 * must not take the others from their clients.
 */
function lead(service: V1Service, { namespace, ports, kept, own }: ApexFacts): ApexVerdict {
  const had = new Set(own);
  const room = Math.max(
    0,
    Math.min(MAX_APEX_PORTS.namespace - kept.namespace - had.size, MAX_APEX_PORTS.all - kept.all - had.size),
  );
  const more = ports.filter((port) => !had.has(port));
  if (more.length <= room) return { action: 'lead', service, ports };
  const left = new Set(more.slice(room));
  const isOwn = kept.namespace + had.size + more.length > MAX_APEX_PORTS.namespace;
  const whose = isOwn
    ? `the namespace ${namespace} may have ${MAX_APEX_PORTS.namespace} ports`
    : `Services of this cluster may have ${MAX_APEX_PORTS.all} ports`;
  const short = {
    reason: 'TooManyApexes',
    message: `${whose}, those given back within 2 minutes included: ${left.size} of ${ports.length} lead nowhere`,
  } as const;
  const led = ports.filter((port) => !left.has(port));
  return led.length === 0 ? { action: 'refuse', ...short } : { action: 'lead', service, ports: led, short };
}

/** How many of these ports are of a namespace. Pure. */
export function inNamespace(kept: readonly RecordEntry[], namespace: string): number {
  return kept.filter(({ mirror }) => mirror.startsWith(`${namespace}/`)).length;
}

/** How many ports a namespace may have more. Pure. @param kept those that all have */
export function roomIn(namespace: string, kept: readonly RecordEntry[]): number {
  return Math.min(MAX_APEX_PORTS.namespace - inNamespace(kept, namespace), MAX_APEX_PORTS.all - kept.length);
}
