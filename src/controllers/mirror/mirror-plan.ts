import { isMirrorKey, type KeyPlace } from '../../api/mirror/mirror-keys.ts';
import type {
  V1Endpoints,
  V1EndpointSlice,
  V1ObjectMeta,
  V1Service,
  V1ServiceSpec,
} from '@kubernetes/client-node';
import { isVersionKey, remoteVersionOf, versionAnnotation } from '../../api/mirror/mirror-annotations.ts';
import { isDeepStrictEqual } from 'node:util';
import { compareVersions } from '../../kube/objects/resource-version.ts';
import type { DesiredPart } from './desired-mirror.ts';
import type { LocalPart, MirrorFacts } from '../reconcile/mirror-facts.ts';
import { planKept } from './kept-endpoints.ts';
import { inheritedKeys, ownershipLabels, recordedKeys } from '../../api/mirror/mirror-metadata.ts';
import {
  contentPatch,
  besideLeaving,
  deletion,
  isLeaving,
  isOurs,
  ownerReference,
  ownSlices,
  patchStep,
  plain,
  type Step,
  withoutStranded,
} from '../reconcile/steps.ts';
import type { Verdict } from './mirror-verdict.ts';

/** A key that is taken away when it is no longer wanted, whoever put it there. */
export type RemovableKey = (key: string, where: KeyPlace) => boolean;

/**
 * The writes that turn what is there into what the verdict wants, in order. No writes when nothing differs.
 * Fields and metadata that are not ours (added by other controllers or by people) are left alone, and so are
 * objects without our labels.
 */
export function plan(facts: MirrorFacts, verdict: Verdict): Step[] {
  const { link, key, local, hosts, formerHosts } = facts;
  if (verdict.action === 'namespace') return [createNamespace(key.namespace, link.cluster)];
  if (verdict.action === 'mirror') return planMirror(facts, verdict.parts);
  if (verdict.action === 'keep') return planKept(facts);
  const parts = [local, ...hosts.map((host) => host.local), ...formerHosts];
  return parts.flatMap((part) => removePart(part, link.cluster));
}

function planMirror(
  { link, local, hosts, formerHosts, remote }: MirrorFacts,
  parts: readonly DesiredPart[],
): Step[] {
  const hostParts = hosts.map((host) => host.local);
  const existing = new Map([local, ...hostParts].map((part) => [nameOf(part), part]));
  const wanted = new Set(parts.map(({ service }) => service.metadata?.name));
  const gone = [...hostParts, ...formerHosts].filter(
    (part) => part.service !== undefined && !wanted.has(nameOf(part)),
  );
  // Endpoint mirrors first: the headless mirror needs their addresses.
  const ordered = [...parts.slice(1), ...parts.slice(0, 1)];
  return [
    ...ordered.flatMap((part) =>
      writePart(existing.get(part.service.metadata?.name), part, { cluster: link.cluster, remote }),
    ),
    ...gone.flatMap((part) => removePart(part, link.cluster)),
  ];
}

function nameOf(part: LocalPart): string | undefined {
  return part.service?.metadata?.name;
}

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

function writePart(
  actual: LocalPart | undefined,
  desired: DesiredPart,
  { cluster, remote }: { readonly cluster: string; readonly remote: V1Service | undefined },
): Step[] {
  // Whether a Service has an address of its own cannot be changed: it is made anew, in the next round.
  if (actual?.service !== undefined && headlessDiffers(actual.service, desired.service))
    return removePart(actual, cluster);
  const steps = [writeService(actual?.service, desired.service, remote)];
  steps.push(
    ...writeSlices(actual === undefined ? [] : ownSlices(actual), desired.slices, actual?.service),
    writeEndpoints(actual?.endpoints, desired.endpoints, cluster),
    ...(actual === undefined ? [] : withoutStranded(actual)),
  );
  const known = steps.filter((step) => step !== undefined);
  return isLeaving(actual?.service) ? besideLeaving(known) : known;
}

function headlessDiffers(actual: V1Service, desired: V1Service): boolean {
  return (actual.spec?.clusterIP === 'None') !== (desired.spec?.clusterIP === 'None');
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

function writeService(
  actual: V1Service | undefined,
  desired: V1Service,
  remote: V1Service | undefined,
): Step | undefined {
  if (actual === undefined) return { verb: 'create', kind: 'services', object: desired };
  const inherited = new Set(inheritedKeys(actual, remote));
  const isRemovable: RemovableKey = (key, where) => isMirrorKey(key, where) || inherited.has(key);
  const metadata = metadataPatch(actual.metadata, desired.metadata, isRemovable);
  const spec = specPatch(actual.spec, desired.spec);
  // The remote resourceVersion changes with every status write over there; alone it is no reason to write.
  if (metadata === undefined && spec === undefined) return undefined;
  const version = remoteVersionOf(desired.metadata?.annotations);
  const annotations = {
    ...metadata?.annotations,
    ...versionAnnotation(version),
  };
  const patch = {
    metadata: { ...metadata, annotations },
    ...(spec === undefined ? {} : { spec }),
  };
  return { verb: 'patch', kind: 'services', target: actual, patch };
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

function writeEndpoints(
  actual: V1Endpoints | undefined,
  desired: V1Endpoints | undefined,
  cluster: string,
): Step | undefined {
  if (actual === undefined) return desired && { verb: 'create', kind: 'endpoints', object: desired };
  // Somebody else's, under our mirror's name: Linkerd falls back to the slices.
  if (!isOurs(actual, cluster)) return undefined;
  if (desired === undefined) return { verb: 'delete', kind: 'endpoints', target: actual };
  const patch: Record<string, unknown> = { ...contentPatch(actual, desired, ['subsets']) };
  const metadata = metadataPatch(actual.metadata, desired.metadata);
  if (metadata !== undefined) patch['metadata'] = metadata;
  return patchStep('endpoints', actual, patch)[0];
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
