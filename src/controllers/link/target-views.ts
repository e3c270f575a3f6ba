import type { V1Service } from '@kubernetes/client-node';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import type { Link } from '../../api/link/link-schema.ts';
import { unionOf } from '../../api/kubernetes/label-selector.ts';
import { ExportView, type ExportViewOptions } from '../../exports/export-view.ts';
import { Pace } from '../../kube/budget/pace.ts';
import { PeerBudget, type OverBudget } from '../../kube/budget/peer-budget.ts';
import type { PeerReading } from '../../kube/budget/peer-reading.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import { KubeApiError, type KubeClient } from '../../kube/client/kube-client.ts';
import { clientFor } from '../../kube/client/scoped-client.ts';
import type { Logger } from '../../telemetry/log.ts';
import { ApiReachability } from '../gateway-health/api-reachability.ts';
import { isAnnotated, isLabelled } from '../mirror/selected-exports.ts';
import { READ_RATE } from '../settings/target-budgets.ts';
import type { TargetDependencies } from '../settings/target-dependencies.ts';
import type { TargetSettings } from '../settings/target-settings.ts';

/** One Link, and what its target is watched with. */
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
 * Limits of answers to `/version`, which are a few hundred bytes. They are not the Link's budgets, so that
 * whether the API server answers does not depend on whether its other answers fit.
 */
const REACHABILITY_LIMITS = { bytes: 64 * 1024, ms: 10_000 };

/**
 * A target cluster as it is seen from here: its exports and its members of federated Services, as a Link
 * selects them; whether its API server answers; and whether it is within its budgets.
 */
export class TargetViews {
  readonly remote: KubeClient;
  readonly reading: PeerReading;
  readonly exports: ExportView;
  readonly members: ExportView;
  /** Label selectors whose lists together have everything; the empty one selects all. */
  readonly selectors: readonly string[];
  readonly #api: ApiReachability;
  readonly #onState: () => void;
  /** The state of which `onState` told last, as text. */
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
    // With our own resolver: a silent name server of one Link must not keep others from their API servers.
    const common = { clock, random, log, lookup: names.forSockets };
    this.remote = open(access, { ...common, limits: budgets.answer }, link.readableNamespaces);
    // A connection of its own, with a short time-out and a single attempt.
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

  /** Whether everything has been listed completely. */
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

  /** Whether its API server has given no answer of any kind, twice in a row: a refusal is one. */
  get apiLost(): boolean {
    const { error } = this.#api;
    return error !== undefined && !(error instanceof KubeApiError);
  }

  /**
   * When the target last sent anything, of the view that has been silent longest; milliseconds since the
   * epoch.
   */
  get lastHeard(): number | undefined {
    const times = [this.exports.lastHeard, this.members.lastHeard].filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Some Service of the target as it is known here; undefined: none is known. */
  get witness(): V1Service | undefined {
    return this.exports.services.first ?? this.members.services.first;
  }

  start(): void {
    this.#api.start();
    this.exports.start();
    this.members.start();
  }

  /** Resolves when everything has been listed completely; rejects when the signal aborts first. */
  async whenSynced(signal: AbortSignal): Promise<void> {
    await Promise.all([this.exports.whenSynced(signal), this.members.whenSynced(signal)]);
  }

  /** Ends every watch. `close` is to follow when nobody uses `remote` any more. */
  async stop(): Promise<void> {
    await Promise.all([this.exports.stop(), this.members.stop(), this.#api.stop()]);
  }

  /** Closes the connections to the target, which no longer counts in the memory of all. */
  async close(): Promise<void> {
    this.reading.budget.close();
    await this.remote.close();
  }

  /**
   * A watch, the reachability or the budget may have changed. `onState` is called only where that is so: a
   * watch that fails tells so each time.
   */
  #look(): void {
    const { apiError, overBudget, synced } = this;
    const status = apiError !== undefined && 'status' in apiError ? apiError.status : undefined;
    const said = apiError && messageOf(apiError);
    const text = JSON.stringify([synced, said, status, overBudget, this.apiLost]);
    if (text === this.#told) return;
    this.#told = text;
    this.#onState();
  }
}
