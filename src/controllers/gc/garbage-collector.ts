import { keyOf } from '../../api/kubernetes/resource.ts';
import type { V1Service } from '@kubernetes/client-node';
import {
  clusterOfEntry,
  federatedEntries,
  isFederated,
  memberLinkOf,
  memberLinks,
  memberName,
  serviceOfEntry,
} from '../../api/mirror/federated-members.ts';
import { linkOf } from '../../api/mirror/mirror-annotations.ts';
import { clusterOf } from '../../api/mirror/mirror-labels.ts';
import type { Random } from '../../base/backoff.ts';
import { type Clock, untilAborted } from '../../base/clock.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { WorkQueue } from '../../kube/queue/work-queue.ts';
import type { WorkerPool } from '../../kube/queue/worker-pool.ts';
import type { Logger } from '../../telemetry/log.ts';
import { apply } from '../reconcile/mirror-apply.ts';
import { leave } from '../federated/federated-plan.ts';
import { MEMBER_INDEX, OWNER_INDEX } from '../reconcile/local-indexes.ts';
import type { LocalView } from '../reconcile/local-view.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import { hostOriginOf, type MirrorOwner, originOf } from '../../api/mirror/ownership.ts';
import { removePart } from '../reconcile/object-plan.ts';
import { isLeaving, type Step } from '../reconcile/steps.ts';

/** What is removed, and with what. */
export interface CollectorOptions {
  /** Everything that was made for this Link and cluster is removed. */
  readonly owner: MirrorOwner;
  readonly client: KubeClient;
  readonly view: LocalView;
  readonly pool: WorkerPool;
  readonly concurrency: number;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * Time from a change of a Service until what is left is looked for again, so that many changes are one:
 * milliseconds.
 */
const GATHER_MS = 100;

/**
 * Removes everything that a Link made and that belongs to no Link any more: mirrors, endpoint mirrors and
 * memberships in federated Services. Only objects that name this very Link are removed: mirrors of another
 * installation, or of Linkerd, are not ours. Resolves when nothing is left, or when the signal aborts.
 * @returns how many Services were deleted or patched
 */
export async function collect(options: CollectorOptions): Promise<number> {
  const { view, owner, client, signal, pool, concurrency, clock, random, log } = options;
  let removed = 0;
  /** Keys that the queue still has, also those that it tries again after a failure. */
  const waiting = new Set<string>();
  const queue = new WorkQueue({
    handler: async (key) => {
      const steps = stepsFor(view, owner, key);
      if ((await apply({ client, view, signal }, steps)) === 'stale') {
        queue.add(key);
        return;
      }
      waiting.delete(key);
      removed += Number(steps.length > 0);
    },
    concurrency,
    pool,
    backoff: { minMs: 200, maxMs: 10_000 },
    clock,
    random,
    log,
    onError: (key, error) => log.warn({ service: key, err: error }, 'not removed, trying again'),
  });
  const stopped = untilAborted(signal);
  let changed = Promise.withResolvers<void>();
  const unsubscribe = view.stores.services.subscribe('collector: Services', () => changed.resolve());
  try {
    let leftovers = leftoversOf(view, owner);
    while (!signal.aborted && leftovers.length > 0) {
      // Also what was made, or made again, meanwhile: by the restore of a backup, or by a late write of
      // another replica.
      for (const key of leftovers) {
        if (waiting.has(key)) continue;
        waiting.add(key);
        queue.add(key);
      }
      await Promise.race([changed.promise, stopped]);
      changed = Promise.withResolvers();
      await new Promise<void>((resolve) => clock.after(GATHER_MS, resolve));
      leftovers = leftoversOf(view, owner);
    }
  } finally {
    unsubscribe();
    await queue.stop();
  }
  if (removed > 0) log.info({ cluster: owner.cluster, removed }, 'removed what the link had made');
  return removed;
}

/** The local Services (`namespace/name`) that this Link has made, or in which it has a member. */
export function leftoversOf(view: LocalView, owner: MirrorOwner): string[] {
  const made = view.stores.services
    .byIndex(OWNER_INDEX, `link:${owner.link}`)
    .filter((service) => isMade(service, owner));
  const joined = view.stores.services
    .byIndex(MEMBER_INDEX, owner.cluster)
    .filter((service) => memberLinkOf(service, owner.cluster) === owner.link);
  const present = [...made, ...joined].filter(({ metadata }) => {
    const now = view.service(metadata?.namespace ?? '', metadata?.name ?? '');
    // One that is being deleted and held by a finalizer goes without us.
    return now !== undefined && !isLeaving(now);
  });
  return present.map(keyOf);
}

/**
 * The Links (`namespace/name`) that have made something that is here, each with the clusters of its mirrors
 * and federated members; Links that are gone are among them.
 */
export function makers(view: LocalView): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const note = (link: string | undefined, cluster: string | undefined) => {
    if (link === undefined || cluster === undefined) return;
    found.set(link, (found.get(link) ?? new Set()).add(cluster));
  };
  for (const service of view.stores.services.list()) {
    note(linkOf(service), clusterOf(service));
    for (const { cluster, link } of memberLinks(service)) note(link, cluster);
  }
  return found;
}

function isMade(service: V1Service, owner: MirrorOwner): boolean {
  if (linkOf(service) !== owner.link) return false;
  return originOf(service, owner) !== undefined || hostOriginOf(service, owner) !== undefined;
}

function stepsFor(view: LocalView, owner: MirrorOwner, key: string): Step[] {
  const { namespace, name } = parseKey(key);
  const part = view.part(namespace, name);
  if (part.service === undefined) return [];
  if (isMade(part.service, owner)) return removePart(part, owner.cluster);
  const member = federatedEntries(part.service).find((entry) => clusterOfEntry(entry) === owner.cluster);
  if (member === undefined || memberName(name) === undefined || !isFederated(part.service)) return [];
  const exported = { namespace, name: serviceOfEntry(member) };
  return leave({ key: exported, member: owner.cluster, federated: part });
}
