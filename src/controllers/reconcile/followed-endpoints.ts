import type { V1Endpoint, V1Endpoints, V1EndpointSlice } from '@kubernetes/client-node';
import { notReadyOf, notReadyPatch } from '../../api/mirror/mirror-annotations.ts';
import {
  desiredSlices,
  endpointSubsets,
  podSlices,
  type EndpointsWanted,
  type MirrorAddress,
} from '../objects/mirrored-endpoints.ts';
import { shownAddresses } from '../objects/shown-addresses.ts';
import type { GatewayFacts, RemoteFacts } from './mirror-facts.ts';
import { contentPatch, patchStep, type Step } from './steps.ts';

type Shown = Pick<EndpointsWanted, 'addresses' | 'withdrawn' | 'notReady'>;

/** What the endpoints of one Service follow while nothing else of it is written. */
export interface FollowedPart {
  /** Ours, as they are. */
  readonly slices: readonly V1EndpointSlice[];
  /** Ours, where there are some. */
  readonly endpoints?: V1Endpoints | undefined;
  readonly relay: boolean;
  /** Whether the pods behind it are known to be gone, or some known to be there; undefined: neither. */
  readonly populated: boolean | undefined;
  /** The gateway that it leads through; undefined where that is not known. */
  readonly gateway: GatewayFacts | undefined;
  readonly egress: readonly MirrorAddress[];
  /** Whether the export is known, so that the gateway's addresses as they are now are its own. */
  readonly exported: boolean;
}

/**
 * Whether pods are there: known not to be, some known to be, or neither (while a loss of all of them is not
 * believed yet).
 */
export function isPopulated({ remoteReady, removalsHeld, emptiedGraceMs }: RemoteFacts): boolean | undefined {
  if (remoteReady === undefined || emptiedGraceMs > 0) return undefined;
  if (remoteReady > 0) return true;
  return removalsHeld ? undefined : false;
}

/** Endpoints that lead to the gateway or to egress pods. */
export function followEndpoints(part: FollowedPart): Step[] {
  const shown = part.populated === false ? shownAddresses('NoReadyEndpoints', []) : whatIsShown(part);
  return shown === undefined ? [] : write(part, shown);
}

function whatIsShown(part: FollowedPart): Shown | undefined {
  const { slices, gateway, relay, exported, populated } = part;
  const current = slices.flatMap(({ endpoints = [] }) => endpoints);
  // The slices were emptied because no pod was ready, and whether some are now is not known: they stay empty.
  const emptied = (reasonOf(slices) ?? 'NoReadyEndpoints') === 'NoReadyEndpoints';
  if (current.length === 0 && populated !== true && emptied) return undefined;
  if (gateway?.path === 'refused')
    return shownAddresses(gateway.refusal?.reason ?? 'ImportAddressRefused', []);
  if (relay) return throughEgress(part);
  if (gateway === undefined || gateway.known.length === 0) return undefined;
  return throughGateway(current, gateway, exported);
}

function throughEgress({ egress, ...part }: FollowedPart): Shown {
  if (isBehindDead(part)) return shownAddresses('GatewayDead', egress);
  return shownAddresses(egress.length === 0 ? 'NoEgress' : 'Mirrored', egress);
}

/** Whether its gateway is dead, or was when it was last heard of. */
function isBehindDead({ gateway, slices }: Pick<FollowedPart, 'gateway' | 'slices'>): boolean {
  return gateway?.path === 'dead' || (isUnsure(gateway) && reasonOf(slices) === 'GatewayDead');
}

/**
 * An address that has not been heard of stays as it is. While the export is not known, so does one that may
 * be another gateway's.
 */
function throughGateway(
  current: readonly V1Endpoint[],
  gateway: GatewayFacts,
  exported: boolean,
): Shown | undefined {
  const inUse = new Map(current.map((one) => [one.addresses[0] ?? '', one.conditions?.ready !== false]));
  const { alive, unknown, known, path } = gateway;
  const isReady = (ip: string) =>
    alive.includes(ip) || ((unknown.includes(ip) || !known.includes(ip)) && inUse.get(ip) === true);
  const all = exported && path !== 'unknown' ? known : [...inUse.keys()];
  if (all.length === 0) return undefined;
  const [ready, dead] = [all.filter(isReady).sort(), all.filter((ip) => !isReady(ip)).sort()];
  const address = (ip: string) => ({ ip });
  return ready.length === 0
    ? shownAddresses('GatewayDead', dead.map(address))
    : shownAddresses('Mirrored', ready.map(address), dead.map(address));
}

