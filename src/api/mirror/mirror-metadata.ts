import { MIRROR_ANNOTATION_GROUPS } from './mirror-keys.ts';
import type { V1Service } from '@kubernetes/client-node';
import { COPIED_KEYS, MULTICLUSTER_DOMAINS, OPAQUE_PORTS, SLO, TAP, VIZ_DISABLE_TAP } from '../names.ts';
import { originAnnotations } from './mirror-annotations.ts';
import { clusterOf, isMirrored, type Labelled, mirrorLabels } from './mirror-labels.ts';
import { readAnnotation } from '../annotations.ts';
import { FAILOVER_GROUPS } from '../failover/failover-names.ts';
import type { MirrorOwner } from './ownership.ts';

/** A test of a label or annotation key. */
export type KeyTest = (key: string) => boolean;

/** The rules by which a mirror gets labels and annotations of the remote Service. */
export interface CopyRules {
  /** From `Link.spec.excludedLabels` and `excludedAnnotations`. */
  readonly excludedLabel: KeyTest;
  readonly excludedAnnotation: KeyTest;
  /** The controller's allow lists; undefined: everything that is not excluded. */
  readonly allowedLabel?: KeyTest | undefined;
  readonly allowedAnnotation?: KeyTest | undefined;
  /**
   * Keys that steer the source's own machinery: left out where no allow list decides. Undefined: there are
   * none.
   */
  readonly steering?: KeyTest | undefined;
}

type StringMap = Readonly<Record<string, string>>;

/**
 * Groups whose keys describe the source of a mirror, or steer traffic in the cluster that they are in;
 * copied, they would make one cluster's bookkeeping look like another's.
 */
export const NEVER_COPIED_GROUPS: readonly string[] = [
  ...MULTICLUSTER_DOMAINS,
  ...MIRROR_ANNOTATION_GROUPS,
  // Another cluster must not steer this one's traffic.
  ...FAILOVER_GROUPS,
];
/** These are never copied, not even with `--steering-metadata`. */
export const NEVER_COPIED_ANNOTATIONS: ReadonlySet<string> = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  // Hints are about the zones of the other cluster.
  'service.kubernetes.io/topology-aware-hints',
  'service.kubernetes.io/topology-mode',
]);
/**
 * These always are, also when they are excluded. Without the first a client's proxy would misread the
 * protocol (Linkerd does the same); without the others requests that are not to be seen would be seen at
 * their source.
 */
const ALWAYS_COPIED: ReadonlySet<string> = new Set([OPAQUE_PORTS, TAP, VIZ_DISABLE_TAP]);
/** By what is said of taps: words that forbid nothing, and that would undo what is forbidden here. */
const ALLOWING: ReadonlyMap<string, readonly string[]> = new Map([
  [TAP, ['on']],
  [VIZ_DISABLE_TAP, ['0', 'f', 'F', 'false', 'FALSE', 'False']],
]);
/** Of `NEVER_COPIED_GROUPS`, what steers nothing: by an objective both ends call the same failing. */
const HARMLESS: ReadonlySet<string> = new Set([SLO, TAP]);

/** Labels of the remote Service that its mirror gets. */
export function copiedLabels(labels: StringMap | undefined, rules: CopyRules): Record<string, string> {
  return pick(labels, (key) => {
    if (inGroup(key, NEVER_COPIED_GROUPS) || rules.excludedLabel(key)) return false;
    return rules.allowedLabel?.(key) ?? rules.steering?.(key) !== true;
  });
}

/** Annotations of the remote Service that its mirror gets. */
export function copiedAnnotations(
  annotations: StringMap | undefined,
  rules: CopyRules,
): Record<string, string> {
  return pick(annotations, (key, value) => {
    if (ALLOWING.get(key)?.includes(value) === true) return false;
    if (ALWAYS_COPIED.has(key)) return true;
    const isKept = NEVER_COPIED_ANNOTATIONS.has(key) || inGroup(key, NEVER_COPIED_GROUPS);
    if (isKept && !HARMLESS.has(key)) return false;
    if (rules.excludedAnnotation(key)) return false;
    return rules.allowedAnnotation?.(key) ?? rules.steering?.(key) !== true;
  });
}

/** Keys of the remote Service that are left out because they steer the source's machinery, sorted. */
export function steeringKeys({ metadata }: V1Service, rules: CopyRules): string[] {
  const { steering, allowedLabel, allowedAnnotation, excludedLabel, excludedAnnotation } = rules;
  if (steering === undefined) return [];
  const left = (map: StringMap | undefined, allowed: KeyTest | undefined, excluded: KeyTest) =>
    allowed !== undefined
      ? []
      : Object.keys(map ?? {}).filter(
          (key) => steering(key) && !excluded(key) && !NEVER_COPIED_ANNOTATIONS.has(key),
        );
  return [
    ...left(metadata?.labels, allowedLabel, excludedLabel),
    ...left(metadata?.annotations, allowedAnnotation, excludedAnnotation),
  ].sort();
}

