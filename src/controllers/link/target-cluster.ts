import type { Timer } from '../../base/clock.ts';
import type { ExportView } from '../../exports/export-view.ts';
import { Pace } from '../../kube/budget/pace.ts';
import type { OverBudget, PeerBudget } from '../../kube/budget/peer-budget.ts';
import { unionFor } from '../federated/member-facts.ts';
import { writeRate } from '../settings/target-budgets.ts';
import type { Link } from '../../api/link/link-schema.ts';
import { DropConfirmation } from '../removals/drop-confirmation.ts';
import { DropGuard, parseClaim } from '../removals/drop-guard.ts';
import { claimsOf } from './service-claims.ts';
import type { ClaimScope } from '../egress-ports/egress-table.ts';
import type { LinkFacts } from '../reconcile/mirror-facts.ts';
import { federatedMembers, type FederatedReconciler } from '../federated/federated-reconciler.ts';
import { believed, pathStateOf } from '../gateway-health/own-network.ts';
import { Witnesses } from '../gateway-health/witnesses.ts';
import type { GatewayPath } from '../gateway-health/gateway-path.ts';
import type { ImportNeed } from '../imports/import-ledger.ts';
import { LinkImports } from '../imports/link-imports.ts';
import type { TargetClusterOptions } from './target-cluster-options.ts';
import { Backlog } from './backlog.ts';
import { LinkEvents } from './link-events.ts';
import type { ServiceKey } from './service-statuses.ts';
import { TargetGateways } from './target-gateways.ts';
import { isAnnotated } from '../mirror/selected-exports.ts';
import { serviceMirrors } from '../mirror/service-mirrors.ts';
import { linkFacts } from '../settings/target-settings.ts';
import { TargetViews } from './target-views.ts';
import { PRIORITY, type Outcome } from '../reconcile/reconciler.ts';

/** How often everything is reconciled again without an event. */
const RESYNC_MS = 600_000;

/**
 * A peer: the work of one Link. It watches one target cluster and keeps the mirrors of its exports and its
 * memberships in federated Services. Each peer has its own queues and its own connections to the target, so
 * that a cluster that hangs, floods or lies slows down nobody else.
 */
export class TargetCluster {
  readonly #options: TargetClusterOptions;
  readonly #stop = new AbortController();
  readonly #guard: DropGuard;
  readonly #drop: DropConfirmation;
  readonly #gateways: TargetGateways;
  readonly #backlog: Backlog;
  readonly #imports: LinkImports;
  readonly #linkEvents: LinkEvents;
  readonly #unsubscribe: (() => void)[] = [];
  #resyncTimer: Timer | undefined;
  readonly #views: TargetViews;
  readonly #witnesses: Witnesses;
  readonly mirrors: ReturnType<typeof serviceMirrors>;
  readonly federated: FederatedReconciler;

