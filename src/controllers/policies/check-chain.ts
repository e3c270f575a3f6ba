import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';
import type { ImportNote } from '../imports/import-rules.ts';
import type { NamespaceState, PathFacts, RemoteFacts } from '../reconcile/mirror-facts.ts';

/**
 * Policies decide what is done about one export: named checks over the same facts, in chains (the model is
 * cert-manager's `internal/controller/certificates/policies`). The checks that all kinds of imports share
 * stand in `checks.ts`, in the order of `import-chain.ts`; each kind adds its own where it lives:
 * `mirror/mirror-policies.ts`, `federated/federated-policies.ts`. All of it is pure: no I/O, no clock.
 */

/** The facts of an export that every kind of import has. */
export interface ImportedFacts extends RemoteFacts, PathFacts {
  readonly namespace: NamespaceState;
}

/** What the shared checks need to know that each kind of import works out from its own facts. */
export interface Subject {
  /** Name of the Service here that stands for the export. */
  readonly name: string;
  /** Whether there is a Service of that name here that is not ours. */
  readonly isForeign: boolean;
  /** Whether there is something here that would be removed. */
  readonly exists: boolean;
  /** Whether a missing namespace is made. */
  readonly createNamespaces: boolean;
  /** Whether its traffic goes through the target's gateway. */
  readonly throughGateway: boolean;
  /** Names of the Services here whose traffic passes through the egress, so that each needs egress ports. */
  readonly relayed: readonly string[];
}

/**
 * The finding of a check, which decides.
 * - `keep`: touch nothing (not enough is known, or the name is somebody else's);
 * - `remove`: what we own of it should go;
 * - `namespace`: its namespace should be made first.
 */
export interface Finding {
  readonly action: 'keep' | 'remove' | 'namespace';
  readonly reason: MirrorReason;
  /** For people; may be empty where the reason says it all. */
  readonly message: string;
}

/**
 * What is decided about an export: what a check has found, or else what should be here (`T`), which has an
 * action of its own.
 */
export type Decided<T> = Omit<Finding, 'action'> & {
  /** What of the export the import policy left out. */
  readonly notes?: readonly ImportNote[];
} & (Pick<Finding, 'action'> | T);

/** One check: undefined where it has nothing to say. */
export type Check<F> = (facts: F, subject: Subject) => Finding | undefined;

/** Checks in order; the first that finds something decides. */
export type Chain<F> = readonly Check<F>[];

/** The finding of the first check that has one; undefined: the Service should be here. */
export function firstFinding<F>(chain: Chain<F>, facts: F, subject: Subject): Finding | undefined {
  for (const check of chain) {
    const found = check(facts, subject);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The finding that nothing is to be changed. */
export function keep(reason: MirrorReason, message = ''): Finding {
  return { action: 'keep', reason, message };
}

/**
 * The finding that it is to be removed, or `DropHeld` where the drop guard holds that and something exists.
 */
export function removal(
  { removalsHeld }: Pick<ImportedFacts, 'removalsHeld'>,
  { exists }: Subject,
  why: Pick<Finding, 'reason'> & Partial<Finding>,
): Finding {
  if (removalsHeld && exists) return keep('DropHeld');
  return { message: '', ...why, action: 'remove' };
}
