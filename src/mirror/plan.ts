import type { V1Endpoints, V1EndpointSlice, V1ObjectMeta, V1Service } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import {
  DATA_PATH,
  EGRESS_PORTS,
  MANAGER,
  REMOTE_GATEWAY_IDENTITY,
  REMOTE_RESOURCE_VERSION,
} from '../base/names.ts';
import { MANAGED_BY_LABEL } from './endpoints.ts';
import type { MirrorFacts } from './facts.ts';
import { recordedKeys } from './metadata.ts';
import type { DesiredMirror, Verdict } from './verdict.ts';

/** The kinds of object that mirroring writes. */
export type Kind = 'services' | 'endpointSlices' | 'endpoints';
export type MirrorObject = V1Service | V1EndpointSlice | V1Endpoints;

/** One write. Patches are JSON merge patches (RFC 7396) and, like deletions, bound to the very object that was seen. */
export type Step =
  | { readonly verb: 'create'; readonly kind: Kind; readonly object: MirrorObject }
  | { readonly verb: 'patch'; readonly kind: Kind; readonly target: MirrorObject; readonly patch: object }
  | { readonly verb: 'delete'; readonly kind: Kind; readonly target: MirrorObject };

/** Annotations that only we write: taken away when they are no longer wanted, whoever recorded what. */
const OWN_OPTIONAL_KEYS = [DATA_PATH, EGRESS_PORTS, REMOTE_GATEWAY_IDENTITY];

/**
 * The writes that turn what is there into what the verdict wants, in order. No writes when nothing differs. Fields and metadata that are not ours
 * (added by other controllers or by people) are left alone.
 */
export function plan(facts: MirrorFacts, verdict: Verdict): Step[] {
  if (verdict.action === 'keep') return [];
  return verdict.action === 'remove' ? planRemoval(facts) : planMirror(facts, verdict.desired);
}

function planRemoval(facts: MirrorFacts): Step[] {
  const steps: Step[] = ownSlices(facts).map((target) => ({
    verb: 'delete',
    kind: 'endpointSlices',
    target,
  }));
  if (facts.localEndpoints !== undefined) {
    steps.push({ verb: 'delete', kind: 'endpoints', target: facts.localEndpoints });
  }
  // The Service goes first, so that a client's name stops resolving before its connections are refused.
  return facts.local === undefined
    ? steps
    : [{ verb: 'delete', kind: 'services', target: facts.local }, ...steps];
}

function planMirror(facts: MirrorFacts, desired: DesiredMirror): Step[] {
  const wantedNames = new Set(desired.slices.map((slice) => slice.metadata?.name));
  const existing = new Map(ownSlices(facts).map((slice) => [slice.metadata?.name, slice]));
  const steps: (Step | undefined)[] = [
    writeService(facts.local, desired.service),
    ...desired.slices.map((slice) => writeSlice(existing.get(slice.metadata?.name), slice, facts.local)),
    writeEndpoints(facts.localEndpoints, desired.endpoints),
  ];
  for (const slice of existing.values()) {
    if (!wantedNames.has(slice.metadata?.name))
      steps.push({ verb: 'delete', kind: 'endpointSlices', target: slice });
  }
  return steps.filter((step) => step !== undefined);
}

/** Slices that kube made from Endpoints are kube's to remove, when the Endpoints go or get the skip label. */
function ownSlices(facts: MirrorFacts): V1EndpointSlice[] {
  return facts.localSlices.filter((slice) => slice.metadata?.labels?.[MANAGED_BY_LABEL] === MANAGER);
}

function writeService(actual: V1Service | undefined, desired: V1Service): Step | undefined {
  if (actual === undefined) return { verb: 'create', kind: 'services', object: desired };
  const metadata = metadataPatch(actual.metadata, desired.metadata);
  const portsDiffer = !isDeepStrictEqual(servicePortsOf(actual), servicePortsOf(desired));
  // The remote resourceVersion changes with every status write over there; alone it is no reason to write.
  if (metadata === undefined && !portsDiffer) return undefined;
  const annotations = {
    ...metadata?.annotations,
    [REMOTE_RESOURCE_VERSION]: desired.metadata?.annotations?.[REMOTE_RESOURCE_VERSION] ?? '',
  };
  const patch = {
    metadata: { ...metadata, annotations },
    ...(portsDiffer ? { spec: { ports: desired.spec?.ports } } : {}),
  };
  return { verb: 'patch', kind: 'services', target: actual, patch };
}