  constructor(options: TargetClusterOptions) {
    this.#options = options;
    const { link, settings, clock, log, onStatus } = options;
    this.#linkEvents = new LinkEvents({ link, log, events: options.events });
    this.#witnesses = new Witnesses({
      clock,
      path: () => (this.gateway?.probed === true ? this.gateway.facts.path : undefined),
      apiLost: () => this.#views.apiLost,
    });
    const changed = () => onStatus.changed();
    this.#views = new TargetViews({
      ...options,
      onState: () => {
        changed();
        this.#heard();
      },
      onOver: ({ budget, message }) => this.#linkEvents.warn('OverBudget', `${budget}: ${message}`),
    });
    this.#backlog = new Backlog({
      clock,
      depth: () => this.depth,
      onLasting: changed,
      onIdle: () => onStatus.idle(),
    });
    this.#guard = new DropGuard(settings.dropGuard);
    this.#drop = new DropConfirmation({
      clock,
      log,
      remote: this.#views.remote,
      reading: this.#views.reading,
      guard: this.#guard,
      selectors: this.#views.selectors,
      claimsOf: (service) => claimsOf(service, link),
      witness: () => this.#views.witness,
      knownUid: options.knownUid,
      acceptedUid: link.acceptedUid,
      reconsider: (claims) => this.#reconsider(claims),
      tell: (reason, message) => this.#linkEvents.warn(reason, message),
      onIdentity: changed,
      signal: this.#stop.signal,
    });
    this.#gateways = this.#targetGateways();
    const facts = linkFacts(link, settings);
    this.#imports = this.#newLinkImports(facts);
    const writing = this.#writing();
    this.mirrors = serviceMirrors({
      ...writing,
      link,
      facts,
      exports: this.exports,
      gatewayOf: (remote) => {
        const found = this.#gateways.of(remote);
        // Linkerd's clients may have somebody else, by a split that nobody here knows.
        return facts.dataPath === 'relay' ? believed(found) : found;
      },
      inFailover: () => options.failover?.links.has(link.targetClusterName) === true,
      weighed: options.weighed,
      hostGraceMs: settings.hostGraceMs,
      onKeys: changed,
      onOutcome: (key, outcome, before) => this.#report({ key, federated: false }, outcome, before),
    });
    this.federated = federatedMembers({
      ...writing,
      ...facts,
      member: link.targetClusterName,
      members: this.members,
      union: unionFor(settings, facts.dataPath),
      failover: options.failover,
      events: options.events,
      publishesFacts: unionFor(settings, facts.dataPath) === 'relay',
      gatewayOf: () => this.gateway?.facts,
      witnesses: this.#witnesses,
      ageOf: options.ageOf,
      onOutcome: (key, outcome, before) => this.#report({ key, federated: true }, outcome, before),
    });
  }

  get link(): Link {
    return this.#options.link;
  }

  /** The target's Services that the Link mirrors. */
  get exports(): ExportView {
    return this.#views.exports;
  }

  /** The target's members of federated Services. */
  get members(): ExportView {
    return this.#views.members;
  }

  /** The Link's own gateway; undefined: it names none. */
  get gateway(): GatewayPath | undefined {
    return this.#gateways.own;
  }

  /** How many mirrors exist. */
  get mirrorCount(): number {
    return this.mirrors.keys().length;
  }

  /** How much of the Link's quotas its mirrors and memberships take. */
  get taken(): ImportNeed {
    return this.#imports.ledger.taken;
  }

  /** As `SourceRanges.unknown`. */
  get unknownRanges(): readonly string[] {
    return this.#options.ranges.unknown;
  }

  /** How many keys wait or are being reconciled. */
  get depth(): number {
    return this.mirrors.reconciler.depth + this.federated.reconciler.depth;
  }

  /** As `Backlog.lasting`. */
  get busy(): boolean {
    return this.#backlog.lasting;
  }

  /** As `WorkQueue.oldestRunningMs`, over both queues. */
  get oldestRunningMs(): number {
    return Math.max(this.mirrors.reconciler.oldestRunningMs, this.federated.reconciler.oldestRunningMs);
  }

  /** How many writes to mirrors were carried out. */
  get written(): number {
    return this.mirrors.reconciler.written + this.federated.reconciler.written;
  }

  /** Whether everything of the target has been listed completely. */
  get synced(): boolean {
    return this.#views.synced;
  }

  /** Why the Link is parked; undefined while everything of the target fits. */
  get overBudget(): OverBudget | undefined {
    return this.#views.overBudget;
  }

  /** How much the target makes this process hold. */
  get budget(): PeerBudget {
    return this.#views.reading.budget;
  }

  /** Why the target's API server cannot be used now. */
  get apiError(): Error | undefined {
    return this.#views.apiError;
  }

  /** When everything that is known was last confirmed, milliseconds since the epoch. */
  get lastHeard(): number | undefined {
    return this.#views.lastHeard;
  }

  /** The target's identity to remember; undefined while unknown. */
  get clusterUid(): string | undefined {
    return this.#drop.uid;
  }

  /** Set while removals are held because another cluster has taken the target's place: its UID. */
  get replacedBy(): string | undefined {
    return this.#drop.replacedBy;
  }

  /** Starts watching and mirroring. Returns at once; nothing is removed before the first complete list. */
  start(): void {
    const { log } = this.#options;
    // Subscribed before the reconciler, so that the gateway of an annotation export is followed when the
    // mirror is decided about.
    this.#unsubscribe.push(this.exports.subscribe((key) => this.#exportChanged(key)));
    const suspected = () => {
      this.#options.onStatus.changed();
      this.resync(PRIORITY.withdrawal);
    };
    this.#unsubscribe.push(this.#options.ownNetwork?.follow(suspected) ?? (() => undefined));
    this.#unsubscribe.push(this.#options.egress.follow(this.#key, (scope) => this.#claimChanged(scope)));
    this.mirrors.start();
    this.federated.start();
    this.#gateways.start();
    this.#views.start();
    const { signal } = this.#stop;
    void this.#views.whenSynced(signal).then(
      () => {
        const [exported, members] = [this.exports.services.size, this.members.services.size];
        log.info({ exported, members, mirrors: this.mirrorCount }, 'first complete list from target');
        // Each view has told of its exports when it was complete: only the others are left.
        for (const writer of [this.mirrors, this.federated]) writer.resyncUnexported(PRIORITY.bulk);
        this.#resyncClaims(PRIORITY.bulk);
        this.#resyncLater();
        void this.#drop.learn();
      },
      () => undefined,
    );
  }

  /**
   * Every change should be an event; this is for those that are not. It writes nothing where nothing differs.
   */
  #resyncLater(): void {
    this.#resyncTimer = this.#options.clock.after(
      RESYNC_MS,
      () => {
        this.resync();
        this.#resyncLater();
      },
      { unref: true },
    );
  }

  /** Reconciles everything again. */
  resync(priority: number = PRIORITY.bulk): void {
    for (const writer of [this.mirrors, this.federated]) writer.resync(priority);
    this.#resyncClaims(priority);
  }

  /**
   * Exports that have neither Service nor mirror any more and still hold an egress port: it is given back.
   */
  #resyncClaims(priority: number): void {
    for (const scope of this.#options.egress.scopes(this.#key)) this.#claimChanged(scope, priority);
  }

  /** The source cluster's own ranges have changed: all addresses are checked again. */
  rangesChanged(): void {
    this.#gateways.recheck();
    this.resync();
  }

  /** Stops. When it resolves, no write of this peer is under way or will follow. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('peer stopped'));
    this.#resyncTimer?.cancel();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#options.ownNetwork?.forget(this.#key);
    this.#backlog.stop();
    this.#drop.stop();
    await Promise.all([this.mirrors.stop(), this.federated.stop()]);
    await this.#options.egress.abandon(this.#key);
    await Promise.all([this.#views.stop(), this.#gateways.stop()]);
    await this.#views.close();
  }

  /** What writers of mirrors and of memberships have in common. */
  #writing() {
    const { settings, view, pool, egress, egressAddresses, egressServesGroups } = this.#options;
    const { clock, random, log, local } = this.#options;
    return {
      clock,
      random,
      log,
      client: local,
      view,
      pool,
      concurrency: settings.concurrency,
      pace: new Pace(writeRate(settings.budgets), clock),
      signal: this.#stop.signal,
      guard: this.#guard,
      linkImports: this.#imports,
      egress,
      egressAddresses,
      ...(egressServesGroups === undefined ? {} : { egressServesGroups }),
      onBacklog: () => this.#backlog.changed(),
    };
  }

  #newLinkImports({ rules, cluster }: LinkFacts): LinkImports {
    const { link, settings, ranges, view, clock } = this.#options;
    const { controlNamespaces, createNamespaces } = settings;
    const common = { controlNamespaces, createNamespaces, rules, cluster, view, clock };
    return new LinkImports({ ...common, policy: link.imports, own: ranges, guard: this.#guard });
  }

  #targetGateways(): TargetGateways {
    const { onStatus, clock, random, log, link, health, names, ranges, settings } = this.#options;
    const isRelayed = (link.dataPath ?? settings.dataPath) === 'relay';
    return new TargetGateways({
      ...(isRelayed ? { trunks: this.#options.trunks } : {}),
      doubts: () => this.#options.ownNetwork?.suspected === true,
      clock,
      random,
      log,
      link,
      health,
      names,
      ranges,
      askedDrain: this.#options.askedDrain,
      remote: this.#views.remote,
      limits: this.#views.reading,
      onReason: () => onStatus.changed(),
      onLinkGateway: (worse) => {
        onStatus.changed();
        this.#witnesses.look();
        this.#options.ownNetwork?.see(this.#key, {
          cluster: link.targetClusterName,
          state: pathStateOf(this.gateway?.probed === true ? this.gateway.facts.path : undefined),
        });
        this.resync(worse ? PRIORITY.withdrawal : PRIORITY.change);
      },
      onExports: (keys, worse) => {
        for (const key of keys)
          this.mirrors.reconciler.add(key, worse ? PRIORITY.withdrawal : PRIORITY.change);
      },
    });
  }

  /** What is known of its API server has changed. */
  #heard(): void {
    if (this.#witnesses.look()) this.federated.resync(PRIORITY.change);
  }

  #exportChanged(key: string): void {
    this.#drop.recheck();
    const service = this.exports.services.get(key);
    this.#gateways.exportChanged(key, service);
    if (service === undefined) this.#linkEvents.forget(key);
    else this.#linkEvents.exported(key, service, isAnnotated(service, this.link));
  }

  /** `namespace/name` of the Link. */
  get #key(): string {
    return `${this.link.namespace}/${this.link.name}`;
  }

  #claimChanged({ cluster, export: key, federated }: ClaimScope, priority: number = PRIORITY.change): void {
    if (cluster !== this.link.targetClusterName) return;
    (federated ? this.federated : this.mirrors).reconciler.add(key, priority);
  }

  #reconsider(claims: readonly string[]): void {
    for (const claim of claims) {
      const { key, federated } = parseClaim(claim);
      (federated ? this.federated : this.mirrors).reconciler.add(key, PRIORITY.bulk);
    }
  }

  #report(service: ServiceKey, outcome: Outcome | undefined, before: Outcome | undefined): void {
    this.#options.onStatus.service(service);
    if (outcome === undefined) return;
    if (outcome.reason === 'DropHeld') this.#drop.request();
    this.#linkEvents.outcome(service.key, outcome, before);
  }
}
