import { untilAborted } from '../../base/clock.ts';
import { LOCAL_LEASE_NAME } from '../../api/lease-names.ts';
import { LOCAL_MEMBER } from '../../api/mirror/federated-members.ts';
import { ExportView } from '../../exports/export-view.ts';
import { LeaderElector } from '../../kube/leader-election/leader-election.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import type { LinkObject } from '../../api/link/link-schema.ts';
import { unionOf, type Selector } from '../../api/kubernetes/label-selector.ts';
import type { Logger } from '../../telemetry/log.ts';
import { DropGuard } from '../removals/drop-guard.ts';
import type { TargetDependencies } from '../settings/target-dependencies.ts';
import { federatedMembers, type FederatedReconciler } from './federated-reconciler.ts';
import { unionFor } from './member-facts.ts';
import { LocalExclusions, type LocalExclusionSettings } from './local-exclusions.ts';
import { copyRules, type TargetSettings } from '../settings/target-settings.ts';
import { isRefused, isUnmirrored } from '../../api/reasons/mirror-reasons.ts';
import { PRIORITY, type Outcome } from '../reconcile/reconciler.ts';

/** What the reconciler of this cluster's own members needs. */
export interface LocalMembersOptions extends TargetDependencies {
  readonly namespace: string;
  readonly replica: string;
  /** Which Services of the source cluster join federated ones. */
  readonly selector: Selector;
  readonly settings: TargetSettings;
  /** All Links of the installation. */
  readonly links: IndexedStore<LinkObject>;
  /** Which of members' labels and annotations are not copied. */
  readonly exclusions: LocalExclusionSettings;
  readonly lease: Pick<ConstructorParameters<typeof LeaderElector>[0], 'store' | 'durationMs'>;
  readonly log: Logger;
}

/** The local members while this replica keeps them: the reconciler, and the view of the exported Services. */
export interface KeptMembers {
  readonly writer: FederatedReconciler;
  readonly members: ExportView;
}

/**
 * Keeps the members of federated Services that live in the source cluster itself, while it holds the Lease
 * for that.
 */
export class LocalMembers {
  readonly #options: LocalMembersOptions;
  readonly #elector: LeaderElector;
  #kept: KeptMembers | undefined;

  constructor(options: LocalMembersOptions) {
    this.#options = options;
    const { local, namespace, replica, clock, random, log, lease } = options;
    this.#elector = new LeaderElector({
      ...lease,
      client: local,
      namespace,
      name: LOCAL_LEASE_NAME,
      identity: replica,
      clock,
      random,
      log,
      onTerm: (signal) => this.#term(signal),
    });
  }

  /** What was decided about each member, while this replica holds the Lease. */
  get outcomes(): ReadonlyMap<string, Outcome> {
    return this.#kept?.writer.reconciler.outcomes ?? new Map<string, Outcome>();
  }

  /** As `WorkQueue.oldestRunningMs`. */
  get oldestRunningMs(): number {
    return this.#kept?.writer.reconciler.oldestRunningMs ?? 0;
  }

  /** Undefined: another replica holds the Lease. */
  get kept(): KeptMembers | undefined {
    return this.#kept;
  }

  start(): void {
    this.#elector.start();
  }

  async stop(): Promise<void> {
    await this.#elector.stop();
  }

  async #term(signal: AbortSignal): Promise<void> {
    const { local, selector, settings, log, clock, random, egress, egressServesGroups } = this.#options;
    const exclusions = new LocalExclusions(this.#options.links, this.#options.exclusions);
    const members = new ExportView({ client: local, selectors: unionOf([selector]), clock, random, log });
    const writer = federatedMembers({
      ...this.#options,
      client: local,
      signal,
      member: LOCAL_MEMBER,
      link: undefined,
      members,
      // No removal is held back: the members are listed from the same API server that is written to.
      guard: new DropGuard({ fraction: 1 }),
      linkImports: undefined,
      rules: { ...copyRules(settings), ...exclusions.rules },
      createNamespaces: false,
      // Not used: local members have no egress ports of their own.
      clusterDomain: '',
      union: unionFor(settings, settings.dataPath) === 'none' ? 'none' : 'pods',
      concurrency: settings.concurrency,
      publishesFacts: unionFor(settings, settings.dataPath) === 'relay',
      gatewayOf: () => undefined,
      groups: {
        of: (federated, ports) =>
          egressServesGroups?.() === true ? egress.groupPorts(federated, ports) : undefined,
        follow: (listener) => egress.followGroups(listener),
      },
      onOutcome: (key, outcome, before) => {
        if (outcome === undefined) return;
        const { reason, message } = outcome;
        const isNew = before?.reason !== reason && (isUnmirrored(reason) || isRefused(reason));
        log[isNew ? 'warn' : 'debug']({ service: key, reason, why: message }, 'local federated member');
      },
    });
    this.#kept = { writer, members };
    writer.start();
    members.start();
    const unfollow = exclusions.follow(() => writer.resync(PRIORITY.bulk));
    void members.whenSynced(signal).then(
      () => writer.resync(PRIORITY.bulk),
      () => undefined,
    );
    await untilAborted(signal);
    unfollow();
    this.#kept = undefined;
    await writer.stop();
    await members.stop();
  }
}
