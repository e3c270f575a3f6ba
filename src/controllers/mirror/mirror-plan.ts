import type { V1Endpoints, V1Service } from '@kubernetes/client-node';
import { remoteVersionOf, versionAnnotation } from '../../api/mirror/mirror-annotations.ts';
import { isMirrorKey } from '../../api/mirror/mirror-keys.ts';
import { inheritedKeys } from '../../api/mirror/mirror-metadata.ts';
import type { LocalPart, MirrorFacts } from '../reconcile/mirror-facts.ts';
import {
  createNamespace,
  metadataPatch,
  type RemovableKey,
  removePart,
  specPatch,
  writeSlices,
} from '../reconcile/object-plan.ts';
import {
  besideLeaving,
  contentPatch,
  isLeaving,
  isOurs,
  ownSlices,
  patchStep,
  type Step,
  withoutStranded,
} from '../reconcile/steps.ts';
import type { DesiredPart } from './desired-mirror.ts';
import { planKept } from './kept-endpoints.ts';
import type { Verdict } from './mirror-verdict.ts';

/**
 * The writes, in order, that turn what is there into what the verdict wants; none where nothing differs.
 * Fields and metadata that are not ours (other controllers' or people's) are left alone, and so are objects
 * that are not ours.
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

function writePart(
  actual: LocalPart | undefined,
  desired: DesiredPart,
  { cluster, remote }: { readonly cluster: string; readonly remote: V1Service | undefined },
): Step[] {
  // Whether a Service has a ClusterIP cannot be changed: it is deleted now and made again in the next round.
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
  // The remote resourceVersion changes with every write of the status there; alone it is no reason to write.
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

function writeEndpoints(
  actual: V1Endpoints | undefined,
  desired: V1Endpoints | undefined,
  cluster: string,
): Step | undefined {
  if (actual === undefined) return desired && { verb: 'create', kind: 'endpoints', object: desired };
  // Endpoints of others under our mirror's name are left alone: Linkerd falls back to the slices.
  if (!isOurs(actual, cluster)) return undefined;
  if (desired === undefined) return { verb: 'delete', kind: 'endpoints', target: actual };
  const patch: Record<string, unknown> = { ...contentPatch(actual, desired, ['subsets']) };
  const metadata = metadataPatch(actual.metadata, desired.metadata);
  if (metadata !== undefined) patch['metadata'] = metadata;
  return patchStep('endpoints', actual, patch)[0];
}
