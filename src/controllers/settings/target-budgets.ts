import { type AnswerLimits, ANSWER_LIMITS, MAX_PAGES } from '../../kube/client/answer-limits.ts';
import type { PaceRate } from '../../kube/budget/pace.ts';
import type { PeerLimits } from '../../kube/budget/peer-budget.ts';

/**
 * What one linked cluster may make the controller hold, read and write; flags `--max-…` of
 * `linkspan controller`.
 */
export interface TargetBudgets {
  readonly answer: AnswerLimits;
  /** Most pages of one list. */
  readonly pages: number;
  /** How much is held of it. */
  readonly held: PeerLimits;
  /** Bytes of memory that all linked clusters together may take; `held.bytes` is for one. */
  readonly total: number;
  /** Bytes of labels and annotations of one Service. */
  readonly serviceMetadata: number;
  /** Writes a second to this cluster that its changes may cause, sustained. */
  readonly changesPerSecond: number;
}

const MIB = 1024 * 1024;

/**
 * The defaults. 10,000 Services with three endpoints each take about half of them. A heap of 256 MiB, which
 * Node has in a container of 512 MiB, has room for twice `bytes`, which is `total`.
 */
export const TARGET_BUDGETS: TargetBudgets = {
  answer: ANSWER_LIMITS,
  pages: MAX_PAGES,
  held: {
    bytes: 64 * MIB,
    objects: 100_000,
    services: 20_000,
    ports: 100_000,
    metadata: 32 * MIB,
    namespaces: 5000,
    watches: 500,
  },
  total: 128 * MIB,
  serviceMetadata: 64 * 1024,
  changesPerSecond: 100,
};

/**
 * The burst of writes, in seconds of the sustained rate: a first list of 10,000 Services, whose mirrors are
 * up to three objects each, must not be slowed down.
 */
const BURST_SECONDS = 400;

/** How fast a peer's changes may be written. */
export function writeRate({ changesPerSecond }: TargetBudgets): PaceRate {
  return { perSecond: changesPerSecond, burst: changesPerSecond * BURST_SECONDS };
}

/**
 * How fast a peer may be read, in the tokens of `slowDown` (one for each event or page, and one for each 4
 * KiB): at most 8 MiB a second sustained, which takes a tenth of a CPU, and 160 MiB at once.
 */
export const READ_RATE: PaceRate = { perSecond: 2000, burst: 40_000 };
