import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import type { RemoteKey } from '../../api/mirror/mirror-names.ts';
import type { ExportView } from '../../exports/export-view.ts';
import type { EgressWish } from '../egress-ports/egress-allocator.ts';
import type { Decided, ImportedFacts } from '../policies/check-chain.ts';
import type { ExistingImport } from '../imports/link-imports.ts';
import type { Step } from '../reconcile/steps.ts';

/** What the reconciler sees of an export before its strategy adds what is its own. */
export type SeenFacts = Omit<ImportedFacts, 'gateway' | 'imports' | 'remoteSlices'>;

/** How a strategy has keys (`namespace/name` of the export) looked at. */
export interface Noticing {
  /** What exists here has changed, as was known: nothing is to be done. */
  readonly note: (key: string) => void;
  /** Something is other than it was written. */
  readonly touched: (key: string) => void;
  /** It should be looked at, whatever exists here. */
  readonly add: (key: string) => void;
}

/**
 * What is different about one kind of import, mirrors or members of federated Services; the rest is
 * `ImportReconciler`'s. What it is asked for is of one key, `namespace/name` of the export.
 */
export interface ImportStrategy<F extends ImportedFacts, V extends Decided<{ readonly action: string }>> {
  /** `mirror` or `federated service`, for the log. */
  readonly what: string;
  readonly exports: ExportView;
  /** In whose name egress ports are claimed. */
  readonly claimant: { readonly cluster: string; readonly member?: string };
  /** What it is entered under with the drop guard and in the quotas' ledger. */
  claimOf(key: string): string;
  /** Name of the Service here that stands for an export. */
  localName(name: string): string;
  /** The exported Service, if it is one of this kind. */
  exported(key: string): V1Service | undefined;
  /** Keys of what exists here. */
  keys(): string[];
  /** Whether a Service here, of the right name, stands for the key. */
  standsFor(service: V1Service, key: string): boolean;
  /** What exists here for a key, as it is entered in the ledger at the start. */
  existing(key: RemoteKey, service: V1Service): Omit<ExistingImport, 'claim'>;
  /** Whether it is counted with what the import policy would take away at once. */
  readonly countsRefusals: boolean;
  /** Slices here whose endpoints the export would lose with its own. */
  slicesToLose(key: RemoteKey): readonly V1EndpointSlice[];
  /** Follows what changes here; returns what ends that. */
  follow(noticing: Noticing): (() => void)[];
  /** @param known whether its endpoints are */
  facts(seen: SeenFacts, known: boolean): F;
  /** In which of its ways it is imported; for people. */
  modeOf(facts: F): string;
  /** The same of what nothing is known about. */
  readonly usualMode: string;
  /** Names of the Services here that each need egress ports, and what each is called in the target. */
  relayed(facts: F): ReadonlyMap<string, string>;
  /** What is claimed for such a one beside its ports; `gateway`: where it is not the Link's. */
  wish(facts: F): Pick<EgressWish, 'link' | 'gateway'>;
  decide(facts: F): V;
  plan(facts: F, verdict: V): Step[];
  /**
   * The slices of the Service that stands for it; undefined where the verdict is not that there should be
   * one.
   */
  wanted(verdict: V): readonly V1EndpointSlice[] | undefined;
  /** The Service that stands for it, as it is. */
  here(facts: F): V1Service | undefined;
  /** Whether the steps are only the first half of what there is to do. */
  isHalfway(facts: F, verdict: V, steps: readonly Step[]): boolean;
  /** Milliseconds after which time alone may change what is decided; beside what all kinds wait for. */
  waits(facts: F): readonly number[];
}
