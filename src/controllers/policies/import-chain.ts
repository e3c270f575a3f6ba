import {
  egressPortsMissing,
  emptyingHeld,
  gatewayUnknown,
  gatewayUnresolved,
  importRefused,
  nameTaken,
  nameTooLong,
  namespaceMissing,
  noGateway,
  notExported,
  notMirrorable,
  notSynced,
  overBudget,
  quotaExceeded,
  slicesLost,
} from './checks.ts';
import type { Chain, ImportedFacts } from './check-chain.ts';

/** The checks that one kind of import has beside those of all, by their places; default none. */
export interface OwnChecks<F> {
  /** Behind the one that leaves alone what is somebody else's, before the source's admin is heard. */
  readonly beforeRefusal?: Chain<F>;
  /** When there is a namespace to write into, before it is asked whether it can be mirrored at all. */
  readonly beforeKind?: Chain<F>;
  /** When nothing is held back or lost, before it is asked whether the name can be a Service's. */
  readonly beforeName?: Chain<F>;
}

/** The checks of a kind of import: those of all kinds, with its own among them. */
export function importChain<F extends ImportedFacts>(own: OwnChecks<F>): Chain<F> {
  const { beforeRefusal = [], beforeKind = [], beforeName = [] } = own;
  return [
    // Make sure that nothing of anybody else is touched.
    nameTaken,
    ...beforeRefusal,
    // Make sure that the source's admin has the last word.
    importRefused,
    // Make sure that the target's list is complete before absence means anything.
    notSynced,
    // Make sure that it is exported.
    notExported,
    // Make sure that the whole of it is known.
    overBudget,
    // Make sure that there is a namespace to write into.
    namespaceMissing,
    ...beforeKind,
    // Make sure that it can be mirrored at all.
    notMirrorable,
    // Make sure that it has room.
    quotaExceeded,
    // Make sure that slices are gone for good.
    slicesLost,
    // Make sure that an emptied target does not empty what stands here.
    emptyingHeld,
    ...beforeName,
    // Make sure that its name can be a Service's.
    nameTooLong,
    // Make sure that there is a gateway where one is needed.
    noGateway,
    // Make sure that it is known whether the gateway lives.
    gatewayUnknown,
    // Make sure that trouble of the name service takes nothing away that works.
    gatewayUnresolved,
    // Make sure that the egress knows the way before anybody is sent there.
    egressPortsMissing,
  ];
}
