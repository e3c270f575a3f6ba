import { keyOf } from '../../api/kubernetes/resource.ts';
import type { V1Service } from '@kubernetes/client-node';
import type { Timer } from '../../base/clock.ts';
import type { ExportView } from '../../exports/export-view.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import { Pace } from '../../kube/budget/pace.ts';
import type { OverBudget, PeerBudget } from '../../kube/budget/peer-budget.ts';
import { unionFor } from '../federated/member-facts.ts';
import { writeRate } from '../settings/target-budgets.ts';
import type { Link } from '../../api/link/link-schema.ts';
import type { Logger } from '../../telemetry/log.ts';
import { DropConfirmation } from '../removals/drop-confirmation.ts';
import { DropGuard, memberClaim, parseClaim } from '../removals/drop-guard.ts';
import type { ClaimScope } from '../egress-ports/egress-table.ts';
import type { LinkFacts } from '../reconcile/mirror-facts.ts';
import { federatedMembers, type FederatedReconciler } from '../federated/federated-reconciler.ts';
import type { GatewayPath } from '../gateway-health/gateway-path.ts';
import type { ImportNeed } from '../imports/import-ledger.ts';
import { LinkImports } from '../imports/link-imports.ts';
import type { TargetDependencies } from '../settings/target-dependencies.ts';
import { Backlog } from './backlog.ts';
import { LinkEvents } from './link-events.ts';
import type { ServiceKey } from './service-statuses.ts';
import { TargetGateways } from './target-gateways.ts';
import { isAnnotated, isExported } from '../mirror/selected-exports.ts';
import { serviceMirrors } from '../mirror/service-mirrors.ts';
import { linkFacts, type TargetSettings } from '../settings/target-settings.ts';
import { TargetViews } from './target-views.ts';
import { PRIORITY, type Outcome } from '../reconcile/reconciler.ts';

/** How often everything is looked at again without a reason. */
const RESYNC_MS = 600_000;

export interface TargetClusterOptions extends TargetDependencies {
  readonly link: Link;
  readonly access: ClusterAccess;
  readonly settings: TargetSettings;
  /** UID of the target's `default/kubernetes` Service when it was last seen. */
  readonly knownUid: string | undefined;
  readonly onStatus: StatusListener;
  readonly log: Logger;
}

/** Told of what the status of a Link shows. */
export interface StatusListener {
  /** What became of a Service has changed. */
  service(key: ServiceKey): void;
  /** Something else that the status shows has changed. */
  changed(): void;
  /** No key waits any more. */
  idle(): void;
}

