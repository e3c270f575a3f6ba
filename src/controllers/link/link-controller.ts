import { credentialsText, tokenTtlText } from '../../api/credentials/credentials-secret.ts';
import type { V1Secret } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import { readAnnotation } from '../../api/annotations.ts';
import { type Timer, untilAborted } from '../../base/clock.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { linkLeaseName } from '../../api/lease-names.ts';
import { CREDENTIALS_SECRET_TYPE } from '../../api/names.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import { BearerAuth } from '../../kube/client/auth.ts';
import { KubeClient } from '../../kube/client/kube-client.ts';
import { LeaderElector, type LeaderElectionOptions } from '../../kube/leader-election/leader-election.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import { accessFromSecret, differsInToken } from '../../linking/credentials.ts';
import type { TargetDependencies } from '../settings/target-dependencies.ts';
import { credentialsVerdict, expiryOf, type Expiry } from './credentials-verdict.ts';
import { gatewayOfLink, noAccess } from './gateway-of-link.ts';
import { importAnnotations } from '../../api/link/import-policy.ts';
import { LINK_ANNOTATIONS, parseLink, type Link, type LinkObject } from '../../api/link/link-schema.ts';
import { TokenRenewal } from './token-renewal.ts';
import type { Logger } from '../../telemetry/log.ts';
import { collect, leftoversOf, makers } from '../gc/garbage-collector.ts';
import { LinkStatusWriter } from './link-status-writer.ts';
import { TargetCluster } from './target-cluster.ts';
import type { TargetSettings } from '../settings/target-settings.ts';

export interface LinkControllerOptions extends TargetDependencies {
  /** `namespace/name` of the Link. */
  readonly key: string;
  readonly settings: TargetSettings;
  readonly replica: string;
  readonly lease: Pick<LeaderElectionOptions, 'store' | 'durationMs' | 'renewDeadlineMs' | 'claimDelayMs'>;
  /** Whether some Link names a cluster, so that what was made for it is in use. */
  readonly isLinked: (cluster: string) => boolean;
  /** Everything that a deleted Link had made is gone. */
  readonly onCollected: () => void;
  readonly log: Logger;
}

/** What a run was started from; as long as it is the same, nothing is restarted. */
interface Basis {
  readonly spec: unknown;
  readonly annotations: readonly (string | undefined)[];
  /** The import policy as it is written. */
  readonly imports: readonly (readonly [annotation: string, text: string])[];
  readonly kubeconfig: string | undefined;
  readonly tokenTtl: string | undefined;
  readonly rival: string | undefined;
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
  #collecting = false;
  #statusTimer: Timer | undefined;

