import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../base/clock.ts';
import { writeDrain } from '../../api/failover/failover-drain.ts';
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
 * How long a peer that has just started may take to be synced and to know its gateway, before its status is
 * written all the same.
 */
const SETTLE_MS = 5000;
/**
 * While mirrors are being written, lists and counts in the status are written no more often than this: the
 * status of many Links would otherwise keep the API server busy.
 */
const BUSY_PERIOD_MS = 10_000;

/** The facts from which the status is worked out. */
interface Situation {
  readonly problem: LinkspanError | undefined;
  readonly peer: TargetCluster | undefined;
  readonly credentials?: CredentialsVerdict | undefined;
}

/** A verdict of a condition, and how often it became that. */
export interface Transition {
  readonly condition: string;
  readonly status: string;
  readonly reason: string;
  readonly count: number;
}

type Lists = Pick<LinkStatus, 'mirrorServices' | 'federatedServices'>;

/** The status of the Link in the cluster, as last written or seen. */
interface Standing {
  readonly uid: string | undefined;
  /** resourceVersion of the Link. */
  readonly version: string;
  /** As it was sent. */
  readonly status: LinkStatus | undefined;
  /** As the API server has kept it: a CRD without our fields keeps less. */
  readonly kept: LinkStatus | undefined;
}

/**
 * Works out the status of one Link and writes it: all changes in one patch, and nothing where nothing has
 * changed. A restart that finds everything as it was writes nothing either: until the peer knows how things
 * are, the status of the earlier process is left alone. `StatusSchedule` says when.
 */
export class LinkStatusWriter {
  readonly #options: { local: KubeClient; clock: Clock; log: Logger };
  #standing: Standing | undefined;
  /** The status that is on its way. */
  #sending: LinkStatus | undefined;
  /** Why the last write failed; undefined: it did not. */
  #failure: Error | undefined;
  #failures = 0;
  readonly #transitions = new Map<string, Transition>();
  /** When a write was last begun (monotonic milliseconds). */
  #writtenAt = Number.NEGATIVE_INFINITY;
  /** Until when the present peer may take to know how things are (monotonic milliseconds). */
  #settling: { readonly peer: TargetCluster; readonly until: number } | undefined;
  /** The lists of the present peer. */
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

  /** How often each condition was written with another verdict than before. */
  get transitions(): Iterable<Transition> {
    return this.#transitions.values();
  }

  /** How many writes have failed. */
  get failures(): number {
    return this.#failures;
  }

