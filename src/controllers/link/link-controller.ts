import { parseKey } from '../../api/mirror/mirror-names.ts';
import type { V1Secret } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import { untilAborted } from '../../base/clock.ts';
import { readDrain } from '../../api/failover/failover-drain.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { linkLeaseName } from '../../api/lease-names.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import { BearerAuth } from '../../kube/client/auth.ts';
import { clientFor } from '../../kube/client/scoped-client.ts';
import { LeaderElector, type LeaderElectionOptions } from '../../kube/leader-election/leader-election.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import { accessFromSecret, differsInToken } from '../../linking/credentials.ts';
import type { TargetDependencies } from '../settings/target-dependencies.ts';
import { credentialsChangeAt, credentialsVerdict, expiryOf, type Expiry } from './credentials-verdict.ts';
import { gatewayOfLink, noAccess } from './gateway-of-link.ts';
import type { Link, LinkObject } from '../../api/link/link-schema.ts';
import { basisOf, usableLink, type Basis } from './link-basis.ts';
import { TokenRenewal } from './token-renewal.ts';
import type { Logger } from '../../telemetry/log.ts';
import { collect, leftoversOf, makers } from '../gc/garbage-collector.ts';
import { LinkStatusWriter } from './link-status-writer.ts';
import { StatusSchedule, type StatusTurn } from './status-schedule.ts';
import type { ServiceKey } from './service-statuses.ts';
import { TargetCluster } from './target-cluster.ts';
import type { TargetSettings } from '../settings/target-settings.ts';

/** One Link, and what its controller shares with those of others. */
export interface LinkControllerOptions extends TargetDependencies {
  /** `namespace/name` of the Link. */
  readonly key: string;
  readonly settings: TargetSettings;
  readonly replica: string;
  readonly lease: Pick<LeaderElectionOptions, 'store' | 'durationMs' | 'renewDeadlineMs' | 'claimDelayMs'>;
  /** Whether some Link names a cluster, so that what was made for it may stay. */
  readonly isLinked: (cluster: string) => boolean;
  /** The Link was deleted, and everything that it had made is gone. */
  readonly onCollected: () => void;
  readonly log: Logger;
}

/**
 * The life of one Link: checks it and its credentials, holds its Lease, runs its `TargetCluster` while the
 * Lease is held, and removes what it made when it is deleted.
 */
export class LinkController {
  readonly #options: LinkControllerOptions;
  readonly #status: LinkStatusWriter;
  #basis: Basis | undefined;
  #object: LinkObject | undefined;
  #problem: LinkspanError | undefined;
  #peer: TargetCluster | undefined;
  #secret: V1Secret | undefined;
  #access: ClusterAccess | undefined;
  /** The token that the peer's clients send, where it is one. */
  #bearer: BearerAuth | undefined;
  #renewal: TokenRenewal | undefined;
  #elector: LeaderElector | undefined;
  /** The Link is deleted, and what it made is being removed. */
  #collecting = false;
  readonly #schedule: StatusSchedule;
  /** Keys waited when the status was last worked out, so that it changes when none does any more. */
  #sawBacklog = false;

  constructor(options: LinkControllerOptions) {
    this.#options = options;
    this.#status = new LinkStatusWriter(options);
    const { clock, random } = options;
    this.#schedule = new StatusSchedule({ clock, random, work: () => this.#writeStatus() });
  }

  /** The peer, while this replica holds the Link's Lease. */
  get peer(): TargetCluster | undefined {
    return this.#peer;
  }

  /** Whether this replica holds the Link's Lease. */
  get leader(): boolean {
    return this.#elector?.leader ?? false;
  }

  /** Why the Link cannot run, if so. */
  get problem(): LinkspanError | undefined {
    return this.#problem;
  }

  /** When its credentials expire, if they say so. */
  get expiry(): Expiry | undefined {
    return this.#access && expiryOf(this.#access);
  }

  /**
   * How the renewal of its token goes, while this replica holds the Link's Lease and the Secret asks for it.
   */
  get renewals(): TokenRenewal['counts'] | undefined {
    return this.#renewal?.active === true ? this.#renewal.counts : undefined;
  }

  /** How many writes of its status have failed, since this replica knows it. */
  get statusFailures(): number {
    return this.#status.failures;
  }

  /** How often its conditions have changed, as this replica has written them. */
  get transitions(): LinkStatusWriter['transitions'] {
    return this.#status.transitions;
  }

  /** Why its status in the cluster is out of date; undefined: it is not. */
  get statusFailure(): Error | undefined {
    return this.#object === undefined ? undefined : this.#status.failure;
  }

