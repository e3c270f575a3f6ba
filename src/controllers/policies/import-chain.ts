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

/**
 * The checks of one kind of import beside those of all kinds, by their places in the chain; default: none.
 */
export interface OwnChecks<F> {
  /** Between `nameTaken` and `importRefused`. */
  readonly beforeRefusal?: Chain<F>;
  /** Between `namespaceMissing` and `notMirrorable`. */
  readonly beforeKind?: Chain<F>;
  /** Between `emptyingHeld` and `nameTooLong`. */
  readonly beforeName?: Chain<F>;
}

/** The checks of a kind of import in order: those of all kinds, with its own among them. */
export function importChain<F extends ImportedFacts>(own: OwnChecks<F>): Chain<F> {
  const { beforeRefusal = [], beforeKind = [], beforeName = [] } = own;
  return [
    // Make sure that nothing of anybody else is touched.
    nameTaken,
    ...beforeRefusal,
    // Make sure that the import policy decides, whatever the target says.
    importRefused,
    // Make sure that the target's list is complete before absence means anything.
    notSynced,
    // Make sure that it is exported.
    notExported,
    // Make sure that all of the Service is known.
    overBudget,
    // Make sure that there is a namespace to write into.
    namespaceMissing,
    ...beforeKind,
    // Make sure that it can be mirrored at all.
    notMirrorable,
    // Make sure that the quotas have room for it.
    quotaExceeded,
    // Make sure that lost slices are lost for longer than a moment.
    slicesLost,
    // Make sure that a target that has lost its data does not empty the mirrors here.
    emptyingHeld,
    ...beforeName,
    // Make sure that its name can be a Service's.
    nameTooLong,
    // Make sure that there is a gateway where one is needed.
    noGateway,
    // Make sure that it is known whether the gateway is alive.
    gatewayUnknown,
    // Make sure that trouble of the name service takes nothing away that works.
    gatewayUnresolved,
    // Make sure that the egress knows the route before clients are sent there.
    egressPortsMissing,
  ];
}