function writeSlice(
  actual: V1EndpointSlice | undefined,
  desired: V1EndpointSlice,
  owner: V1Service | undefined,
): Step | undefined {
  const ownership = owner === undefined ? {} : { ownerReferences: [ownerReference(owner)] };
  if (actual === undefined) {
    return {
      verb: 'create',
      kind: 'endpointSlices',
      object: { ...desired, metadata: { ...desired.metadata, ...ownership } },
    };
  }
  const patch: Record<string, unknown> = { ...contentPatch(actual, desired, ['endpoints', 'ports']) };
  const metadata = metadataPatch(actual.metadata, desired.metadata);
  const disowned = owner !== undefined && actual.metadata?.ownerReferences?.[0]?.uid !== owner.metadata?.uid;
  if (metadata !== undefined || disowned) patch['metadata'] = { ...metadata, ...(disowned ? ownership : {}) };
  return patchStep('endpointSlices', actual, patch);
}

/** A patch, unless there is nothing in it. */
function patchStep(kind: Kind, target: MirrorObject, patch: object): Step | undefined {
  return Object.keys(patch).length === 0 ? undefined : { verb: 'patch', kind, target, patch };
}

function writeEndpoints(actual: V1Endpoints | undefined, desired: V1Endpoints | undefined): Step | undefined {
  if (desired === undefined) return actual && { verb: 'delete', kind: 'endpoints', target: actual };
  if (actual === undefined) return { verb: 'create', kind: 'endpoints', object: desired };
  const patch: Record<string, unknown> = { ...contentPatch(actual, desired, ['subsets']) };
  const metadata = metadataPatch(actual.metadata, desired.metadata);
  if (metadata !== undefined) patch['metadata'] = metadata;
  return patchStep('endpoints', actual, patch);
}

/** The owner reference by which a mirror's slices go when the mirror is deleted by hand. */
export function ownerReference(mirror: V1Service): NonNullable<V1ObjectMeta['ownerReferences']>[number] {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    name: mirror.metadata?.name ?? '',
    uid: mirror.metadata?.uid ?? '',
  };
}

interface MetadataPatch {
  labels?: Record<string, string | null>;
  annotations?: Record<string, string | null>;
}

function metadataPatch(
  actual: V1ObjectMeta | undefined,
  desired: V1ObjectMeta | undefined,
): MetadataPatch | undefined {
  const removable = new Set([...recordedKeys(actual?.annotations), ...OWN_OPTIONAL_KEYS]);
  const labels = mapPatch(actual?.labels, desired?.labels, removable);
  const annotations = mapPatch(actual?.annotations, desired?.annotations, removable);
  const onlyVersion = Object.keys(annotations).every((key) => key === REMOTE_RESOURCE_VERSION);
  if (Object.keys(labels).length === 0 && onlyVersion) return undefined;
  return {
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

function mapPatch(
  actual: Readonly<Record<string, string>> | undefined,
  desired: Readonly<Record<string, string>> | undefined,
  removable: ReadonlySet<string>,
): Record<string, string | null> {
  const patch: Record<string, string | null> = {};
  for (const [key, value] of Object.entries(desired ?? {})) {
    if (actual?.[key] !== value) patch[key] = value;
  }
  for (const key of Object.keys(actual ?? {})) {
    if (desired?.[key] === undefined && removable.has(key)) patch[key] = null;
  }
  return patch;
}

function contentPatch<T extends MirrorObject>(
  actual: T,
  desired: T,
  fields: readonly (keyof T & string)[],
): object {
  const differing = fields.filter((field) => !isDeepStrictEqual(plain(actual[field]), plain(desired[field])));
  return Object.fromEntries(differing.map((field) => [field, desired[field] ?? null]));
}

/** The API server fills in what is unset (`nodePort: null`, `conditions.serving`); compared is what we would write. */
function plain(value: unknown): unknown {
  const normalized: unknown = JSON.parse(JSON.stringify(value ?? []));
  return normalized;
}

function servicePortsOf(service: V1Service): unknown {
  return (service.spec?.ports ?? []).map((port) => ({
    name: port.name ?? '',
    port: port.port,
    protocol: port.protocol ?? 'TCP',
    targetPort: port.targetPort ?? port.port,
    appProtocol: port.appProtocol ?? '',
  }));
}