/**
 * Endpoints that are other Services of ours: a headless mirror's are the ClusterIPs of its endpoint mirrors.
 * @param known undefined: nothing is known of them, those that are there stay
 */
export function followHosts(part: FollowedPart, known: readonly MirrorAddress[] | undefined): Step[] {
  if (part.populated === false) return write(part, shownAddresses('NoReadyEndpoints', []));
  const addresses = (part.populated === true ? known : undefined) ?? inUse(part.slices);
  if (addresses.length === 0 && part.populated !== true) return [];
  return write(part, shownAddresses(isBehindDead(part) ? 'GatewayDead' : 'Mirrored', addresses));
}

function inUse(slices: readonly V1EndpointSlice[]): MirrorAddress[] {
  return slices
    .flatMap(({ endpoints = [] }) => endpoints)
    .map(({ addresses: [ip = ''], hostname }) => ({ ip, ...(hostname === undefined ? {} : { hostname }) }));
}

function isUnsure(gateway: GatewayFacts | undefined): boolean {
  return gateway === undefined || ['unknown', 'resolving', 'unresolved'].includes(gateway.path);
}

/**
 * Slices with the pods themselves: those that are there follow, pod by pod.
 * @param prefix what the names of the slices begin with
 */
export function followPods(
  slices: readonly V1EndpointSlice[],
  prefix: string,
  { remoteSlices, imports }: Pick<RemoteFacts, 'remoteSlices' | 'imports'>,
): Step[] {
  const zoneHints = slices.some(({ endpoints = [] }) => endpoints.some(({ hints }) => hints !== undefined));
  const wanted = podSlices({ ...NOBODY, prefix }, remoteSlices, { zoneHints, refusal: imports.podRefusal });
  const byName = new Map(wanted.map((slice) => [slice.metadata?.name, slice.endpoints]));
  return slices.flatMap((slice) => {
    const endpoints = byName.get(slice.metadata?.name) ?? [];
    return patchStep('endpointSlices', slice, contentPatch(slice, { ...slice, endpoints }, ['endpoints']));
  });
}

/**
 * `desiredSlices` and `podSlices` are used here for the endpoints that they give: names and labels are those
 * of the slices that are there, so whose they are stays empty.
 */
const NOBODY = {
  namespace: '',
  service: '',
  prefix: '',
  cluster: '',
  fqName: undefined,
  gatewayIdentity: undefined,
};

function reasonOf(slices: readonly V1EndpointSlice[]): string | undefined {
  return slices.map(notReadyOf).find((reason) => reason !== undefined);
}

function write({ slices, endpoints }: FollowedPart, shown: Shown): Step[] {
  const wanted = desiredSlices({ ...NOBODY, ...shown, ports: [], portOf: () => 0 });
  const steps = slices.flatMap((slice) => {
    const found = wanted.find(({ addressType }) => addressType === slice.addressType);
    const patch = {
      ...contentPatch(slice, { ...slice, endpoints: found?.endpoints ?? [] }, ['endpoints']),
      ...annotated(slice, shown.notReady),
    };
    return patchStep('endpointSlices', slice, patch);
  });
  if (endpoints === undefined) return steps;
  const { subsets: _, ...rest } = endpoints;
  const subsets = endpointSubsets(shown, slices[0]?.ports ?? []);
  const desired: V1Endpoints = subsets === undefined ? rest : { ...rest, subsets };
  const patch = {
    ...contentPatch(endpoints, desired, ['subsets']),
    ...annotated(endpoints, shown.notReady),
  };
  return [...steps, ...patchStep('endpoints', endpoints, patch)];
}

function annotated(object: V1EndpointSlice | V1Endpoints, notReady: string | undefined): object {
  if (notReadyOf(object) === notReady) return {};
  return { metadata: { annotations: notReadyPatch(notReady) } };
}
