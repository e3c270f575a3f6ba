import { keyOf } from '../../api/kubernetes/resource.ts';
import type { V1Service } from '@kubernetes/client-node';
import type { Timer } from '../../base/clock.ts';
import type { ExportView } from '../../exports/export-view.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { Pace } from '../../kube/budget/pace.ts';
import { type OverBudget, PeerBudget } from '../../kube/budget/peer-budget.ts';
import type { PeerReading } from '../../kube/budget/peer-reading.ts';
import { clientFor } from '../../kube/client/scoped-client.ts';
import { unionFor } from '../federated/member-facts.ts';
import { READ_RATE, writeRate } from '../settings/target-budgets.ts';
import { annotatedGateway } from '../../api/exports/export-marks.ts';
import type { Link } from '../../api/link/link-schema.ts';
import type { Logger } from '../../telemetry/log.ts';
import { AnnotatedGateways } from '../gateway-health/annotated-gateways.ts';
import { ApiReachability } from '../gateway-health/api-reachability.ts';
import { DropConfirmation } from '../removals/drop-confirmation.ts';
import { DropGuard, memberClaim, parseClaim } from '../removals/drop-guard.ts';
import type { ClaimScope } from '../egress-ports/egress-table.ts';
import type { GatewayFacts, LinkFacts } from '../reconcile/mirror-facts.ts';
import { federatedMembers, type FederatedReconciler } from '../federated/federated-reconciler.ts';
import { GatewayPath } from '../gateway-health/gateway-path.ts';
import type { ImportNeed } from '../imports/import-ledger.ts';
import { Importer } from '../reconcile/importer.ts';
import type { TargetDependencies } from '../settings/target-dependencies.ts';
import { LinkEvents } from './link-events.ts';
import { isAnnotated, isExported } from '../mirror/selected-exports.ts';
import { serviceMirrors } from '../mirror/service-mirrors.ts';
import { linkFacts, type TargetSettings } from '../settings/target-settings.ts';
import { openViews, reachabilityClient } from './target-views.ts';
import { PRIORITY, type Outcome } from '../reconcile/reconciler.ts';
import { gatewayRefusal } from '../imports/remote-addresses.ts';

/** How often everything is looked at again without a reason. */
const RESYNC_MS = 600_000;

export interface TargetClusterOptions extends TargetDependencies {
  readonly link: Link;
  readonly access: ClusterAccess;
  readonly settings: TargetSettings;
  /** UID of the target's `default/kubernetes` Service when it was last seen. */
  readonly knownUid: string | undefined;
  readonly log: Logger;
}

/**
 * One Link at work: watches one target cluster and keeps its mirrors and its memberships in federated
 * Services. Each peer has its own queues and its own connections to the target, so that a cluster that hangs,
 * floods or lies slows down nobody else.
 */
export class TargetCluster {
  readonly #options: TargetClusterOptions;
  readonly #stop = new AbortController();
  readonly #remote: KubeClient;
  readonly #api: ApiReachability;
  readonly #guard: DropGuard;
  readonly #drop: DropConfirmation;
  readonly #gateways: AnnotatedGateways;
  readonly #imports: Importer;
  readonly #linkEvents: LinkEvents;
  readonly #reading: PeerReading;
  readonly #unsubscribe: (() => void)[] = [];
  #resyncTimer: Timer | undefined;
  readonly exports: ExportView;
  readonly members: ExportView;
  readonly gateway: GatewayPath | undefined;
  readonly mirrors: ReturnType<typeof serviceMirrors>;
  readonly federated: FederatedReconciler;

