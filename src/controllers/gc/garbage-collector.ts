import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { clusterOf } from '../../api/mirror/mirror-labels.ts';
import { readAnnotation } from '../../api/annotations.ts';
import {
  clusterOfEntry,
  federatedEntries,
  memberLinkKey,
  memberName,
} from '../../api/mirror/federated-members.ts';
import type { Random } from '../../base/backoff.ts';
import { type Clock, untilAborted } from '../../base/clock.ts';
import { LINK_ANNOTATION, MEMBER_LINK_GROUP } from '../../api/names.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { WorkQueue } from '../../kube/queue/work-queue.ts';
import type { WorkerPool } from '../../kube/queue/worker-pool.ts';
import type { Logger } from '../../telemetry/log.ts';
import { apply } from '../reconcile/mirror-apply.ts';
import { planMember } from '../federated/federated-plan.ts';
import { decideMember } from '../federated/federated-verdict.ts';
import type { MemberFacts } from '../federated/member-facts.ts';
import { TAKES_ALL } from '../reconcile/importer.ts';
import { MEMBER_INDEX, OWNER_INDEX } from '../reconcile/local-indexes.ts';
import type { LocalView } from '../reconcile/local-view.ts';
import {
  hostOriginOf,
  keyOfObject,
  type MirrorOwner,
  originOf,
  parseKey,
} from '../../api/mirror/mirror-names.ts';
import { removePart } from '../mirror/mirror-plan.ts';
import { isLeaving, type Step } from '../reconcile/steps.ts';

export interface CollectorOptions {
  /** What is to go: everything that was made for this Link and cluster. */
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
 * Removes everything that a Link made and that no Link stands for any more: mirrors, endpoint mirrors and places in federated Services. Only what records
 * this very Link is taken: mirrors of another installation, or of Linkerd, are not ours to remove. Resolves when nothing is left, or when the signal aborts.
 */
export async function collect(options: CollectorOptions): Promise<number> {
  const { view, owner, client, signal, pool, concurrency, clock, random, log } = options;
  let removed = 0;
  const queue = new WorkQueue({
    handler: async (key) => {
      const steps = stepsFor(view, owner, key);
      if ((await apply({ client, view, signal }, steps)) === 'stale') queue.add(key);
      else removed += Number(steps.length > 0);
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
  try {
    for (const key of leftoversOf(view, owner)) queue.add(key);
    // A key that failed waits outside of `depth`; what it is about is still in the view.
    while (!signal.aborted && leftoversOf(view, owner).length > 0) {
      await Promise.race([queue.idle(), stopped]);
      await new Promise<void>((resolve) => clock.after(100, resolve));
    }
  } finally {
    await queue.stop();
  }
  if (removed > 0) log.info({ cluster: owner.cluster, removed }, 'removed what the link had made');
  return removed;
}

/** Local Services (`namespace/name`) that this Link made or has a member in. */
export function leftoversOf(view: LocalView, owner: MirrorOwner): string[] {
  const made = view.stores.services
    .byIndex(OWNER_INDEX, `link:${owner.link}`)
    .filter((service) => isMade(service, owner));
  const joined = view.stores.services
    .byIndex(MEMBER_INDEX, owner.cluster)
    .filter(
      ({ metadata }) => readAnnotation(metadata?.annotations, memberLinkKey(owner.cluster)) === owner.link,
    );
  const present = [...made, ...joined].filter(({ metadata }) => {
    const now = view.service(metadata?.namespace ?? '', metadata?.name ?? '');
    // What somebody's finalizer holds goes when that is gone.
    return now !== undefined && !isLeaving(now);
  });
  return present.map(keyOfObject);
}

/** What is here by the Links that made it: for each (`namespace/name`) the clusters of its mirrors and federated members. */
export function makers(view: LocalView): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const note = (link: string | undefined, cluster: string | undefined) => {
    if (link === undefined || cluster === undefined) return;
    found.set(link, (found.get(link) ?? new Set()).add(cluster));
  };
  const members = `${MEMBER_LINK_GROUP}/`;
  for (const service of view.stores.services.list()) {
    const { metadata } = service;
    note(readAnnotation(metadata?.annotations, LINK_ANNOTATION), clusterOf(service));
    for (const key of Object.keys(metadata?.annotations ?? {})) {
      if (!key.startsWith(members)) continue;
      const cluster = key.slice(members.length);
      note(readAnnotation(metadata?.annotations, memberLinkKey(cluster)), cluster);
    }
  }
  return found;
}

function isMade(service: V1Service, owner: MirrorOwner): boolean {
  if (readAnnotation(service.metadata?.annotations, LINK_ANNOTATION) !== owner.link) return false;
  return originOf(service, owner) !== undefined || hostOriginOf(service, owner) !== undefined;
}

function stepsFor(view: LocalView, owner: MirrorOwner, key: string): Step[] {
  const { namespace, name } = parseKey(key);
  const part = view.part(namespace, name);
  if (part.service === undefined) return [];
  if (isMade(part.service, owner)) return removePart(part, owner.cluster);
  const member = federatedEntries(part.service).find((entry) => clusterOfEntry(entry) === owner.cluster);
  const memberOf = memberName(name);
  if (member === undefined || memberOf === undefined) return [];
  const facts = departing(member.slice(0, member.indexOf('@')), namespace, owner.cluster, {
    service: part.service,
    slices: part.slices,
  });
  return planMember(facts, decideMember(facts));
}

/** The facts of a member that is exported no more, for certain. */
function departing(
  name: string,
  namespace: string,
  cluster: string,
  federated: { service: V1Service; slices: readonly V1EndpointSlice[] },
): MemberFacts {
  return {
    key: { namespace, name },
    member: cluster,
    link: undefined,
    rules: { excludedLabel: () => false, excludedAnnotation: () => false },
    createNamespaces: false,
    union: 'none',
    synced: true,
    removalsHeld: false,
    remote: undefined,
    remoteReady: undefined,
    emptiedGraceMs: 0,
    remoteSlices: [],
    imports: TAKES_ALL,
    namespace: 'present',
    federated: { ...federated, endpoints: undefined },
    strangers: [],
    leads: false,
    gateway: undefined,
    egress: [],
    egressPorts: new Map(),
    egressUnrecorded: false,
  };
}
