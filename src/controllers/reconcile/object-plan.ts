import type { V1EndpointSlice, V1ObjectMeta, V1Service, V1ServiceSpec } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import { isVersionKey, remoteVersionOf } from '../../api/mirror/mirror-annotations.ts';
import { isMirrorKey, type KeyPlace } from '../../api/mirror/mirror-keys.ts';
import { ownershipLabels, recordedKeys } from '../../api/mirror/mirror-metadata.ts';
import { compareVersions } from '../../kube/objects/resource-version.ts';
import type { LocalPart } from './mirror-facts.ts';
import {
  contentPatch,
  deletion,
  isOurs,
  ownerReference,
  ownSlices,
  patchStep,
  plain,
  type Step,
} from './steps.ts';

/** A key that is taken away when it is no longer wanted, whoever put it there. */
export type RemovableKey = (key: string, where: KeyPlace) => boolean;

/** Makes a namespace that mirrors are wanted in. */
export function createNamespace(name: string, cluster: string): Step {
  const object = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: ownershipLabels(cluster) },
  };
  return { verb: 'create', kind: 'namespaces', object };
}

/** The Service goes first, so that a client's name stops resolving before its connections are refused. */
export function removePart(part: LocalPart, cluster: string): Step[] {
  const { service, endpoints } = part;
  return [
    ...(service === undefined ? [] : deletion('services', service)),
    ...ownSlices(part).flatMap((slice) => deletion('endpointSlices', slice)),
    ...(endpoints !== undefined && isOurs(endpoints, cluster) ? deletion('endpoints', endpoints) : []),
  ];
}

/**
 * What the API server fills in for the fields of a mirror's spec that are ours: all that say where its
 * traffic goes or who may send to it. How many address families it has (`ipFamilyPolicy`, `ipFamilies`) is
 * the cluster's or a person's to say.
 */
const SPEC_DEFAULTS = {
  type: 'ClusterIP',
  selector: {},
  sessionAffinity: 'None',
  trafficDistribution: '',
  internalTrafficPolicy: 'Cluster',
  externalIPs: [],
  externalName: '',
  externalTrafficPolicy: '',
  loadBalancerIP: '',
  loadBalancerSourceRanges: [],
  publishNotReadyAddresses: false,
};

/** Fields of a mirror's spec that are ours, as they are compared. */
function ownedSpec(spec: V1ServiceSpec | undefined) {
  const given = Object.entries(spec ?? {}).filter(
    ([field, value]) => field in SPEC_DEFAULTS && value !== undefined && value !== null,
  );
  const fields = { ...SPEC_DEFAULTS, ...(Object.fromEntries(given) as Partial<typeof SPEC_DEFAULTS>) };
  const timeout = spec?.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_SECONDS;
  return {
    ...fields,
    ports: ownedPorts(spec),
    sessionAffinityConfig: fields.sessionAffinity === 'None' ? undefined : timeout,
  };
}
const AFFINITY_SECONDS = 10_800;

function ownedPorts(spec: V1ServiceSpec | undefined) {
  return (spec?.ports ?? []).map((port) => ({
    name: port.name ?? '',
    port: port.port,
    protocol: port.protocol ?? 'TCP',
    targetPort: port.targetPort ?? port.port,
    appProtocol: port.appProtocol ?? '',
  }));
}

/** The part of a merge patch that puts a mirror's spec right; undefined when nothing differs. */
export function specPatch(
  actual: V1ServiceSpec | undefined,
  desired: V1ServiceSpec | undefined,
): Record<string, unknown> | undefined {
  const is = ownedSpec(actual);
  const wanted = ownedSpec(desired);
  const fields = (Object.keys(wanted) as (keyof typeof wanted)[]).filter(
    (field) => !isDeepStrictEqual(plain(is[field]), plain(wanted[field])),
  );
  if (fields.length === 0) return undefined;
  const patch: Record<string, unknown> = {};
  for (const field of fields) patch[field] = desired?.[field] ?? null;
  // Node ports go with the type, and stand in the ports.
  if (fields.includes('type')) patch['ports'] = desired?.ports;
  return patch;
}