/**
 * One Link at work: watches one target cluster and keeps its mirrors and its memberships in federated
 * Services. Each peer has its own queues and its own connections to the target, so that a cluster that hangs,
 * floods or lies slows down nobody else.
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
  readonly mirrors: ReturnType<typeof serviceMirrors>;
  readonly federated: FederatedReconciler;

  constructor(options: TargetClusterOptions) {
    this.#options = options;
    const { link, settings, clock, log, onStatus } = options;
    this.#linkEvents = new LinkEvents({ link, log, events: options.events });
    const changed = () => onStatus.changed();
    this.#views = new TargetViews({
      ...options,
      onState: changed,
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
      gatewayOf: (remote) => this.#gateways.of(remote),
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
      gatewayOf: () => this.gateway?.facts,
      ageOf: options.ageOf,
      onOutcome: (key, outcome, before) => this.#report({ key, federated: true }, outcome, before),
    });
  }

  get link(): Link {
    return this.#options.link;
  }

  get exports(): ExportView {
    return this.#views.exports;
  }

  get members(): ExportView {
    return this.#views.members;
  }

  /** The Link's own gateway; undefined: it names none. */
  get gateway(): GatewayPath | undefined {
    return this.#gateways.own;
  }

  /** Mirrors that exist. */
  get mirrorCount(): number {
    return this.mirrors.keys().length;
  }

  /** What its mirrors and memberships take of the Link's quotas. */
  get taken(): ImportNeed {
    return this.#imports.ledger.taken;
  }

  /** Ranges of the source cluster that are not known. */
  get unknownRanges(): readonly string[] {
    return this.#options.ranges.unknown;
  }

  /** Keys that wait to be worked on. */
  get depth(): number {
    return this.mirrors.reconciler.depth + this.federated.reconciler.depth;
  }

  /** Whether keys wait for longer than it takes in passing. */
  get busy(): boolean {
    return this.#backlog.lasting;
  }

  /** How long the longest write has been under way. */
  get oldestRunningMs(): number {
    return Math.max(this.mirrors.reconciler.oldestRunningMs, this.federated.reconciler.oldestRunningMs);
  }

  get synced(): boolean {
    return this.#views.synced;
  }

  /** Why the Link is parked; undefined while everything of the target fits. */
  get overBudget(): OverBudget | undefined {
    return this.#views.overBudget;
  }

  /** What the target makes this process hold. */
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

  /** Starts watching and mirroring. Returns at once; the first complete list releases removals. */
  start(): void {
    const { log } = this.#options;
    // Gateways of annotation exports are followed before the mirror is decided.
    this.#unsubscribe.push(this.exports.subscribe((key) => this.#exportChanged(key)));
    this.#unsubscribe.push(this.#options.egress.follow(this.#key, (scope) => this.#claimChanged(scope)));
    this.mirrors.start();
    this.federated.start();
    this.#gateways.start();
    this.#views.start();
    const { signal } = this.#stop;
    void this.#views.whenSynced(signal).then(
      () => {
        log.info(
          {
            exported: this.exports.services.size,
            members: this.members.services.size,
            mirrors: this.mirrorCount,
          },
          'first complete list from target',
        );
        this.resync(PRIORITY.bulk);
        this.#resyncLater();
        void this.#drop.learn();
      },
      () => undefined,
    );
  }

  /**
   * Everything that happens is an event here; this is for the case that we are wrong about that. It writes
   * nothing where nothing differs.
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

  /** Looks at everything again. */
  resync(priority: number = PRIORITY.bulk): void {
    this.mirrors.resync(priority);
    this.federated.resync(priority);
    // Also exports without Service and mirror that still hold an egress port, so that it is given back.
    for (const scope of this.#options.egress.scopes(this.#key)) this.#claimChanged(scope, priority);
  }

  /** The source cluster's own ranges have changed: every address is judged anew. */
  rangesChanged(): void {
    this.#gateways.recheck();
    this.resync();
  }

  /** Stops; when it resolves no write of this peer is under way or will follow. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('peer stopped'));
    this.#resyncTimer?.cancel();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#backlog.stop();
    this.#drop.stop();
    await Promise.all([this.mirrors.stop(), this.federated.stop()]);
    await this.#options.egress.abandon(this.#key);
    await Promise.all([this.#views.stop(), this.#gateways.stop()]);
    await this.#views.close();
  }

  /** What writers of mirrors and of memberships have in common. */
  #writing() {
    const { settings, view, pool, egress, egressAddresses, clock, random, log, local } = this.#options;
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
    const { onStatus, clock, random, log, link, health, names, ranges } = this.#options;
    return new TargetGateways({
      clock,
      random,
      log,
      link,
      health,
      names,
      ranges,
      remote: this.#views.remote,
      limits: this.#views.reading,
      onReason: () => onStatus.changed(),
      onLinkGateway: (worse) => {
        onStatus.changed();
        this.resync(worse ? PRIORITY.withdrawal : PRIORITY.change);
      },
      onExports: (keys, worse) => {
        for (const key of keys)
          this.mirrors.reconciler.add(key, worse ? PRIORITY.withdrawal : PRIORITY.change);
      },
    });
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

function claimsOf(service: V1Service, link: Link): string[] {
  const key = keyOf(service);
  const mirror = isExported(service, link) ? [key] : [];
  return link.federatedServiceSelector.matches(service.metadata?.labels)
    ? [...mirror, memberClaim(key)]
    : mirror;
}