/** Rules that copy only what a client's proxy needs. */
export function bareRules(): CopyRules {
  const none = () => false;
  return {
    excludedLabel: none,
    excludedAnnotation: none,
    allowedLabel: none,
    allowedAnnotation: none,
  };
}

/**
 * Labels that everything made for one target cluster carries; with `originOf` they are what ownership means.
 */
export function ownershipLabels(cluster: string): Record<string, string> {
  return mirrorLabels({ cluster });
}

/** Whether an object carries the ownership labels of a cluster. */
export function hasOwnershipLabels(object: Labelled | undefined, cluster: string): boolean {
  return isMirrored(object) && clusterOf(object) === cluster;
}

/** Labels and annotations of a mirror Service. */
export function mirrorMetadata(
  remote: V1Service,
  identity: MirrorOwner & { readonly fqName: string },
  rules: CopyRules,
): { labels: Record<string, string>; annotations: Record<string, string> } {
  const copied = copiedMetadata(remote, rules);
  return {
    labels: { ...copied.labels, ...ownershipLabels(identity.cluster) },
    annotations: {
      ...copied.annotations,
      ...originAnnotations(remote, identity),
    },
  };
}

/**
 * The labels and annotations copied from a Service, with the record of their keys: by it they are removed
 * when they go from the Service.
 */
export function copiedMetadata(
  remote: V1Service,
  rules: CopyRules,
): { labels: Record<string, string>; annotations: Record<string, string> } {
  const labels = copiedLabels(remote.metadata?.labels, rules);
  const annotations = copiedAnnotations(remote.metadata?.annotations, rules);
  return { labels, annotations: { ...annotations, [COPIED_KEYS]: copiedKeyList(labels, annotations) } };
}

/**
 * What endpoint mirrors have of the Service whose host they lead to, with the record: what it says of taps,
 * as their requests are its own.
 */
export function copiedTapAnnotations(remote: V1Service): Record<string, string> {
  const said = pick(
    remote.metadata?.annotations,
    (key, value) => ALLOWING.get(key)?.includes(value) === false,
  );
  return Object.keys(said).length === 0 ? {} : { ...said, [COPIED_KEYS]: copiedKeyList({}, said) };
}

/** One list for both maps: a key that is taken back is taken back wherever it is no longer wanted. */
function copiedKeyList(labels: StringMap, annotations: StringMap): string {
  return [...new Set([...Object.keys(labels), ...Object.keys(annotations)])].sort().join(',');
}

/** Whether an annotation is that record. */
export function isCopyRecord(annotation: string): boolean {
  return annotation === COPIED_KEYS;
}

/** Annotations without it. */
export function withoutCopyRecord(annotations: StringMap | undefined): Record<string, string> {
  const { [COPIED_KEYS]: _, ...rest } = annotations ?? {};
  return rest;
}

/** Keys that an earlier pass copied onto this mirror (annotation `linkspan.dev/copied-keys`). */
export function recordedKeys(annotations: StringMap | undefined): ReadonlySet<string> {
  return new Set((readAnnotation(annotations, COPIED_KEYS) ?? '').split(',').filter((key) => key !== ''));
}

/**
 * Keys that a mirror which another controller made, without a record, has from its export: they are taken
 * back like recorded ones. Keys with another value are the user's own.
 */
export function inheritedKeys(local: V1Service, remote: V1Service | undefined): string[] {
  if (readAnnotation(local.metadata?.annotations, COPIED_KEYS) !== undefined) return [];
  const same = (here: StringMap | undefined, there: StringMap | undefined) =>
    Object.entries(there ?? {}).flatMap(([key, value]) => (here?.[key] === value ? [key] : []));
  return [
    ...same(local.metadata?.labels, remote?.metadata?.labels),
    ...same(local.metadata?.annotations, remote?.metadata?.annotations),
  ].filter((key) => HARMLESS.has(key) || !inGroup(key, NEVER_COPIED_GROUPS));
}

function inGroup(key: string, groups: readonly string[]): boolean {
  const slash = key.indexOf('/');
  return slash > 0 && groups.includes(key.slice(0, slash));
}

/**
 * Drops values that are no text, which another cluster's API server may send: a mirror with one would be
 * refused, again and again.
 */
function pick(
  map: StringMap | undefined,
  wanted: (key: string, value: string) => boolean,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries<unknown>(map ?? {}).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string' && wanted(entry[0], entry[1]),
    ),
  );
}
