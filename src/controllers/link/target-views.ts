import type { V1Service } from '@kubernetes/client-node';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import type { Link } from '../../api/link/link-schema.ts';
import { unionOf } from '../../api/kubernetes/label-selector.ts';
import { ExportView, type ExportViewOptions } from '../../exports/export-view.ts';
import { Pace } from '../../kube/budget/pace.ts';
import { PeerBudget, type OverBudget } from '../../kube/budget/peer-budget.ts';
import type { PeerReading } from '../../kube/budget/peer-reading.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { clientFor } from '../../kube/client/scoped-client.ts';
import type { Logger } from '../../telemetry/log.ts';
import { ApiReachability } from '../gateway-health/api-reachability.ts';
import { isAnnotated, isLabelled } from '../mirror/selected-exports.ts';
import { READ_RATE } from '../settings/target-budgets.ts';
import type { TargetDependencies } from '../settings/target-dependencies.ts';
import type { TargetSettings } from '../settings/target-settings.ts';

export interface TargetViewsOptions
  extends Pick<TargetDependencies, 'names' | 'total' | 'clientFor' | 'clock' | 'random'> {
  readonly link: Link;
  readonly access: ClusterAccess;
  readonly settings: Pick<TargetSettings, 'annotationExports' | 'budgets'>;
  readonly log: Logger;
  /** The target has got over a budget. */
  readonly onOver: (over: OverBudget) => void;
  /** `synced`, `apiError` or `overBudget` has changed. */
  readonly onState: () => void;
}

/**
 * `/version` is a few hundred bytes, and asked for by itself: whether the API answers is told apart from
 * whether its answers fit.
 */
const REACHABILITY_LIMITS = { bytes: 64 * 1024, ms: 10_000 };

/**
 * A target cluster as it is seen from here: its exports and its members of federated Services as a Link
 * selects them, and whether its API server answers and what it says fits.
 */
export class TargetViews {
  readonly remote: KubeClient;
  readonly reading: PeerReading;
  readonly exports: ExportView;
  readonly members: ExportView;
  /** Selectors of one list each that find everything again. */
  readonly selectors: readonly string[];
  readonly #api: ApiReachability;
  readonly #onState: () => void;
  /** What was told last, as text. */
  #told = '';

  constructor(options: TargetViewsOptions) {
    const { link, access, settings, names, total, clock, random, log, onOver } = options;
    const { budgets } = settings;
    this.#onState = options.onState;
    this.reading = {
      budget: new PeerBudget(budgets.held, onOver, total),
      pace: new Pace(READ_RATE, clock),
      maxPages: budgets.pages,
    };
    const open = options.clientFor ?? clientFor;
    // One Link's silent name server must not keep the others from their API servers.
    const common = { clock, random, log, lookup: names.forSockets };
    this.remote = open(access, { ...common, limits: budgets.answer }, link.readableNamespaces);
    // Its own connection, a short time-out, one try.
    const asking = {
      ...common,
      timeoutMs: 5000,
      maxTries: 1,
      maxConnections: 1,
      limits: REACHABILITY_LIMITS,
    };
    this.#api = new ApiReachability({
      client: open(access, asking),
      clock,
      onBack: () => {
        this.exports.refresh();
        this.members.refresh();
      },
      onAnswer: () => this.#look(),
    });
    const viewing = {
      clock,
      random,
      log,
      client: this.remote,
      limits: { ...this.reading, serviceMetadata: budgets.serviceMetadata },
      onState: () => this.#look(),
    };
    const exportSelectors = unionOf([link.selector, link.remoteDiscoverySelector]);
    const memberSelectors = unionOf([link.federatedServiceSelector]);
    const annotated = settings.annotationExports && !link.selector.empty;
    const unfiltered: ExportViewOptions['unfiltered'] = {
      selected: (service) => isLabelled(service, link),
      exported: (service) => isAnnotated(service, link),
    };
    this.exports = new ExportView({
      ...viewing,
      selectors: exportSelectors,
      ...(annotated ? { unfiltered } : {}),
    });
    this.members = new ExportView({ ...viewing, selectors: memberSelectors });
    this.selectors = annotated ? [''] : [...exportSelectors, ...memberSelectors];
    this.reading.budget.whenOverChanges(() => this.#look());
  }

  /** Everything was listed completely once. */
  get synced(): boolean {
    return this.exports.synced && this.members.synced;
  }

  /** Why the target is parked; undefined while everything of it fits. */
  get overBudget(): OverBudget | undefined {
    return this.reading.budget.over;
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

  /** Some Service of the target as it is known here; undefined: none is. */
  get witness(): V1Service | undefined {
    return this.exports.services.first ?? this.members.services.first;
  }

  start(): void {
    this.#api.start();
    this.exports.start();
    this.members.start();
  }

  /** Rejects when the signal is aborted first. */
  async whenSynced(signal: AbortSignal): Promise<void> {
    await Promise.all([this.exports.whenSynced(signal), this.members.whenSynced(signal)]);
  }

  /** Ends every watch. `close` follows when nobody uses `remote` any more. */
  async stop(): Promise<void> {
    await Promise.all([this.exports.stop(), this.members.stop(), this.#api.stop()]);
  }

  async close(): Promise<void> {
    this.reading.budget.close();
    await this.remote.close();
  }

  /**
   * Some watch, the question whether the API server is there, or the budget has something to say. Most of
   * that was known before: a watch that fails says so each time.
   */
  #look(): void {
    const { apiError, overBudget, synced } = this;
    const status = apiError !== undefined && 'status' in apiError ? apiError.status : undefined;
    const said = JSON.stringify([synced, apiError && messageOf(apiError), status, overBudget]);
    if (said === this.#told) return;
    this.#told = said;
    this.#onState();
  }
}
