import type { ServiceStatus } from '../../api/link/link-status.ts';
import { SERVICE_MIRROR } from '../../api/names.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';
import type { Outcome } from '../reconcile/reconciler.ts';

/**
 * Entries of one list of a Link's status. An entry takes about 350 bytes and etcd refuses objects over 1.5
 * MiB, so the lists of thousands of Services are cut: those in trouble come first, and `mirrorCount` and the
 * conditions count them all.
 */
export const MAX_LISTED = 500;

/** Linkerd's own words for reasons that it has too. */
const LINKERD_MESSAGES: Partial<Record<MirrorReason, string>> = {
  MissingNamespace: 'Namespace does not exist',
};

/**
 * Reasons that mean that the mirror is there and as it should be; also one whose target has no ready
 * endpoints, or that only some clients can use.
 */
const MIRRORED: ReadonlySet<MirrorReason> = new Set<MirrorReason>([
  'Mirrored',
  'NoReadyEndpoints',
  'AddressFamilyMismatch',
]);

/**
 * `status.mirrorServices` or `status.federatedServices` in Linkerd's shape: one condition `Mirrored` for each
 * Service. Entries that stay the same keep their transition time.
 */
export function serviceStatuses(outcomes: ReadonlyMap<string, Outcome>): ServiceStatus[] {
  const entries = [...outcomes].filter(([, { reason }]) => reason !== 'NotSynced');
  const sorted = entries.sort(([a, x], [b, y]) => rank(x) - rank(y) || (a < b ? -1 : 1));
  return sorted.slice(0, MAX_LISTED).map(([key, outcome]) => statusOf(key, outcome));
}

function rank({ reason }: Outcome): number {
  return MIRRORED.has(reason) ? 1 : 0;
}

function statusOf(key: string, { reason, message, local, since }: Outcome): ServiceStatus {
  const { namespace, name } = parseKey(key);
  const ref = { group: 'core', kind: 'Service', namespace };
  const mirrored = MIRRORED.has(reason);
  const text = LINKERD_MESSAGES[reason] ?? message;
  return {
    controllerName: SERVICE_MIRROR,
    remoteRef: { ...ref, name },
    conditions: [
      {
        type: 'Mirrored',
        status: mirrored ? 'True' : 'False',
        reason,
        message: text,
        lastTransitionTime: new Date(since).toISOString().replace(/\.\d+Z$/, 'Z'),
        ...(mirrored ? { localRef: { ...ref, name: local } } : {}),
      },
    ],
  };
}
