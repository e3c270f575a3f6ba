import type { V1Service } from '@kubernetes/client-node';
import {
  CLUSTER_NAME_LABEL,
  COPIED_KEYS,
  MIRRORED_SERVICE_LABEL,
  REMOTE_RESOURCE_VERSION,
  REMOTE_SERVICE_FQ_NAME,
  REMOTE_UID,
} from '../base/names.ts';

/** Says whether a label or annotation key must not be copied; from `Link.spec.excludedLabels` and `excludedAnnotations`. */
export type KeyTest = (key: string) => boolean;

/** What decides which of the remote Service's labels and annotations its mirror gets. */
export interface CopyRules {
  readonly excludedLabel: KeyTest;
  readonly excludedAnnotation: KeyTest;
}

type StringMap = Readonly<Record<string, string>>;

/** Groups whose keys describe the source of a mirror; copied, they would make one cluster's bookkeeping look like another's. */
const NEVER_COPIED_GROUPS = ['mirror.linkerd.io', 'multicluster.linkerd.io', 'linkspan.dev'];
const NEVER_COPIED_ANNOTATIONS = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  // Hints are about the zones of the other cluster.
  'service.kubernetes.io/topology-aware-hints',
  'service.kubernetes.io/topology-mode',
]);
/** Copied even when it is excluded: without it a client's proxy would misread the protocol (Linkerd does the same). */
const ALWAYS_COPIED_ANNOTATION = 'config.linkerd.io/opaque-ports';

/** Labels of the remote Service that its mirror gets. */
export function copiedLabels(labels: StringMap | undefined, rules: CopyRules): Record<string, string> {
  return pick(labels, (key) => !inGroup(key, NEVER_COPIED_GROUPS) && !rules.excludedLabel(key));
}

/** Annotations of the remote Service that its mirror gets. */
export function copiedAnnotations(
  annotations: StringMap | undefined,
  rules: CopyRules,
): Record<string, string> {
  return pick(annotations, (key) => {
    if (key === ALWAYS_COPIED_ANNOTATION) return true;
    if (NEVER_COPIED_ANNOTATIONS.has(key) || inGroup(key, NEVER_COPIED_GROUPS)) return false;
    return !rules.excludedAnnotation(key);
  });
}

/** Labels that everything made for one target cluster carries; with `originOf` they are what ownership means. */
export function ownershipLabels(cluster: string): Record<string, string> {
  return { [MIRRORED_SERVICE_LABEL]: 'true', [CLUSTER_NAME_LABEL]: cluster };
}

/** Labels and annotations of a mirror Service. */
export function mirrorMetadata(
  remote: V1Service,
  identity: { readonly cluster: string; readonly fqName: string },
  rules: CopyRules,
): { labels: Record<string, string>; annotations: Record<string, string> } {
  const labels = copiedLabels(remote.metadata?.labels, rules);
  const annotations = copiedAnnotations(remote.metadata?.annotations, rules);
  return {
    labels: { ...labels, ...ownershipLabels(identity.cluster) },
    annotations: {
      ...annotations,
      [REMOTE_SERVICE_FQ_NAME]: identity.fqName,
      [REMOTE_RESOURCE_VERSION]: remote.metadata?.resourceVersion ?? '',
      [REMOTE_UID]: remote.metadata?.uid ?? '',
      [COPIED_KEYS]: copiedKeyList(labels, annotations),
    },
  };
}

/** One list for both maps: a key that is taken back is taken back wherever it is no longer wanted. */
function copiedKeyList(labels: StringMap, annotations: StringMap): string {
  return [...new Set([...Object.keys(labels), ...Object.keys(annotations)])].sort().join(',');
}

/** Keys that an earlier pass copied onto this mirror (annotation `linkspan.dev/copied-keys`). */
export function recordedKeys(annotations: StringMap | undefined): ReadonlySet<string> {
  return new Set((annotations?.[COPIED_KEYS] ?? '').split(',').filter((key) => key !== ''));
}

function inGroup(key: string, groups: readonly string[]): boolean {
  const slash = key.indexOf('/');
  return slash > 0 && groups.includes(key.slice(0, slash));
}

function pick(map: StringMap | undefined, wanted: KeyTest): Record<string, string> {
  return Object.fromEntries(Object.entries(map ?? {}).filter(([key]) => wanted(key)));
}
