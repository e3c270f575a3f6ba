import type { V1Service } from '@kubernetes/client-node';
import { holderOf } from '../../api/egress/egress-record.ts';
import type { EgressPorts } from '../../api/egress/egress-ports.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import { isNothingOfOurs } from '../../api/reasons/mirror-reasons.ts';
import type { EgressAllocator } from '../egress-ports/egress-allocator.ts';
import { familyGap } from '../objects/address-families.ts';
import { readyAddresses, type MirrorAddress } from '../objects/mirrored-endpoints.ts';
import { mirroredPorts } from '../objects/mirrored-ports.ts';
import { factsTextOf } from '../../api/mirror/slice-facts.ts';
import { FactsKeeper, type PublishedFacts } from '../failover/published-facts.ts';
import type { Decided, ImportedFacts } from '../policies/check-chain.ts';
import { QUOTA_RECHECK_MS, type ExistingImport, type LinkImports } from '../imports/link-imports.ts';
import type { LocalPart, NamespaceState } from '../reconcile/mirror-facts.ts';
import {
  PRIORITY,
  Reconciler,
  type Decision,
  type Outcome,
  type ReconcilerOptions,
} from '../reconcile/reconciler.ts';
import { takesSelector } from '../reconcile/steps.ts';
import type { ClaimState, DropGuard } from '../removals/drop-guard.ts';
import { GracePeriods } from '../removals/grace-periods.ts';
import type { ImportStrategy } from './import-strategy.ts';

/**
 * How long an exported Service must be without any slice before its mirror is emptied, milliseconds. kube
 * keeps at least an empty slice. Services whose slices people or operators make have a watch each, and where
 * a target has lost its data, these watches tell so one after the other: too slowly for the drop guard to
 * hold the first.
 */
export const EMPTIED_GRACE_MS = 5000;
/** After which time an export of a target whose first list goes on is looked at before it is complete. */
const UNLISTED_MS = 1000;

/** What reconcilers of mirrors and of memberships have in common. */
export interface WritingOptions extends Omit<ReconcilerOptions, 'what' | 'decide'> {
  readonly guard: DropGuard;
  /** The Link's import policy; undefined for the source cluster's own members, which come by no Link. */
  readonly linkImports: LinkImports | undefined;
  readonly egress: EgressAllocator;
  /** Ready egress pods. */
  readonly egressAddresses: () => readonly MirrorAddress[];
  /** Whether all ready egress pods serve ports that lead to several clusters; default: they do not. */
  readonly egressServesGroups?: () => boolean;
  /** Called when `keys` has changed: something exists here that did not, or no longer. */
  readonly onKeys?: () => void;
}

/** What is known of one export and of the Service here that stands for it. */
export interface Inspection {
  readonly exported: V1Service | undefined;
  readonly namespace: NamespaceState;
  /** Name of the Service here, whether it is there or not. */
  readonly local: string;
  readonly part: LocalPart;
  /** As `Decision.mode`. */
  readonly mode: string;
  /**
   * What was decided last; undefined: nothing is exported and nothing is here, or nothing was decided yet.
   */
  readonly outcome: Outcome | undefined;
}

/**
 * Keeps the Services here that stand for the exports of one Link: gathers the facts of a key, has its
 * strategy decide and plan, and claims and gives back egress ports and room in quotas. The strategy says what
 * the exports become: mirrors (`serviceMirrors`) or members of federated Services (`federatedMembers`).
 */
export class ImportReconciler<F extends ImportedFacts, V extends Decided<{ readonly action: string }>> {
  readonly #options: WritingOptions;
  readonly #strategy: ImportStrategy<F, V>;
  readonly #reconciler: Reconciler;
  readonly #unsubscribe: (() => void)[] = [];
  /** Exports whose slices are all gone, within `EMPTIED_GRACE_MS`. */
  readonly #emptied: GracePeriods;
  readonly #published: FactsKeeper;

