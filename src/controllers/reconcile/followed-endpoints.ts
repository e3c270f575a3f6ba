import type { V1Endpoint, V1Endpoints, V1EndpointSlice } from '@kubernetes/client-node';
import { carrierOf, factsAnnotation, factsTextOf } from '../../api/mirror/slice-facts.ts';
import { notReadyOf, notReadyPatch } from '../../api/mirror/mirror-annotations.ts';
import {
  desiredSlices,
  endpointSubsets,
  podSlices,
  type EndpointsWanted,
  type MirrorAddress,
} from '../objects/mirrored-endpoints.ts';
import { sharedAddresses, shownAddresses } from '../objects/shown-addresses.ts';
import type { GatewayFacts, RemoteFacts } from './mirror-facts.ts';
import { contentPatch, patchStep, type Step } from './steps.ts';

type Shown = Pick<EndpointsWanted, 'addresses' | 'withdrawn' | 'notReady'>;

/**
 * The endpoints of one Service, and what they have to follow while nothing else of the Service is written.
 */
export interface FollowedPart {
  /** Our slices, as they are. */
  readonly slices: readonly V1EndpointSlice[];
  /** Our Endpoints, where there are some. */
  readonly endpoints?: V1Endpoints | undefined;
  /** Whether they lead to egress pods rather than to the gateway. */
  readonly relay: boolean;
  /** Whether slices of others have the same endpoints (`sharedAddresses`); default: they have not. */
  readonly shared?: boolean;
  /** Whether ready pods are known to be behind it; undefined: it is not known. */
  readonly populated: boolean | undefined;
  /** The gateway that traffic goes through; undefined: it is not known. */
  readonly gateway: GatewayFacts | undefined;
  /** Ready egress pods. */
  readonly egress: readonly MirrorAddress[];
  /** Whether the export is known, so that `gateway` is surely the one that it goes through. */
  readonly exported: boolean;
}

/**
 * Whether the export is known to have ready pods; undefined: it is not known, also while the loss of all of
 * them is not believed yet.
 */
export function isPopulated({ remoteReady, removalsHeld, emptiedGraceMs }: RemoteFacts): boolean | undefined {
  if (remoteReady === undefined || emptiedGraceMs > 0) return undefined;
  if (remoteReady > 0) return true;
  return removalsHeld ? undefined : false;
}

/** The writes for endpoints that lead to the gateway or to egress pods. */
export function followEndpoints(part: FollowedPart): Step[] {
  const shown = part.populated === false ? shownAddresses('NoReadyEndpoints', []) : whatIsShown(part);
  if (shown === undefined) return [];
  return write(part, part.shared === true ? sharedAddresses(shown) : shown);
}

/** What the endpoints should show; undefined: they stay as they are. */
function whatIsShown(part: FollowedPart): Shown | undefined {
  const { slices, gateway, relay, exported, populated } = part;
  const current = slices.flatMap(({ endpoints = [] }) => endpoints);
  // The slices were emptied because no pod was ready. Whether one is ready now is not known: they stay empty.
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

/** Whether the gateway is dead, or was when it was last known. */
function isBehindDead({ gateway, slices }: Pick<FollowedPart, 'gateway' | 'slices'>): boolean {
  return gateway?.path === 'dead' || (isUnsure(gateway) && reasonOf(slices) === 'GatewayDead');
}

/**
 * Addresses of the gateway, ready where they are alive. One that has not been probed yet stays as it is.
 * While the export is not known, so does one that the gateway does not have: it may be another gateway's.
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
 * The writes for the endpoints of a headless mirror, which are the ClusterIPs of its endpoint mirrors.
 * @param known those ClusterIPs; undefined: they are not known, and the present endpoints stay
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
 * The writes for slices that hold the addresses of the pods themselves: existing ones follow the target's,
 * none is made.
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
 * An owner for `desiredSlices` and `podSlices`, of whose results only the endpoints are used here: names and
 * labels of the existing slices stay.
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

/**
 * Steps of what is kept as it is, with the facts that its slices are to say: one write for each slice at
 * most.
 * @param facts undefined: what stands there stays
 */
export function sayingFacts(
  steps: readonly Step[],
  slices: readonly V1EndpointSlice[],
  facts: string | undefined,
): Step[] {
  const carrier = carrierOf(slices);
  if (facts === undefined || carrier === undefined || facts === factsTextOf(slices)) return [...steps];
  const said = { annotations: factsAnnotation(facts) };
  const at = steps.findIndex((step) => step.verb === 'patch' && step.target === carrier);
  const step = steps[at];
  if (step?.verb !== 'patch') return [...steps, ...patchStep('endpointSlices', carrier, { metadata: said })];
  const { metadata } = step.patch as { metadata?: { annotations?: object } };
  const annotations = { ...metadata?.annotations, ...said.annotations };
  return steps.with(at, { ...step, patch: { ...step.patch, metadata: { ...metadata, annotations } } });
}

function annotated(object: V1EndpointSlice | V1Endpoints, notReady: string | undefined): object {
  if (notReadyOf(object) === notReady) return {};
  return { metadata: { annotations: notReadyPatch(notReady) } };
}
