import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../base/clock.ts';
import type { LinkspanError } from '../../api/errors/linkspan-error.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { links, type LinkObject } from '../../api/link/link-schema.ts';
import { nextConditions, type LinkStatus, type ServiceStatus } from '../../api/link/link-status.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { CredentialsVerdict } from './credentials-verdict.ts';
import { linkConditions } from './link-conditions.ts';
import type { TargetCluster } from './target-cluster.ts';
import { serviceStatuses } from './service-statuses.ts';

/**
 * How long a peer that has just started may take to know where it stands before its status is written as it
 * is.
 */
const SETTLE_MS = 5000;
/**
 * While mirrors are being written the lists are told this often: many Links at once would otherwise spend the
 * API server on their status.
 */
const BUSY_PERIOD_MS = 10_000;

/** What the status is made from. */
interface Situation {
  readonly problem: LinkspanError | undefined;
  readonly peer: TargetCluster | undefined;
  readonly credentials?: CredentialsVerdict | undefined;
}

type Lists = Pick<LinkStatus, 'mirrorServices' | 'federatedServices'>;

/**
 * Writes the status of one Link, everything that has changed since the last time in one patch, and nothing
 * when nothing has. A restart that finds all as it was writes nothing either: until it knows where it stands,
 * what an earlier process wrote is left alone.
 */
export class LinkStatusWriter {
  readonly #options: { local: KubeClient; clock: Clock; log: Logger };
  #written: LinkStatus | undefined;
  #writing = false;
  /** Why the last write failed; undefined: it did not. */
  #failure: Error | undefined;
  #failures = 0;
  #writtenAt = Number.NEGATIVE_INFINITY;
  #settling: { readonly peer: TargetCluster; readonly until: number } | undefined;
  #lists: { readonly peer: TargetCluster; readonly revision: number; readonly lists: Lists } | undefined;

  constructor(options: { local: KubeClient; clock: Clock; log: Logger }) {
    this.#options = options;
  }

  /** Writes that failed. */
  get failures(): number {
    return this.#failures;
  }

  /**
   * Why the Link's status is older than what is known here: it could not be written. Undefined: it is not.
   */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** The status as it was last written or seen. */
  latest(object: LinkObject | undefined): LinkStatus | undefined {
    return this.#written ?? object?.status;
  }

  /** Never throws: a failure, also one to find out what to write, is seen and tried again the next time. */
  async write(object: LinkObject, situation: Situation): Promise<void> {
    if (this.#writing) return;
    try {
      await this.#write(object, situation);
    } catch (error) {
      this.#notWritten(object, error as Error);
    } finally {
      this.#writing = false;
    }
  }

  async #write(object: LinkObject, situation: Situation): Promise<void> {
    if (situation.peer !== undefined && !this.#settled(situation.peer, situation.problem)) return;
    const previous = this.latest(object);
    const status = this.#next(object, previous, situation);
    const comparable = Object.fromEntries(
      Object.keys(status).map((key) => [key, previous?.[key as keyof LinkStatus]]),
    );
    if (isDeepStrictEqual(status, comparable)) {
      this.#failure = undefined;
      return;
    }
    const { local, clock } = this.#options;
    if (this.#canWait(situation.peer, status, previous)) return;
    this.#writing = true;
    this.#writtenAt = clock.monotonic();
    const ref = { namespace: object.metadata?.namespace ?? '', name: object.metadata?.name ?? '' };
    await local.patch(links, ref, { status }, { type: 'merge', subresource: 'status' });
    this.#written = { ...previous, ...status };
    this.#failure = undefined;
  }

  /** The first failure in a row is news; those that follow are counted. */
  #notWritten({ metadata }: LinkObject, err: Error): void {
    const link = `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
    this.#options.log[this.#failure !== undefined ? 'debug' : 'warn'](
      { link, err },
      'link status not written, trying again',
    );
    this.#failure = err;
    this.#failures++;
  }

  /**
   * While keys are being worked on, lists and counts are written only now and then; a condition that becomes
   * true or false is written at once.
   */
  #canWait(peer: TargetCluster | undefined, status: LinkStatus, previous: LinkStatus | undefined): boolean {
    if (peer === undefined || peer.depth === 0) return false;
    const since = this.#options.clock.monotonic() - this.#writtenAt;
    return since < BUSY_PERIOD_MS && sameVerdicts(status.conditions, previous?.conditions);
  }

  #settled(peer: TargetCluster, problem: LinkspanError | undefined): boolean {
    const now = this.#options.clock.monotonic();
    if (this.#settling?.peer !== peer) this.#settling = { peer, until: now + SETTLE_MS };
    const path = peer.gateway?.facts.path;
    // A Link that cannot be used follows its gateway only, and is never synced: it must not wait for that.
    const synced = peer.synced || problem !== undefined;
    const known = synced && peer.depth === 0 && path !== 'unknown' && path !== 'resolving';
    return known || now >= this.#settling.until;
  }

  #next(object: LinkObject, previous: LinkStatus | undefined, situation: Situation): LinkStatus {
    const { peer } = situation;
    const wanted = linkConditions(situation, object.metadata?.generation ?? 0);
    const conditions = nextConditions(previous?.conditions, wanted, this.#options.clock.now());
    // A Link that cannot run keeps the mirrors that it has, and what is said of them.
    if (peer === undefined) return { conditions };
    return {
      conditions,
      mirrorCount: peer.mirrorCount,
      ...(peer.clusterUid === undefined ? {} : { targetClusterUID: peer.clusterUid }),
      ...this.#listsOf(peer, previous),
    };
  }

  #listsOf(peer: TargetCluster, previous: LinkStatus | undefined): Lists {
    // Before the first complete list the old entries stay: half of the new ones would be written twice.
    if (!peer.synced)
      return {
        mirrorServices: previous?.mirrorServices ?? [],
        federatedServices: previous?.federatedServices ?? [],
      };
    const { revision } = peer;
    if (this.#lists?.peer === peer && this.#lists.revision === revision) return this.#lists.lists;
    const lists = {
      mirrorServices: withTimes(serviceStatuses(peer.mirrors.reconciler.outcomes), previous?.mirrorServices),
      federatedServices: withTimes(
        serviceStatuses(peer.federated.reconciler.outcomes),
        previous?.federatedServices,
      ),
    };
    this.#lists = { peer, revision, lists };
    return lists;
  }
}

/** Whether the conditions say the same, apart from their messages. */
function sameVerdicts(a: LinkStatus['conditions'], b: LinkStatus['conditions']): boolean {
  const verdicts = (conditions: LinkStatus['conditions']) =>
    (conditions ?? []).map(({ type, status, reason }) => [type, status, reason]);
  return isDeepStrictEqual(verdicts(a), verdicts(b));
}

/** Entries that say what they said before keep the time at which they began to say it. */
function withTimes(
  wanted: readonly ServiceStatus[],
  previous: readonly ServiceStatus[] | undefined,
): readonly ServiceStatus[] {
  const before = new Map((previous ?? []).map((entry) => [refOf(entry), entry.conditions?.[0]]));
  return wanted.map((entry) => {
    const old = before.get(refOf(entry));
    const [condition] = entry.conditions ?? [];
    if (condition === undefined || old?.status !== condition.status || old.reason !== condition.reason)
      return entry;
    return { ...entry, conditions: [{ ...condition, lastTransitionTime: old.lastTransitionTime }] };
  });
}

function refOf({ remoteRef }: ServiceStatus): string {
  return `${remoteRef.namespace}/${remoteRef.name}`;
}