  /**
   * Why the last status could not be written, so that the Link's status is out of date; undefined: it is not.
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
   * @returns whether its status is not the one that was last written or seen here: another replica or a
   * person has written it, or the Link is another one of the same name
   */
  seen({ metadata, status }: LinkObject): boolean {
    const before = this.#standing;
    const version = metadata?.resourceVersion ?? '';
    if (before?.uid === metadata?.uid && before !== undefined) {
      if (compareVersions(version, before.version) <= 0) return false;
      if (this.#sending !== undefined && isDeepStrictEqual(status, this.#sending)) return false;
      if (isDeepStrictEqual(status, before.kept)) {
        // Keeps the store's copy, so that there is one in memory.
        this.#standing = { ...before, version, kept: status };
        return false;
      }
    }
    this.#standing = { uid: metadata?.uid, version, status, kept: status };
    return true;
  }

  /** The outcome of a Service has changed: its entry is worked out again. */
  mark({ key, federated }: ServiceKey): void {
    this.#lists?.[federated ? 'federated' : 'mirrors'].mark(key);
  }

  /** A peer has stopped: nothing of it is kept. */
  release(peer: TargetCluster): void {
    if (this.#lists?.peer === peer) this.#lists = undefined;
    if (this.#settling?.peer === peer) this.#settling = undefined;
  }

  /** The status is now another replica's to write, so that a failure here no longer matters. */
  giveUp(): void {
    this.#failure = undefined;
  }

  /**
   * Writes the status where it has changed. Never throws: a failure is logged and counted, and `failed` in
   * the result.
   */
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
    const changed = changedConditions(status.conditions, previous?.conditions);
    this.#count(changed);
    this.#tell(object, changed);
    this.#failure = undefined;
    return { failed: false };
  }

  #count(changed: ReturnType<typeof changedConditions>): void {
    for (const { type: condition, status, reason } of changed) {
      const key = `${condition} ${status} ${reason}`;
      const { count = 0 } = this.#transitions.get(key) ?? {};
      this.#transitions.set(key, { condition, status, reason, count: count + 1 });
    }
  }

  async #send({ metadata }: LinkObject, whole: LinkStatus, status: LinkStatus): Promise<void> {
    const { local, clock } = this.#options;
    this.#sending = whole;
    this.#writtenAt = clock.monotonic();
    const { namespace = '', name = '', uid, resourceVersion = '' } = metadata ?? {};
    const options = { type: 'merge', subresource: 'status' } as const;
    const answer: LinkObject | undefined = await local.patch(links, { namespace, name }, { status }, options);
    const version = answer?.metadata?.resourceVersion ?? resourceVersion;
    // The watch was faster than the answer, and has brought a later write of somebody else.
    if (this.#standing !== undefined && compareVersions(version, this.#standing.version) < 0) return;
    this.#standing = { uid, version, status: whole, kept: answer?.status ?? whole };
  }

  /** A line for each condition whose status or reason has changed: the Link is up, or down, and why. */
  #tell({ metadata }: LinkObject, changed: ReturnType<typeof changedConditions>): void {
    const link = `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
    for (const { type, status, reason, message } of changed)
      this.#options.log.info(
        { link, condition: type, status, reason, detail: message },
        'link condition changed',
      );
  }

  /** The first failure in a row is a warning in the log; those that follow are only counted. */
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
   * For how many milliseconds a status is not written yet: while keys are being reconciled, lists and counts
   * are written only every `BUSY_PERIOD_MS`; a condition that changes is written at once.
   */
  #busyMs(peer: TargetCluster | undefined, status: LinkStatus, previous: LinkStatus | undefined): number {
    if (peer === undefined || peer.depth === 0) return 0;
    const since = this.#options.clock.monotonic() - this.#writtenAt;
    // Traffic follows what the gateway asks for.
    const isUrgent = (status.gatewayDrain ?? '') !== (previous?.gatewayDrain ?? '');
    return !isUrgent && sameVerdicts(status.conditions, previous?.conditions)
      ? Math.max(0, BUSY_PERIOD_MS - since)
      : 0;
  }

  /**
   * For how many milliseconds the peer may still take to know how things are; 0: it knows, or its time is
   * over.
   */
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
    // A Link that cannot run keeps its mirrors, and what its status says of them.
    if (peer === undefined) return { conditions };
    return {
      conditions,
      mirrorCount: peer.mirrorCount,
      ...(peer.clusterUid === undefined ? {} : { targetClusterUID: peer.clusterUid }),
      ...drainOf(peer, previous),
      ...this.#listsOf(peer, previous),
    };
  }

  #listsOf(peer: TargetCluster, previous: LinkStatus | undefined): Lists {
    const { mirrorServices = [], federatedServices = [] } = previous ?? {};
    // Before the first complete list the old entries stay: many of the new ones would change again at once.
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

/** What the gateway asks for. Nothing is written of it before it has asked for anything. */
function drainOf(
  { gateway }: TargetCluster,
  previous: LinkStatus | undefined,
): Pick<LinkStatus, 'gatewayDrain'> {
  const drain = gateway?.drain;
  if (drain === undefined) return previous?.gatewayDrain === undefined ? {} : { gatewayDrain: '' };
  return { gatewayDrain: writeDrain(drain) };
}

/** Conditions that say something else than before, but for their messages. */
export function changedConditions(
  now: LinkStatus['conditions'] = [],
  before: LinkStatus['conditions'] = [],
): NonNullable<LinkStatus['conditions']> {
  return now.filter(
    ({ type, status, reason }) =>
      !before.some((one) => one.type === type && one.status === status && one.reason === reason),
  );
}

/** Whether conditions are the same but for their messages. */
function sameVerdicts(a: LinkStatus['conditions'], b: LinkStatus['conditions']): boolean {
  const verdicts = (conditions: LinkStatus['conditions']) =>
    (conditions ?? []).map(({ type, status, reason }) => [type, status, reason]);
  return isDeepStrictEqual(verdicts(a), verdicts(b));
}