  constructor(options: WritingOptions, strategy: ImportStrategy<F, V>) {
    this.#options = options;
    this.#strategy = strategy;
    this.#emptied = new GracePeriods(options.clock, EMPTIED_GRACE_MS);
    this.#published = new FactsKeeper(options.clock);
    this.#reconciler = new Reconciler({
      ...options,
      what: strategy.what,
      decide: (key) => this.#decide(key),
    });
  }

  /** Its queue, and what was decided about each key. */
  get reconciler(): Reconciler {
    return this.#reconciler;
  }

  /**
   * Follows changes of exports and of what exists here, and enters that into the drop guard and the quotas.
   */
  start(): void {
    const { view, linkImports } = this.#options;
    const { exports, what } = this.#strategy;
    const keys = this.keys();
    linkImports?.seed(keys.flatMap((key) => this.#existing(key)));
    this.#unsubscribe.push(
      exports.subscribe((key) => {
        this.#look(key, exports.synced ? this.#priorityOf(key) : PRIORITY.bulk);
      }),
      ...this.#strategy.follow({
        note: (key) => this.#note(key),
        touched: (key) => this.#look(key, PRIORITY.change),
        add: (key) => this.#reconciler.add(key, PRIORITY.change),
      }),
      view.stores.namespaces.subscribe(`${what}s: Namespaces`, ({ key: namespace }) => {
        for (const key of exports.services.keys())
          if (parseKey(key).namespace === namespace) this.#reconciler.add(key, PRIORITY.change);
      }),
    );
    for (const key of keys) {
      this.#note(key);
      if (linkImports?.refusal(key) !== undefined) this.#reconciler.add(key, PRIORITY.withdrawal);
    }
  }

  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await this.#reconciler.stop();
  }

  /** Reconciles every export, and everything that exists here, again. */
  resync(priority: number): void {
    for (const key of new Set([...this.#strategy.exports.services.keys(), ...this.keys()]))
      this.#look(key, priority);
  }

  /** Reconciles what exists here and is not exported: no event of the target's will ever tell of it. */
  resyncUnexported(priority: number): void {
    for (const key of this.keys())
      if (this.#strategy.exports.services.get(key) === undefined) this.#look(key, priority);
  }

  /** Keys of what exists here. */
  keys(): string[] {
    return this.#strategy.keys();
  }

  /** What is known of a key, and what was decided about it last; for people. Decides nothing. */
  inspect(key: string): Inspection {
    const { view } = this.#options;
    const { namespace, name } = parseKey(key);
    return {
      exported: this.#strategy.exported(key),
      namespace: view.namespace(namespace),
      local: this.#strategy.localName(name),
      part: view.part(namespace, this.#strategy.localName(name)),
      mode: this.modeOf(key),
      outcome: this.#reconciler.outcomes.get(key),
    };
  }

  /** How a key was imported when it was last reconciled, as `Decision.mode`. */
  modeOf(key: string): string {
    return this.#reconciler.modeOf(key) ?? this.#strategy.usualMode;
  }

  #decide(key: string): Decision {
    const strategy = this.#strategy;
    const { facts, waitMs } = this.#facts(key);
    const verdict = strategy.decide(facts);
    const steps = strategy.plan(facts, verdict);
    const waits = [
      facts.emptiedGraceMs,
      ...strategy.waits(facts),
      verdict.reason === 'ImportQuotaExceeded' ? QUOTA_RECHECK_MS : 0,
      ...waitMs,
    ].filter((ms) => ms > 0);
    const isHalfway =
      verdict.action === 'namespace' || takesSelector(steps) || strategy.isHalfway(facts, verdict, steps);
    return {
      reason: verdict.reason,
      message: verdict.message,
      notes: verdict.notes,
      local: strategy.localName(facts.key.name),
      mode: strategy.modeOf(facts),
      steps,
      gone: verdict.reason === 'NotExported' && facts.remote === undefined,
      again: steps.length > 0 && isHalfway,
      recheckMs: waits.length === 0 ? undefined : Math.min(...waits),
      after: ({ untold }) => {
        if (!untold) strategy.done?.(facts, steps);
        this.#settleClaims(key, facts, verdict);
        this.#familyChosen(key, facts, verdict);
      },
    };
  }

  /** What is decided by, and when time alone may change it. */
  #facts(key: string): { readonly facts: F; readonly waitMs: readonly number[] } {
    const gathered = this.#gather(key);
    const { text: factsText, againMs = 0 } = this.#publish(key, gathered);
    const facts = { ...gathered, factsText };
    const held = this.#strategy.hold?.(facts);
    return { facts: held?.facts ?? facts, waitMs: [againMs, held?.ms ?? 0] };
  }

  /** What is to be said of it about failover. */
  #publish(key: string, facts: F): PublishedFacts {
    const watched = this.#strategy.watched(facts);
    if (watched === undefined || (facts.remote === undefined && watched.slices.length === 0)) {
      this.#published.forget(key);
      return { text: undefined, againMs: undefined };
    }
    const { remoteReady, removalsHeld } = facts;
    // A loss of all of them that is not believed yet is no news.
    const counted = remoteReady !== undefined && (remoteReady > 0 || !removalsHeld);
    const { exports } = this.#strategy;
    const known = counted ? exports.endpointsOf(key).known : undefined;
    // Those that are about to go still take traffic, where there is nobody else: whether there is, is decided
    // by these facts.
    const ready = counted ? exports.lastingEndpointsOf(key) : undefined;
    return this.#published.see(key, {
      sighting: { path: watched.path, ready, known },
      rules: watched.rules,
      there: factsTextOf(watched.slices),
    });
  }

  /**
   * After a Service was created: the API server has chosen the family of its ClusterIP. Where its endpoints
   * have none of that family, the key is reconciled again, so that its outcome says so.
   */
  #familyChosen(key: string, facts: F, verdict: V): void {
    const slices = this.#strategy.wanted(verdict);
    if (slices === undefined || this.#strategy.here(facts) !== undefined) return;
    const { namespace, name } = facts.key;
    const service = this.#options.view.service(namespace, this.#strategy.localName(name));
    if (familyGap([{ service, slices }]) !== undefined) this.#reconciler.add(key, PRIORITY.change);
  }

  /**
   * Gives back egress ports that are no longer needed, by the same rules by which mirrors are removed: only
   * when the target is known not to export the Service.
   */
  #settleClaims(key: string, facts: F, verdict: V): void {
    const { remote, synced, egressPorts } = facts;
    const gone =
      verdict.action === 'remove' ||
      isNothingOfOurs(verdict.reason) ||
      (remote === undefined && synced && verdict.reason === 'NotExported');
    if (!gone && this.#strategy.wanted(verdict) === undefined) return;
    const { cluster, ...member } = this.#strategy.claimant;
    const wanted = [...(gone ? [] : egressPorts)].map(([name, ports]) => {
      const mirror = `${facts.key.namespace}/${name}`;
      return [holderOf({ mirror, ...member }), Object.keys(ports).map(Number)] as const;
    });
    const scope = { cluster, export: key, federated: member.member !== undefined };
    this.#options.egress.settle(scope, new Map(wanted));
  }

  /**
   * Gathers the facts of a key. Gathering also claims egress ports and room in quotas, and begins grace
   * periods.
   */
  #gather(text: string): F {
    const { view, guard, egressAddresses } = this.#options;
    const { exports } = this.#strategy;
    const key = parseKey(text);
    const remote = this.#strategy.exported(text);
    const claim = this.#claimState(text, remote);
    const emptiedGraceMs = claim === 'emptied' ? this.#emptied.left(text) : 0;
    if (claim !== 'emptied') this.#emptied.end(text);
    const known = emptiedGraceMs === 0 && exports.endpointsKnown(text);
    const seen = {
      key,
      synced: exports.synced,
      removalsHeld: claim !== 'there' && guard.held(this.#strategy.claimOf(text)),
      remote,
      remoteReady: known ? exports.endpointsOf(text).ready : undefined,
      emptiedGraceMs,
      namespace: view.namespace(key.namespace),
      egress: egressAddresses(),
      egressPorts: new Map<string, EgressPorts>(),
      egressGroups: new Map<string, EgressPorts>(),
      egressUnrecorded: true,
    };
    const facts = this.#strategy.facts(seen, known);
    const relayed = this.#strategy.relayed(facts);
    // Ports are claimed only where nothing else keeps the export from being mirrored, so that one that the
    // import policy refuses takes none.
    if (relayed.size === 0 || this.#strategy.decide(facts).reason !== 'EgressPortsUnrecorded') return facts;
    return { ...facts, ...this.#egressPorts(text, facts, relayed) };
  }

  #egressPorts(
    key: string,
    facts: F,
    relayed: ReadonlyMap<string, string>,
  ): Pick<ImportedFacts, 'egressPorts' | 'egressGroups' | 'egressUnrecorded'> {
    const { egress, egressServesGroups } = this.#options;
    const egressPorts = new Map<string, EgressPorts>();
    const egressGroups = new Map<string, EgressPorts>();
    const grouped = this.#strategy.claimant.member !== undefined && egressServesGroups?.() === true;
    let egressUnrecorded = false;
    const wish = {
      ...this.#strategy.claimant,
      ...this.#strategy.wish(facts),
      export: key,
      servicePorts: mirroredPorts(facts.remote ?? {}).map(({ port }) => port),
    };
    for (const [name, target] of relayed) {
      const asked = { ...wish, mirror: `${facts.key.namespace}/${name}`, target };
      const ports = egress.allocate(asked);
      if (ports === 'unrecorded') egressUnrecorded = true;
      else if (ports !== 'exhausted') egressPorts.set(name, ports);
      const group = grouped ? egress.allocateGroup(asked.mirror, wish.servicePorts) : 'exhausted';
      if (group === 'unrecorded') egressUnrecorded = true;
      else if (group !== 'exhausted') egressGroups.set(name, group);
    }
    return { egressPorts, egressGroups, egressUnrecorded };
  }

  /** What exists here for a key, for the quotas' ledger. */
  #existing(key: string): ExistingImport[] {
    const { namespace, name } = parseKey(key);
    const service = this.#options.view.service(namespace, this.#strategy.localName(name));
    if (service === undefined) return [];
    return [{ ...this.#strategy.existing({ namespace, name }, service), claim: this.#strategy.claimOf(key) }];
  }

  #priorityOf(key: string): number {
    const { exports } = this.#strategy;
    const withdrawn = exports.endpointsKnown(key) && exports.endpointsOf(key).ready === 0;
    return withdrawn ? PRIORITY.withdrawal : PRIORITY.change;
  }

  /** Tells the drop guard and the import policy whether a key exists here and is exported. */
  #note(key: string): void {
    const { guard, view, linkImports } = this.#options;
    const strategy = this.#strategy;
    const { namespace, name } = parseKey(key);
    const local = view.stores.services.get(`${namespace}/${strategy.localName(name)}`);
    const claimed = local !== undefined && strategy.standsFor(local, key);
    if (strategy.countsRefusals) linkImports?.note(key, claimed);
    const state = this.#claimState(key, strategy.exported(key));
    if (guard.note(strategy.claimOf(key), claimed, state)) this.#options.onKeys?.();
  }

  #claimState(key: string, remote: V1Service | undefined): ClaimState {
    if (remote === undefined) return 'absent';
    const { exports } = this.#strategy;
    // It is known that there is no slice at all, not even an empty one.
    const isBare = exports.endpointsKnown(key) && exports.slicesOf(key).length === 0;
    return isBare && readyAddresses(this.#strategy.slicesToLose(parseKey(key))).length > 0
      ? 'emptied'
      : 'there';
  }

  /**
   * Until the target has been listed little can be decided, and then all are looked at: only what is to be
   * withdrawn does not wait for that.
   */
  #look(key: string, priority: number): void {
    this.#note(key);
    if (this.#strategy.exports.synced || priority === PRIORITY.withdrawal)
      this.#reconciler.add(key, priority);
    else this.#reconciler.addLater(key, UNLISTED_MS, priority);
  }
}