  /**
   * Takes in the Link as it is now (undefined: it is deleted) and its Secret, and restarts the peer where
   * anything on which it depends has changed.
   * @param rival another Link that has the same target
   */
  async update(
    object: LinkObject | undefined,
    secrets: IndexedStore<V1Secret>,
    rival: string | undefined,
  ): Promise<void> {
    const before = this.#object;
    this.#object = object;
    if (object === undefined) {
      await this.#delete();
      return;
    }
    this.#markIfOther(object, before);
    const secret = secrets.get(
      `${object.metadata?.namespace ?? ''}/${object.spec?.clusterCredentialsSecret ?? ''}`,
    );
    const basis = basisOf(object, secret, rival);
    if (isDeepStrictEqual(basis, this.#basis)) {
      this.#followVersion(secret);
      return;
    }
    const takenUp = this.#takeToken(basis, secret);
    this.#basis = basis;
    this.#secret = secret;
    if (takenUp) return;
    await this.#halt();
    this.#start(object, secret, rival);
  }

  /** Hands a new version of the Secret to the renewal, whose write is bound to the version that it knows. */
  #followVersion(secret: V1Secret | undefined): void {
    if (secret?.metadata?.resourceVersion === this.#secret?.metadata?.resourceVersion) return;
    this.#secret = secret;
    if (secret !== undefined) this.#renewal?.follow(secret);
  }

  /**
   * Has the status written where somebody else has changed it, or where it is about an older generation of
   * the Link.
   */
  #markIfOther(object: LinkObject, before: LinkObject | undefined): void {
    const isOther = this.#status.seen(object);
    if (isOther || object.metadata?.generation !== before?.metadata?.generation) this.#schedule.mark();
  }

  /** Stops the peer and gives the Lease up; when it resolves no write is under way. */
  async stop(): Promise<void> {
    this.#schedule.stop();
    await this.#halt();
  }

