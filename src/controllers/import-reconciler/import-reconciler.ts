import type { V1Service } from '@kubernetes/client-node';
import { holderOf } from '../../api/egress/egress-record.ts';
import type { EgressPorts } from '../../api/egress/egress-ports.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import { isNothingOfOurs } from '../../api/reasons/mirror-reasons.ts';
import type { EgressAllocator } from '../egress-ports/egress-allocator.ts';
import { familyGap } from '../objects/address-families.ts';
import { readyAddresses, type MirrorAddress } from '../objects/mirrored-endpoints.ts';
import { mirroredPorts } from '../objects/mirrored-ports.ts';
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
 * How long a Service must be without any slice before its mirror is emptied. kube keeps at least an empty
 * slice; where people or operators make slices, each such Service has a watch of its own, and a target that
 * lost its data shows that one watch after the other: too slowly for the drop guard to see it in time.
 */
export const EMPTIED_GRACE_MS = 5000;

/** What a reconciler of mirrors or of memberships writes with. */
export interface WritingOptions extends Omit<ReconcilerOptions, 'what' | 'decide'> {
  readonly guard: DropGuard;
  /** Undefined for the source cluster's own members, which nobody else decides about. */
  readonly linkImports: LinkImports | undefined;
  readonly egress: EgressAllocator;
  readonly egressAddresses: () => readonly MirrorAddress[];
  /** Told when something exists here that did not, or the other way round; see `keys`. */
  readonly onKeys?: () => void;
}

/** What is known of one export and of what stands for it here. */
export interface Inspection {
  readonly exported: V1Service | undefined;
  readonly namespace: NamespaceState;
  /** Name of the Service here, whether it is there or not. */
  readonly local: string;
  readonly part: LocalPart;
  readonly mode: string;
  /** What was decided last; undefined: nothing is exported and nothing is here, or nobody has looked yet. */
  readonly outcome: Outcome | undefined;
}

/**
 * Keeps what stands here for the exports of one Link: gathers the facts of a key, has its strategy decide and
 * plan, and claims and gives back what that takes. The strategy says what is mirrored, and as what: mirrors
 * (`mirrorReconciler`) or members of federated Services (`federatedReconciler`).
 */
export class ImportReconciler<F extends ImportedFacts, V extends Decided<{ readonly action: string }>> {
  readonly #options: WritingOptions;
  readonly #strategy: ImportStrategy<F, V>;
  readonly #reconciler: Reconciler;
  readonly #unsubscribe: (() => void)[] = [];
  /** Exports whose slices are all gone. */
  readonly #emptied: GracePeriods;

  constructor(options: WritingOptions, strategy: ImportStrategy<F, V>) {
    this.#options = options;
    this.#strategy = strategy;
    this.#emptied = new GracePeriods(options.clock, EMPTIED_GRACE_MS);
    this.#reconciler = new Reconciler({
      ...options,
      what: strategy.what,
      decide: (key) => this.#decide(key),
    });
  }

  get reconciler(): Reconciler {
    return this.#reconciler;
  }

  /** Follows what changes here and over there. */
  start(): void {
    const { view, linkImports } = this.#options;
    const { exports, what } = this.#strategy;
    linkImports?.seed(this.keys().flatMap((key) => this.#existing(key)));
    this.#unsubscribe.push(
      exports.subscribe((key) => {
        this.#note(key);
        this.#reconciler.add(key, this.#priorityOf(key));
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
    for (const key of this.keys()) {
      this.#note(key);
      if (linkImports?.refusal(key) !== undefined) this.#reconciler.add(key, PRIORITY.withdrawal);
    }
  }

  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await this.#reconciler.stop();
  }

  /** Looks at every export, and at everything that exists here, again. */
  resync(priority: number): void {
    for (const key of new Set([...this.#strategy.exports.services.keys(), ...this.keys()]))
      this.#look(key, priority);
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

  /** In which of its ways a key was imported when it was last looked at. */
  modeOf(key: string): string {
    return this.#reconciler.modeOf(key) ?? this.#strategy.usualMode;
  }

  #decide(key: string): Decision {
    const strategy = this.#strategy;
    const facts = this.#gather(key);
    const verdict = strategy.decide(facts);
    const steps = strategy.plan(facts, verdict);
    const waits = [
      facts.emptiedGraceMs,
      ...strategy.waits(facts),
      verdict.reason === 'ImportQuotaExceeded' ? QUOTA_RECHECK_MS : 0,
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
      after: () => {
        this.#settleClaims(key, facts, verdict);
        this.#familyChosen(key, facts, verdict);
      },
    };
  }

  /**
   * The API server chooses the family of a new Service's ClusterIP, which may be one that its endpoints do
   * not have.
   */
  #familyChosen(key: string, facts: F, verdict: V): void {
    const slices = this.#strategy.wanted(verdict);
    if (slices === undefined || this.#strategy.here(facts) !== undefined) return;
    const { namespace, name } = facts.key;
    const service = this.#options.view.service(namespace, this.#strategy.localName(name));
    if (familyGap([{ service, slices }]) !== undefined) this.#reconciler.add(key, PRIORITY.change);
  }

  /**
   * Egress ports that nothing leads to any more are given back, by the rules by which mirrors go: when the
   * target is known not to export.
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

  /** Claims with the facts what is to be acted on: egress ports, room in quotas, the beginning of a grace. */
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
      egressUnrecorded: true,
    };
    const facts = this.#strategy.facts(seen, known);
    const relayed = this.#strategy.relayed(facts);
    // Only what nothing else keeps from being mirrored, the import policy among it, claims ports.
    if (relayed.size === 0 || this.#strategy.decide(facts).reason !== 'EgressPortsUnrecorded') return facts;
    return { ...facts, ...this.#egressPorts(text, facts, relayed) };
  }

  #egressPorts(
    key: string,
    facts: F,
    relayed: ReadonlyMap<string, string>,
  ): Pick<ImportedFacts, 'egressPorts' | 'egressUnrecorded'> {
    const { egress } = this.#options;
    const egressPorts = new Map<string, EgressPorts>();
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
    }
    return { egressPorts, egressUnrecorded };
  }

  /** What exists here for a key. */
  #existing(key: string): ExistingImport[] {
    const { namespace, name } = parseKey(key);
    const service = this.#options.view.service(namespace, this.#strategy.localName(name));
    if (service === undefined) return [];
    return [{ ...this.#strategy.existing({ namespace, name }, service), claim: this.#strategy.claimOf(key) }];
  }

  #priorityOf(key: string): number {
    const { exports } = this.#strategy;
    // What a first list brings is bulk; what changes after it is news.
    if (!exports.synced) return PRIORITY.bulk;
    const withdrawn = exports.endpointsKnown(key) && exports.endpointsOf(key).ready === 0;
    return withdrawn ? PRIORITY.withdrawal : PRIORITY.change;
  }

  /** Tells the drop guard what exists here and over there. */
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
    // Known to have no slice at all, not even an empty one.
    const isBare = exports.endpointsKnown(key) && exports.slicesOf(key).length === 0;
    return isBare && readyAddresses(this.#strategy.slicesToLose(parseKey(key))).length > 0
      ? 'emptied'
      : 'there';
  }

  #look(key: string, priority: number): void {
    this.#note(key);
    this.#reconciler.add(key, priority);
  }
}