  constructor(options: LinkControllerOptions) {
    this.#options = options;
    this.#status = new LinkStatusWriter(options);
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

  /** When its credentials end, if they say so. */
  get expiry(): Expiry | undefined {
    return this.#access && expiryOf(this.#access);
  }

  /**
   * How the renewal of its token goes, while this replica holds the Link's Lease and the Secret asks for it.
   */
  get renewals(): TokenRenewal['counts'] | undefined {
    return this.#renewal?.active === true ? this.#renewal.counts : undefined;
  }

  /** Writes of its status that failed, since this replica knows it. */
  get statusFailures(): number {
    return this.#status.failures;
  }

  /** Why its status is older than what is known here; undefined: it is not. */
  get statusFailure(): Error | undefined {
    return this.#status.failure;
  }

  /**
   * Takes in the Link as it is now (undefined = deleted) and the Secrets; restarts the peer when anything
   * that it depends on has changed.
   */
  async update(
    object: LinkObject | undefined,
    secrets: IndexedStore<V1Secret>,
    rival: string | undefined,
  ): Promise<void> {
    this.#object = object;
    if (object === undefined) {
      await this.#delete();
      return;
    }
    const secret = secrets.get(
      `${object.metadata?.namespace ?? ''}/${object.spec?.clusterCredentialsSecret ?? ''}`,
    );
    const basis = basisOf(object, secret, rival);
    if (isDeepStrictEqual(basis, this.#basis)) return;
    const takenUp = this.#takeToken(basis, secret);
    this.#basis = basis;
    this.#secret = secret;
    if (takenUp) return;
    await this.#halt();
    this.#start(object, secret, rival);
  }

  /** Stops the peer and gives the Lease up; when it resolves no write is under way. */
  async stop(): Promise<void> {
    this.#statusTimer?.cancel();
    this.#statusTimer = undefined;
    await this.#halt();
  }

  /**
   * Where nothing but the token has changed, the peer goes on with the new one: a renewal is no reason to
   * list everything again.
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
      const { link, access } = check(object, secret, rival);
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
    this.#scheduleStatus();
  }

  /**
   * A Link that cannot be used says all the same where its gateway is: nobody may be sent there when it is
   * dead.
   */
  #followGateway(object: LinkObject, rival: string | undefined, problem: LinkspanError): void {
    const link = rival === undefined ? gatewayOfLink(object) : undefined;
    if (link === undefined) void this.#writeStatus();
    else this.#elector = this.#newElector((signal) => this.#lead(link, noAccess(problem), signal));
  }

  #newElector(onTerm: (signal: AbortSignal) => Promise<void>): LeaderElector {
    const { local, replica, clock, random, log, key, lease } = this.#options;
    const slash = key.indexOf('/');
    const elector = new LeaderElector({
      ...lease,
      client: local,
      namespace: key.slice(0, slash),
      name: linkLeaseName(key.slice(slash + 1)),
      identity: replica,
      clock,
      random,
      log,
      onTerm,
    });
    elector.start();
    return elector;
  }

  /** One term of holding the Lease: runs the peer until the signal says that it is over. */
  async #term(link: Link, access: ClusterAccess, signal: AbortSignal): Promise<void> {
    const renewing = this.#startRenewal(access);
    // A Link that was edited to name another cluster leaves the mirrors of the former one behind.
    void this.#collectClusters((cluster) => cluster !== link.targetClusterName, signal);
    await Promise.all([this.#lead(link, access, signal), untilAborted(signal).then(renewing)]);
  }

  /** Runs the peer until the signal says that the term is over. */
  async #lead(link: Link, access: ClusterAccess, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const knownUid = this.#status.latest(this.#object)?.targetClusterUID;
    const peer = new TargetCluster({ ...this.#options, link, access, knownUid });
    this.#peer = peer;
    log.info({ cluster: link.targetClusterName, server: access.server }, 'link started');
    peer.start();
    await untilAborted(signal);
    this.#peer = undefined;
    await peer.stop();
    log.info({ cluster: link.targetClusterName }, 'link stopped');
  }

  /** Renews the token for as long as a term lasts, so that one replica does; returns what ends it. */
  #startRenewal(access: ClusterAccess): () => Promise<void> {
    const { local, names, clock, random, log } = this.#options;
    const lookup = names.forSockets;
    const remote = new KubeClient(access, { clock, random, log, lookup, maxConnections: 1 });
    const renewal = new TokenRenewal({ remote, local, clock, random, log });
    this.#renewal = renewal;
    if (this.#secret !== undefined) renewal.follow(this.#secret);
    return async () => {
      this.#renewal = undefined;
      await renewal.stop();
      await remote.close();
    };
  }

  /** The Link is gone: everything that it made goes too, under its Lease, and then the Lease. */
  async #delete(): Promise<void> {
    if (this.#collecting) return;
    this.#statusTimer?.cancel();
    this.#statusTimer = undefined;
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
      // Where another Link names the cluster, its peer takes the mirrors and their egress ports over as they
      // are.
      if (!wanted(cluster) || isLinked(cluster)) continue;
      const { concurrency } = settings;
      if (leftoversOf(view, owner).length > 0)
        await collect({ ...this.#options, owner, client: local, concurrency, signal, log });
      if (!signal.aborted) egress.releaseLink(key, cluster);
    }
  }

  #scheduleStatus(): void {
    this.#statusTimer?.cancel();
    this.#statusTimer = this.#options.clock.after(STATUS_PERIOD_MS, () => {
      void this.#writeStatus().finally(() => {
        if (this.#statusTimer !== undefined) this.#scheduleStatus();
      });
    });
  }

  async #writeStatus(): Promise<void> {
    // Without a peer or a problem another replica holds the Lease: the status is its to write.
    const nobody = this.#peer === undefined && (this.#problem === undefined || this.#elector !== undefined);
    if (this.#object === undefined || nobody) return;
    const facts = {
      expiry: this.expiry,
      renewed: this.#renewal?.active ?? false,
      renewalError: this.#renewal?.error,
    };
    const credentials = credentialsVerdict(facts, this.#options.clock.now());
    await this.#status.write(this.#object, { problem: this.#problem, peer: this.#peer, credentials });
  }
}

/**
 * How often a Link's status is compared with what was last written; changes in between are written together.
 */
const STATUS_PERIOD_MS = 1000;

function basisOf(object: LinkObject, secret: V1Secret | undefined, rival: string | undefined): Basis {
  const annotations = object.metadata?.annotations;
  return {
    spec: object.spec,
    annotations: LINK_ANNOTATIONS.map((name) => readAnnotation(annotations, name)),
    imports: importAnnotations(annotations),
    kubeconfig: secret && credentialsText(secret),
    tokenTtl: secret && tokenTtlText(secret),
    rival,
  };
}

/**
 * Everything that must hold before a Link can run.
 * @throws LinkspanError with the first thing that does not
 */
function check(
  object: LinkObject,
  secret: V1Secret | undefined,
  rival: string | undefined,
): { link: Link; access: ClusterAccess } {
  const verdict = parseLink(object);
  const where = `Link ${object.metadata?.namespace ?? ''}/${object.metadata?.name ?? ''}`;
  if (!verdict.ok) {
    const problems = verdict.problems.map(({ field, problem }) => `${field} ${problem}`).join('; ');
    throw new LinkspanError('LINK_INVALID', `${where}: ${problems}`);
  }
  if (rival !== undefined) {
    const cluster = verdict.link.targetClusterName;
    throw new LinkspanError(
      'LINK_DUPLICATE',
      `${where}: the older Link "${rival}" already names the cluster "${cluster}"`,
    );
  }
  if (secret === undefined) {
    const name = `${verdict.link.namespace}/${verdict.link.credentialsSecret}`;
    throw new LinkspanError(
      'CREDENTIALS_MISSING',
      `${where}: there is no Secret ${name} of type ${CREDENTIALS_SECRET_TYPE} that the controller may read; one of that name may be of another type, as other tools make them (Opaque)`,
    );
  }
  return { link: verdict.link, access: accessFromSecret(secret) };
}
