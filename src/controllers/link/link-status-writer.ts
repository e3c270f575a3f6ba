import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../base/clock.ts';
import type { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { compareVersions } from '../../kube/objects/resource-version.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { links, type LinkObject } from '../../api/link/link-schema.ts';
import { nextConditions, type LinkStatus } from '../../api/link/link-status.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { CredentialsVerdict } from './credentials-verdict.ts';
import { linkConditions } from './link-conditions.ts';
import type { TargetCluster } from './target-cluster.ts';
import { ServiceStatusList, type ServiceKey } from './service-statuses.ts';
import type { StatusTurn } from './status-schedule.ts';

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

/** The status of the Link as it stands in the cluster. */
interface Standing {
  readonly uid: string | undefined;
  /** resourceVersion of the Link. */
  readonly version: string;
  readonly status: LinkStatus | undefined;
  /** The same as the API server keeps it: a CRD without our fields keeps less than is sent. */
  readonly kept: LinkStatus | undefined;
}

/**
 * Works the status of one Link out and writes it, everything that has changed since the last time in one
 * patch, and nothing when nothing has. A restart that finds all as it was writes nothing either: until it
 * knows where it stands, what an earlier process wrote is left alone. When to do so is `StatusSchedule`'s.
 */
export class LinkStatusWriter {
  readonly #options: { local: KubeClient; clock: Clock; log: Logger };
  #standing: Standing | undefined;
  /** The status that is on its way. */
  #sending: LinkStatus | undefined;
  /** Why the last write failed; undefined: it did not. */
  #failure: Error | undefined;
  #failures = 0;
  #writtenAt = Number.NEGATIVE_INFINITY;
  #settling: { readonly peer: TargetCluster; readonly until: number } | undefined;
  #lists:
    | {
        readonly peer: TargetCluster;
        readonly mirrors: ServiceStatusList;
        readonly federated: ServiceStatusList;
      }
    | undefined;

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
    return this.#standing === undefined ? object?.status : this.#standing.status;
  }

  /**
   * Takes in the Link as it is now.
   * @returns whether its status is other than what was last written or seen here: another replica wrote it,
   *   or a person, or the Link is another one of the same name
   */
  seen({ metadata, status }: LinkObject): boolean {
    const before = this.#standing;
    const version = metadata?.resourceVersion ?? '';
    if (before?.uid === metadata?.uid && before !== undefined) {
      if (compareVersions(version, before.version) <= 0) return false;
      if (this.#sending !== undefined && isDeepStrictEqual(status, this.#sending)) return false;
      if (isDeepStrictEqual(status, before.kept)) {
        // One copy in memory: the store's.
        this.#standing = { ...before, version, kept: status };
        return false;
      }
    }
    this.#standing = { uid: metadata?.uid, version, status, kept: status };
    return true;
  }

  /** What became of a Service has changed: its entry is worked out again. */
  mark({ key, federated }: ServiceKey): void {
    this.#lists?.[federated ? 'federated' : 'mirrors'].mark(key);
  }

  /** A peer has stopped: nothing of it is kept. */
  release(peer: TargetCluster): void {
    if (this.#lists?.peer === peer) this.#lists = undefined;
    if (this.#settling?.peer === peer) this.#settling = undefined;
  }

  /** The status is another replica's to write: what could not be written here is not missing any more. */
  giveUp(): void {
    this.#failure = undefined;
  }

  /** Never throws: a failure, also one to find out what to write, is seen and tried again the next time. */
  async write(object: LinkObject, situation: Situation): Promise<StatusTurn> {
    try {
      return await this.#write(object, situation);
    } catch (error) {
      this.#notWritten(object, error as Error);
      return { failed: true };
    } finally {
      this.#sending = undefined;
    }
  }

  async #write(object: LinkObject, situation: Situation): Promise<StatusTurn> {
    this.seen(object);
    const { peer, problem } = situation;
    const unsettledMs = peer === undefined ? 0 : this.#unsettledMs(peer, problem);
    if (unsettledMs > 0) return { failed: false, againMs: unsettledMs };
    const previous = this.latest(object);
    const status = this.#next(object, previous, situation);
    const comparable = Object.fromEntries(
      Object.keys(status).map((key) => [key, previous?.[key as keyof LinkStatus]]),
    );
    if (isDeepStrictEqual(status, comparable)) {
      this.#failure = undefined;
      return { failed: false };
    }
    const busyMs = this.#busyMs(peer, status, previous);
    if (busyMs > 0) return { failed: false, againMs: busyMs };
    await this.#send(object, { ...previous, ...status }, status);
    this.#failure = undefined;
    return { failed: false };
  }

  async #send({ metadata }: LinkObject, whole: LinkStatus, status: LinkStatus): Promise<void> {
    const { local, clock } = this.#options;
    this.#sending = whole;
    this.#writtenAt = clock.monotonic();
    const { namespace = '', name = '', uid, resourceVersion = '' } = metadata ?? {};
    const options = { type: 'merge', subresource: 'status' } as const;
    const answer: LinkObject | undefined = await local.patch(links, { namespace, name }, { status }, options);
    const version = answer?.metadata?.resourceVersion ?? resourceVersion;
    // Somebody has written after us, and the watch was faster than the answer.
    if (this.#standing !== undefined && compareVersions(version, this.#standing.version) < 0) return;
    this.#standing = { uid, version, status: whole, kept: answer?.status ?? whole };
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
   * @returns how long this one waits, milliseconds
   */
  #busyMs(peer: TargetCluster | undefined, status: LinkStatus, previous: LinkStatus | undefined): number {
    if (peer === undefined || peer.depth === 0) return 0;
    const since = this.#options.clock.monotonic() - this.#writtenAt;
    return sameVerdicts(status.conditions, previous?.conditions) ? Math.max(0, BUSY_PERIOD_MS - since) : 0;
  }

  /** For how long the peer may still take to know where it stands, milliseconds; 0: it knows. */
  #unsettledMs(peer: TargetCluster, problem: LinkspanError | undefined): number {
    const now = this.#options.clock.monotonic();
    if (this.#settling?.peer !== peer) this.#settling = { peer, until: now + SETTLE_MS };
    const path = peer.gateway?.facts.path;
    // A Link that cannot be used follows its gateway only, and is never synced: it must not wait for that.
    const synced = peer.synced || problem !== undefined;
    const known = synced && peer.depth === 0 && path !== 'unknown' && path !== 'resolving';
    return known ? 0 : Math.max(0, this.#settling.until - now);
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
    const { mirrorServices = [], federatedServices = [] } = previous ?? {};
    // Before the first complete list the old entries stay: half of the new ones would be written twice.
    if (!peer.synced) return { mirrorServices, federatedServices };
    const mirrors = peer.mirrors.reconciler.outcomes;
    const federated = peer.federated.reconciler.outcomes;
    if (this.#lists?.peer !== peer)
      this.#lists = {
        peer,
        mirrors: new ServiceStatusList(mirrors, mirrorServices),
        federated: new ServiceStatusList(federated, federatedServices),
      };
    return {
      mirrorServices: this.#lists.mirrors.of(mirrors),
      federatedServices: this.#lists.federated.of(federated),
    };
  }
}

/** Whether the conditions say the same, apart from their messages. */
function sameVerdicts(a: LinkStatus['conditions'], b: LinkStatus['conditions']): boolean {
  const verdicts = (conditions: LinkStatus['conditions']) =>
    (conditions ?? []).map(({ type, status, reason }) => [type, status, reason]);
  return isDeepStrictEqual(verdicts(a), verdicts(b));
}
