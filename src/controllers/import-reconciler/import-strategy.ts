import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import type { RemoteKey } from '../../api/mirror/mirror-names.ts';
import type { ExportView } from '../../exports/export-view.ts';
import type { EgressWish } from '../egress-ports/egress-allocator.ts';
import type { Decided, ImportedFacts } from '../policies/check-chain.ts';
import type { Watched } from '../failover/published-facts.ts';
import type { ExistingImport } from '../imports/link-imports.ts';
import type { Step } from '../reconcile/steps.ts';

/** The facts that the reconciler gathers of an export; its strategy adds the others. */
export type SeenFacts = Omit<ImportedFacts, 'gateway' | 'imports' | 'remoteSlices'>;

/** Whom a strategy tells of changes, by key (`namespace/name` of the export). */
export interface KeyListener {
  /** The watch has brought our own write: it is noted what exists here, and nothing has to be reconciled. */
  readonly note: (key: string) => void;
  /** What exists here has changed, maybe by somebody else: that is noted, and the key is reconciled. */
  readonly touched: (key: string) => void;
  /** The key is to be reconciled. */
  readonly add: (key: string) => void;
}

/**
 * How one kind of import differs from others: mirrors, or members of federated Services. `ImportReconciler`
 * does what they have in common. Keys are `namespace/name` of the export.
 */
export interface ImportStrategy<F extends ImportedFacts, V extends Decided<{ readonly action: string }>> {
  /** `mirror` or `federated service`, for the log. */
  readonly what: string;
  readonly exports: ExportView;
  /** In whose name egress ports are claimed: the target cluster, and for memberships the member. */
  readonly claimant: { readonly cluster: string; readonly member?: string };
  /** The key's name in the drop guard and in the quotas' ledger. */
  claimOf(key: string): string;
  /** Name of the Service here that stands for an export. */
  localName(name: string): string;
  /** The exported Service, if it is one of this kind. */
  exported(key: string): V1Service | undefined;
  /** Keys of what exists here. */
  keys(): string[];
  /** Whether a Service here, of the right name, stands for the key. */
  standsFor(service: V1Service, key: string): boolean;
  /** What exists here for a key, as it is entered into the quotas' ledger at the start. */
  existing(key: RemoteKey, service: V1Service): Omit<ExistingImport, 'claim'>;
  /** Whether `LinkImports.note` is called, to count how many the import policy would remove at once. */
  readonly countsRefusals: boolean;
  /** The slices here that would be emptied if the export had no slices. */
  slicesToLose(key: RemoteKey): readonly V1EndpointSlice[];
  /** Follows changes of what exists here. @returns what ends that */
  follow(listener: KeyListener): (() => void)[];
  /** All facts of a key. @param known whether the export's endpoints are known */
  facts(seen: SeenFacts, known: boolean): F;
  /** What its published facts depend on beside its endpoints; undefined: it publishes none. */
  watched(facts: F): Watched | undefined;
  /** As `Decision.mode`. */
  modeOf(facts: F): string;
  /** The same for a key of which nothing is known yet. */
  readonly usualMode: string;
  /**
   * Names of the Services here whose traffic passes through the egress, each with its DNS name in the target.
   */
  relayed(facts: F): ReadonlyMap<string, string>;
  /**
   * As what the import is to be taken for a while longer, and for how long, milliseconds; undefined: as it
   * is. What is published of it has been decided before.
   */
  hold?(facts: F): { readonly facts: F; readonly ms: number } | undefined;
  /** What a claim of egress ports names beside them: the Link, and the gateway where it is not the Link's. */
  wish(facts: F): Pick<EgressWish, 'link' | 'gateway'>;
  decide(facts: F): V;
  plan(facts: F, verdict: V): Step[];
  /**
   * The slices that the Service here should have; undefined: by the verdict there should be no Service, or it
   * stays as it is.
   */
  wanted(verdict: V): readonly V1EndpointSlice[] | undefined;
  /** The Service here, as it is. */
  here(facts: F): V1Service | undefined;
  /** The writes are done, where there were some, the status among them. */
  done?(facts: F, steps: readonly Step[]): void;
  /** Whether the steps are only the first half of what there is to do. */
  isHalfway(facts: F, verdict: V, steps: readonly Step[]): boolean;
  /** Milliseconds after which time alone may change the verdict, beside those that all kinds have. */
  waits(facts: F): readonly number[];
}
