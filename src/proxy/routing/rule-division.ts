import type { BackendDraw } from '../group/group-backend.ts';

/** How the requests of one rule are divided. */
export interface RuleDivision {
  /** By what a backend is called (`RoutedRules.nameOf`); one that is missing gets nothing. */
  readonly draws: ReadonlyMap<string, BackendDraw>;
  /**
   * Whether references that are wrong have their part of that, which is refused; otherwise they have none.
   */
  readonly countsInvalid: boolean;
  /** The part of the requests that is refused, 0 to 1. */
  readonly refused: number;
}