/** Writes the slices that differ and deletes those of ours that are not wanted. */
export function writeSlices(
  actual: readonly V1EndpointSlice[],
  desired: readonly V1EndpointSlice[],
  owner: V1Service | undefined,
): Step[] {
  const existing = new Map(actual.map((slice) => [slice.metadata?.name, slice]));
  const wanted = new Set(desired.map((slice) => slice.metadata?.name));
  const steps = desired.flatMap((slice) => writeSlice(existing.get(slice.metadata?.name), slice, owner));
  for (const slice of existing.values()) {
    if (!wanted.has(slice.metadata?.name)) steps.push(...deletion('endpointSlices', slice));
  }
  return steps;
}

function writeSlice(
  actual: V1EndpointSlice | undefined,
  desired: V1EndpointSlice,
  owner: V1Service | undefined,
): Step[] {
  const ownership = owner === undefined ? {} : { ownerReferences: [ownerReference(owner)] };
  const create: Step = {
    verb: 'create',
    kind: 'endpointSlices',
    object: { ...desired, metadata: { ...desired.metadata, ...ownership } },
  };
  if (actual === undefined) return [create];
  // The address family cannot be changed.
  if (actual.addressType !== desired.addressType)
    return [{ verb: 'delete', kind: 'endpointSlices', target: actual }, create];
  const patch: Record<string, unknown> = { ...contentPatch(actual, desired, ['endpoints', 'ports']) };
  const metadata = metadataPatch(actual.metadata, desired.metadata);
  const disowned = owner !== undefined && actual.metadata?.ownerReferences?.[0]?.uid !== owner.metadata?.uid;
  if (metadata !== undefined || disowned) patch['metadata'] = { ...metadata, ...(disowned ? ownership : {}) };
  return patchStep('endpointSlices', actual, patch);
}

export interface MetadataPatch {
  labels?: Record<string, string | null>;
  annotations?: Record<string, string | null>;
}

/**
 * The part of a merge patch that sets what is wanted and takes back what was once copied; undefined when
 * nothing differs but the recorded resourceVersion. Keys that others added stay.
 */
export function metadataPatch(
  actual: V1ObjectMeta | undefined,
  desired: V1ObjectMeta | undefined,
  isRemovable: RemovableKey = isMirrorKey,
): MetadataPatch | undefined {
  const recorded = recordedKeys(actual?.annotations);
  const patchOf = (where: KeyPlace) =>
    mapPatch(actual?.[where], desired?.[where], (key) => recorded.has(key) || isRemovable(key, where));
  const labels = patchOf('labels');
  const annotations = patchOf('annotations');
  const onlyVersion = Object.keys(annotations).every(
    (key) => isVersionKey(key) && isFormerVersion(actual?.annotations, desired?.annotations),
  );
  if (Object.keys(labels).length === 0 && onlyVersion) return undefined;
  return {
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

/**
 * Whether the recorded resourceVersion is one that the remote Service had, as far as anybody can tell, and
 * not what a hand wrote.
 */
function isFormerVersion(actual: StringMap, desired: StringMap): boolean {
  const [is, wanted] = [remoteVersionOf(actual) ?? '', remoteVersionOf(desired)];
  return wanted !== undefined && /^\d{1,20}$/.test(is) && compareVersions(is, wanted) <= 0;
}

type StringMap = Readonly<Record<string, string>> | undefined;

function mapPatch(
  actual: StringMap,
  desired: StringMap,
  isRemovable: (key: string) => boolean,
): Record<string, string | null> {
  const patch: Record<string, string | null> = {};
  for (const [key, value] of Object.entries(desired ?? {})) {
    if (actual?.[key] !== value) patch[key] = value;
  }
  for (const key of Object.keys(actual ?? {})) {
    if (desired?.[key] === undefined && isRemovable(key)) patch[key] = null;
  }
  return patch;
}
