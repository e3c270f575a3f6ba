import type { V1EndpointSlice, V1ObjectMeta, V1Service, V1ServiceSpec } from '@kubernetes/client-node';
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
  saysTheSame,
  type Step,
} from './steps.ts';

/** Whether a label or annotation is removed where it is not wanted, whoever has set it. */
export type RemovableKey = (key: string, where: KeyPlace) => boolean;

/** Makes a namespace for mirrors of a cluster. */
export function createNamespace(name: string, cluster: string): Step {
  const object = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: ownershipLabels(cluster) },
  };
  return { verb: 'create', kind: 'namespaces', object };
}

/**
 * Deletes a Service with its slices and Endpoints, as far as they are ours. The Service first, so that its
 * name stops resolving before connections are refused.
 */
export function removePart(part: LocalPart, cluster: string): Step[] {
  const { service, endpoints } = part;
  return [
    ...(service === undefined ? [] : deletion('services', service)),
    ...ownSlices(part).flatMap((slice) => deletion('endpointSlices', slice)),
    ...(endpoints !== undefined && isOurs(endpoints, cluster) ? deletion('endpoints', endpoints) : []),
  ];
}

/**
 * The fields of a mirror's spec that are ours, with the API server's defaults: all that say where its traffic
 * goes or who may send to it. Not the address families (`ipFamilyPolicy`, `ipFamilies`), which are up to the
 * cluster or a person.
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

/** The fields of a mirror's spec that are ours, in the form in which they are compared. */
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
/** The API server's default of `sessionAffinityConfig.clientIP.timeoutSeconds`. */
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

/** The spec of a merge patch that corrects a mirror's fields that are ours; undefined: none differs. */
export function specPatch(
  actual: V1ServiceSpec | undefined,
  desired: V1ServiceSpec | undefined,
): Record<string, unknown> | undefined {
  const is = ownedSpec(actual);
  const wanted = ownedSpec(desired);
  const fields = (Object.keys(wanted) as (keyof typeof wanted)[]).filter(
    (field) => !saysTheSame(is[field], wanted[field]),
  );
  if (fields.length === 0) return undefined;
  const patch: Record<string, unknown> = {};
  for (const field of fields) patch[field] = desired?.[field] ?? null;
  // With a type that somebody has set, the ports have node ports, which are to go too.
  if (fields.includes('type')) patch['ports'] = desired?.ports;
  return patch;
}

/**
 * Writes the slices that differ and deletes those that are not wanted.
 * @param actual our slices that are there
 * @param owner their Service; undefined: it is being made
 */
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
  // The address family of a slice cannot be changed.
  if (actual.addressType !== desired.addressType)
    return [{ verb: 'delete', kind: 'endpointSlices', target: actual }, create];
  const patch: Record<string, unknown> = { ...contentPatch(actual, desired, ['endpoints', 'ports']) };
  const metadata = metadataPatch(actual.metadata, desired.metadata);
  const disowned = owner !== undefined && actual.metadata?.ownerReferences?.[0]?.uid !== owner.metadata?.uid;
  if (metadata !== undefined || disowned) patch['metadata'] = { ...metadata, ...(disowned ? ownership : {}) };
  return patchStep('endpointSlices', actual, patch);
}

/** The metadata of a merge patch; null removes a key. */
export interface MetadataPatch {
  labels?: Record<string, string | null>;
  annotations?: Record<string, string | null>;
}

/**
 * The metadata of a merge patch that sets what is wanted and removes what was once copied and is not wanted
 * any more; undefined: nothing differs but the recorded resourceVersion. Keys that others added stay.
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
 * Whether the recorded resourceVersion may be one that the remote Service had before; otherwise somebody has
 * edited it.
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