  /**
   * Where nothing but the token has changed, the peer goes on with the new one: a renewal must not make it
   * list everything again.
   * @returns whether that was so
   */
  #takeToken(basis: Basis, secret: V1Secret | undefined): boolean {
    const before = this.#basis;
    if (secret === undefined || before === undefined || this.#elector === undefined) return false;
    if (this.#access === undefined || this.#bearer === undefined) return false;
    const { kubeconfig, tokenTtl } = basis;
    if (!isDeepStrictEqual({ ...before, kubeconfig, tokenTtl }, basis)) return false;
    let access: ClusterAccess;
    try {
      access = accessFromSecret(secret);
    } catch {
      return false;
    }
    if (!differsInToken(access, this.#access) || access.bearer === undefined) return false;
    this.#access = access;
    this.#bearer.replace(access.bearer);
    this.#renewal?.follow(secret);
    this.#schedule.mark();
    return true;
  }

  async #halt(): Promise<void> {
    await this.#elector?.stop();
    this.#elector = undefined;
    this.#collecting = false;
    this.#problem = undefined;
    this.#peer = undefined;
    this.#access = undefined;
    this.#bearer = undefined;
  }

  #start(object: LinkObject, secret: V1Secret | undefined, rival: string | undefined): void {
    try {
      const { link, access } = usableLink(object, secret, rival);
      this.#access = access;
      this.#bearer = access.bearer === undefined ? undefined : new BearerAuth(access.bearer);
      const used = this.#bearer === undefined ? access : { ...access, auth: this.#bearer };
      this.#elector = this.#newElector((term) => this.#term(link, used, term));
    } catch (error) {
      if (!(error instanceof LinkspanError)) throw error;
      this.#options.log.error({ err: error }, 'link not usable');
      this.#problem = error;
      this.#followGateway(object, rival, error);
    }
    this.#schedule.resume();
  }

  /**
   * A Link that cannot be used still says where its gateway is, and the mirrors that it has made stay:
   * clients must not be sent there when it is dead.
   */
  #followGateway(object: LinkObject, rival: string | undefined, problem: LinkspanError): void {
    const link = rival === undefined ? gatewayOfLink(object) : undefined;
    this.#elector = this.#newElector((signal) =>
      link === undefined ? this.#tellProblem(signal) : this.#lead(link, noAccess(problem), signal),
    );
  }

  /**
   * Nothing can be done for the Link but to write its status, under its Lease, so that one replica does so.
   */
  async #tellProblem(signal: AbortSignal): Promise<void> {
    this.#schedule.mark();
    await untilAborted(signal);
  }

  #newElector(onTerm: (signal: AbortSignal) => Promise<void>): LeaderElector {
    const { local, replica, clock, random, log, key, lease } = this.#options;
    const { namespace, name } = parseKey(key);
    const elector = new LeaderElector({
      ...lease,
      client: local,
      namespace,
      name: linkLeaseName(name),
      identity: replica,
      clock,
      random,
      log,
      onTerm,
    });
    elector.start();
    return elector;
  }

  /** The work of one term of holding the Lease: runs the peer until the signal aborts. */
  async #term(link: Link, access: ClusterAccess, signal: AbortSignal): Promise<void> {
    const renewing = this.#startRenewal(access);
    // A Link that was edited to name another cluster has left mirrors of the former one.
    void this.#collectClusters((cluster) => cluster !== link.targetClusterName, signal);
    await Promise.all([this.#lead(link, access, signal), untilAborted(signal).then(renewing)]);
  }

  /** Runs the peer until the signal aborts. */
  async #lead(link: Link, access: ClusterAccess, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const { targetClusterUID: knownUid, gatewayDrain } = this.#status.latest(this.#object) ?? {};
    const askedDrain = readDrain(gatewayDrain);
    const onStatus = {
      service: (service: ServiceKey) => {
        this.#status.mark(service);
        this.#schedule.mark();
      },
      changed: () => this.#schedule.mark(),
      idle: () => {
        if (this.#sawBacklog) this.#schedule.mark();
      },
    };
    const peer = new TargetCluster({ ...this.#options, link, access, knownUid, askedDrain, onStatus });
    this.#peer = peer;
    this.#schedule.mark();
    log.info({ cluster: link.targetClusterName, server: access.server }, 'link started');
    peer.start();
    await untilAborted(signal);
    this.#peer = undefined;
    this.#status.release(peer);
    await peer.stop();
    log.info({ cluster: link.targetClusterName }, 'link stopped');
  }

  /**
   * Begins to renew the token, for as long as the term lasts, so that one replica does.
   * @returns what ends that
   */
  #startRenewal(access: ClusterAccess): () => Promise<void> {
    const { local, names, clock, random, log } = this.#options;
    const lookup = names.forSockets;
    const remote = (this.#options.clientFor ?? clientFor)(access, {
      clock,
      random,
      log,
      lookup,
      maxConnections: 1,
    });
    const onState = () => this.#schedule.mark();
    const renewal = new TokenRenewal({ remote, local, clock, random, log, onState });
    this.#renewal = renewal;
    if (this.#secret !== undefined) renewal.follow(this.#secret);
    return async () => {
      this.#renewal = undefined;
      await renewal.stop();
      await remote.close();
    };
  }

  /** The Link was deleted: removes everything that it has made, under its Lease, and then the Lease. */
  async #delete(): Promise<void> {
    if (this.#collecting) return;
    this.#schedule.stop();
    this.#basis = undefined;
    await this.#halt();
    this.#collecting = true;
    const elector = this.#newElector(async (signal) => {
      await this.#collectClusters(() => true, signal);
      if (signal.aborted) return;
      // `remove` waits for this term to end, so it cannot be awaited within it.
      setImmediate(() => {
        elector.remove().then(
          () => this.#collected(elector),
          (err: unknown) => this.#options.log.warn({ err }, 'lease of a deleted Link not removed'),
        );
      });
      await untilAborted(signal);
    });
    this.#elector = elector;
  }

  #collected(elector: LeaderElector): void {
    if (this.#elector !== elector || !this.#collecting) return;
    this.#elector = undefined;
    this.#options.onCollected();
  }

  async #collectClusters(wanted: (cluster: string) => boolean, signal: AbortSignal): Promise<void> {
    const { key, view, egress, isLinked, local, settings, log } = this.#options;
    const made = makers(view).get(key) ?? new Set<string>();
    for (const cluster of new Set([...made, ...(egress.links().get(key) ?? [])])) {
      const owner = { link: key, cluster };
      // Where another Link names the cluster, its peer takes over the mirrors and their egress ports.
      if (!wanted(cluster) || isLinked(cluster)) continue;
      const { concurrency } = settings;
      if (leftoversOf(view, owner).length > 0)
        await collect({ ...this.#options, owner, client: local, concurrency, signal, log });
      if (!signal.aborted) egress.releaseLink(key, cluster);
    }
  }

  async #writeStatus(): Promise<StatusTurn> {
    // Without the Lease the status is another replica's to write.
    const isOurs = this.leader && (this.#peer !== undefined || this.#problem !== undefined);
    if (this.#object === undefined || !isOurs) {
      this.#status.giveUp();
      return { failed: false };
    }
    const { clock } = this.#options;
    const facts = {
      expiry: this.expiry,
      renewed: this.#renewal?.active ?? false,
      renewalError: this.#renewal?.error,
    };
    const now = clock.now();
    this.#sawBacklog = (this.#peer?.depth ?? 0) > 0;
    const credentials = credentialsVerdict(facts, now);
    const situation = { problem: this.#problem, peer: this.#peer, credentials };
    const turn = await this.#status.write(this.#object, situation);
    return { ...turn, changesAt: credentialsChangeAt(facts, now) };
  }
}
