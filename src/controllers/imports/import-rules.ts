import {
  DEFAULT_LINKERD_NAMESPACE,
  DEFAULT_NAMESPACE,
  IMPORT_NAMES,
  IMPORT_NAMESPACES,
} from '../../api/names.ts';
import type { ImportPolicy } from '../../api/link/import-policy.ts';
import type { RemoteKey } from '../../api/mirror/mirror-names.ts';
import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';

/** Why the import policy of a Link refuses an export, or a part of it. */
export interface Refusal {
  readonly reason: MirrorReason;
  readonly message: string;
}

/** What the import policy has left out of an export that is mirrored otherwise. */
export interface ImportNote {
  readonly reason: 'ImportMetadataLeftOut' | 'ImportAddressRefused' | 'ImportQuotaExceeded';
  readonly text: string;
}

/** Namespaces of Linkspan and Linkerd into which nothing is mirrored unless the policy names them. */
const CONTROL_NAMESPACES = [
  DEFAULT_NAMESPACE,
  DEFAULT_LINKERD_NAMESPACE,
  'linkerd-viz',
  'linkerd-jaeger',
  'linkerd-cni',
  'linkerd-smi',
  'linkerd-failover',
  'linkerd-buoyant',
];

/**
 * The protected namespaces of a source cluster, beside those that begin with `kube-`.
 * @param own where Linkspan and Linkerd are installed here
 */
export function controlNamespaces(own: readonly string[]): ReadonlySet<string> {
  return new Set([...CONTROL_NAMESPACES, ...own]);
}

/**
 * Whether nothing is mirrored into a namespace unless the policy names it: control namespaces, and `kube-…`,
 * which Kubernetes reserves for itself.
 */
export function isProtected(namespace: string, control: ReadonlySet<string>): boolean {
  return namespace.startsWith('kube-') || control.has(namespace);
}

/** Why a Service is not mirrored at all; undefined: it may be. Pure. */
export function importRefusal(
  { namespace, name }: RemoteKey,
  policy: Pick<ImportPolicy, 'namespaces' | 'names'>,
  control: ReadonlySet<string>,
): Refusal | undefined {
  const { namespaces, names } = policy;
  // The target's text, which may be longer than a name can be.
  const shown = namespace.slice(0, 63);
  if (isProtected(namespace, control) && namespaces?.names(namespace) !== true)
    return {
      reason: 'ImportNamespaceRefused',
      message: `namespace ${shown} is protected: it takes nothing unless the annotation ${IMPORT_NAMESPACES} of the Link names it`,
    };
  if (namespaces !== undefined && !namespaces.matches(namespace))
    return {
      reason: 'ImportNamespaceRefused',
      message: `namespace ${shown} is not in the annotation ${IMPORT_NAMESPACES} of the Link`,
    };
  if (names !== undefined && !names.matches(name) && !names.matches(`${namespace}/${name}`))
    return {
      reason: 'ImportNameRefused',
      message: `the name is not in the annotation ${IMPORT_NAMES} of the Link`,
    };
  return undefined;
}

/**
 * A list for people, bounded because another cluster gives its items: the first few, cut, and how many more.
 */
export function shortList(items: readonly string[], max = 8): string {
  const shown = items.slice(0, max).map((item) => (item.length > 120 ? `${item.slice(0, 120)}…` : item));
  const more = items.length - shown.length;
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '');
}