  constructor(options: TargetClusterOptions) {
    this.#options = options;
    const { link, settings, clock, random, log, access } = options;
    const common = { clock, random, log };
    this.#linkEvents = new LinkEvents({ link, log, events: options.events });
    const { budgets } = settings;
    const warn = ({ budget, message }: OverBudget) =>
      this.#linkEvents.warn('OverBudget', `${budget}: ${message}`);
    this.#reading = {
      budget: new PeerBudget(budgets.held, warn, options.total),
      pace: new Pace(READ_RATE, clock),
      maxPages: budgets.pages,
    };
    // One Link's silent name server must not keep the others from their API servers.
    const remote = { ...common, lookup: options.names.forSockets };
    this.#remote = clientFor(access, { ...remote, limits: budgets.answer }, link.readableNamespaces);
    this.#api = new ApiReachability({
      client: reachabilityClient(access, remote),
      clock,
      onBack: () => {
        this.exports.refresh();
        this.members.refresh();
      },
    });
    const views = openViews(link, settings.annotationExports, {
      ...common,
      client: this.#remote,
      limits: { ...this.#reading, serviceMetadata: budgets.serviceMetadata },
    });
    this.exports = views.exports;
    this.members = views.members;
    this.#guard = new DropGuard(settings.dropGuard);
    this.#drop = new DropConfirmation({
      ...common,
      remote: this.#remote,
      reading: this.#reading,
      guard: this.#guard,
      selectors: views.selectors,
      claimsOf: (service) => claimsOf(service, link),
      witness: () => views.exports.services.first ?? views.members.services.first,
      knownUid: options.knownUid,
      acceptedUid: link.acceptedUid,
      reconsider: (claims) => this.#reconsider(claims),
      tell: (reason, message) => this.#linkEvents.warn(reason, message),
      signal: this.#stop.signal,
    });
    this.#gateways = this.#annotatedGateways();
    this.gateway = link.gateway === undefined ? undefined : this.#gatewayPath(link.gateway);
    const facts = linkFacts(link, settings);
    this.#imports = this.#importer(facts);
    const writing = this.#writing();
    this.mirrors = serviceMirrors({
      ...writing,
      link,
      facts,
      exports: this.exports,
      gatewayOf: (remote) => this.#gatewayOf(remote),
      hostGraceMs: settings.hostGraceMs,
      onOutcome: (key, outcome, before) => this.#report(key, outcome, before),
    });
    this.federated = federatedMembers({
      ...writing,
      ...facts,
      member: link.targetClusterName,
      members: this.members,
      union: unionFor(settings, facts.dataPath),
      gatewayOf: () => this.gateway?.facts,
      ageOf: options.ageOf,
      onOutcome: (key, outcome, before) => this.#report(key, outcome, before),
    });
  }

  get link(): Link {
    return this.#options.link;
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

  /** Changes whenever something about some Service does. */
  get revision(): number {
    return this.mirrors.reconciler.revision + this.federated.reconciler.revision;
  }

  /** How long the longest write has been under way. */
  get oldestRunningMs(): number {
    return Math.max(this.mirrors.reconciler.oldestRunningMs, this.federated.reconciler.oldestRunningMs);
  }

  get synced(): boolean {
    return this.exports.synced && this.members.synced;
  }

  /** Why the Link is parked; undefined while everything of the target fits. */
  get overBudget(): OverBudget | undefined {
    return this.#reading.budget.over;
  }

  /** What the target makes this process hold. */
  get budget(): PeerBudget {
    return this.#reading.budget;
  }

  /** Why the target's API server cannot be used now. */
  get apiError(): Error | undefined {
    return this.exports.error ?? this.members.error ?? this.#api.error;
  }

  /** When everything that is known was last confirmed, milliseconds since the epoch. */
  get lastHeard(): number | undefined {
    const words = [this.exports.lastHeard, this.members.lastHeard].filter((word) => word !== undefined);
    return words.length === 0 ? undefined : Math.min(...words);
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
    this.gateway?.start();
    this.#api.start();
    this.exports.start();
    this.members.start();
    const { signal } = this.#stop;
    void Promise.all([this.exports.whenSynced(signal), this.members.whenSynced(signal)]).then(
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
    this.gateway?.recheck();
    this.#gateways.recheck();
    this.resync();
  }

  /** Stops; when it resolves no write of this peer is under way or will follow. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('peer stopped'));
    this.#resyncTimer?.cancel();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.gateway?.stop();
    this.#drop.stop();
    await Promise.all([this.mirrors.stop(), this.federated.stop()]);
    await this.#options.egress.abandon(this.#key);
    await Promise.all([this.exports.stop(), this.members.stop(), this.#gateways.stop(), this.#api.stop()]);
    this.#reading.budget.close();
    await this.#remote.close();
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
      importer: this.#imports,
      egress,
      egressAddresses,
    };
  }

  #importer({ rules, cluster }: LinkFacts): Importer {
    const { link, settings, ranges, view, clock } = this.#options;
    const { controlNamespaces, createNamespaces } = settings;
    const common = { controlNamespaces, createNamespaces, rules, cluster, view, clock };
    return new Importer({ ...common, policy: link.imports, own: ranges, guard: this.#guard });
  }

  #annotatedGateways(): AnnotatedGateways {
    const { link, health, names, clock, random, log } = this.#options;
    return new AnnotatedGateways({
      clock,
      random,
      log,
      cluster: link.targetClusterName,
      remote: this.#remote,
      limits: this.#reading,
      names,
      refusal: this.#refusal,
      health,
      link,
      onChange: (gateway, worse) => {
        for (const key of this.#gateways.users(gateway))
          this.mirrors.reconciler.add(key, worse ? PRIORITY.withdrawal : PRIORITY.change);
      },
    });
  }

  #gatewayPath(gateway: NonNullable<Link['gateway']>): GatewayPath {
    const { link, health, names } = this.#options;
    return new GatewayPath({
      cluster: link.targetClusterName,
      hosts: gateway.addresses,
      port: gateway.port,
      identity: gateway.identity,
      probe: link.probe,
      own: false,
      health,
      names,
      refusal: this.#refusal,
      onChange: (worse) => this.resync(worse ? PRIORITY.withdrawal : PRIORITY.change),
    });
  }

  #gatewayOf(remote: V1Service | undefined): GatewayFacts | undefined {
    const named =
      remote === undefined || !isAnnotated(remote, this.link) ? undefined : annotatedGateway(remote);
    if (named === undefined) return this.gateway?.facts;
    const facts = this.#gateways.facts(named);
    return facts === 'link' ? this.gateway?.facts : facts;
  }

  readonly #refusal = (address: string): string | undefined =>
    gatewayRefusal(address, this.link.imports, this.#options.ranges);

  #exportChanged(key: string): void {
    this.#drop.recheck();
    const service = this.exports.services.get(key);
    const annotated = service !== undefined && isAnnotated(service, this.link);
    this.#gateways.use(key, annotated ? annotatedGateway(service) : undefined);
    if (service === undefined) this.#linkEvents.forget(key);
    else this.#linkEvents.exported(key, service, annotated);
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

  #report(key: string, outcome: Outcome, before: Outcome | undefined): void {
    if (outcome.reason === 'DropHeld') this.#drop.request();
    this.#linkEvents.outcome(key, outcome, before);
  }
}

function claimsOf(service: V1Service, link: Link): string[] {
  const key = keyOf(service);
  const mirror = isExported(service, link) ? [key] : [];
  return link.federatedServiceSelector.matches(service.metadata?.labels)
    ? [...mirror, memberClaim(key)]
    : mirror;
}
