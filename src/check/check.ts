import { sleep, type Clock } from '../base/clock.ts';
import { codeOf, describeError } from '../api/errors/linkspan-error.ts';

/**
 * What came of a check. `text` says what was found, a line each; empty for one that passed and has nothing to
 * add.
 */
export type CheckFinding =
  | { readonly result: 'success' | 'skipped'; readonly text?: string }
  | {
      readonly result: 'warning' | 'error';
      readonly text: string;
      /** The API server did not answer at all. */
      readonly unreachable?: true;
    };

/** One question to a cluster. */
export interface ClusterCheck {
  /** Anchor of its hint, and its name for programs. */
  readonly id: string;
  /** What is true when it passes. */
  readonly text: string;
  /**
   * What a failure means: `fatal` ends its category (and the run, where the API server does not answer),
   * `warning` leaves the whole a success.
   */
  readonly severity: 'fatal' | 'error' | 'warning';
  /** Whether what is wrong may be right in a moment: asked again until `--wait` is over. */
  readonly retried?: boolean;
  /** Throws what it could not find out. */
  run(signal: AbortSignal): Promise<CheckFinding>;
}

export interface Category {
  readonly name: string;
  readonly checks: readonly ClusterCheck[];
}

/** A check and what came of it. */
export interface CheckOutcome {
  readonly category: string;
  readonly check: ClusterCheck;
  readonly finding: CheckFinding;
}

export interface RunOptions {
  readonly clock: Clock;
  /** For one check, milliseconds: nothing that hangs may hang the whole. */
  readonly timeoutMs: number;
  /** How long retried checks are asked again, all together. */
  readonly waitMs: number;
  readonly onOutcome: (outcome: CheckOutcome) => void;
  /** Told of a check that will be asked again: what was learned before is old by then. */
  readonly onWaiting: (text: string) => void;
}

const RETRY_MS = 2000;

export const passed: CheckFinding = { result: 'success' };

/** There was nothing to look at, and why. */
export const skipped = (text: string): CheckFinding => ({ result: 'skipped', text });

/** More lines than this help nobody. */
export const MAX_LINES = 20;

/** A warning of the first lines, and how many there are beyond. @param where the others are shown */
export function shortened(lines: readonly string[], where: string): CheckFinding {
  const rest = lines.length > MAX_LINES ? [`and ${lines.length - MAX_LINES} more: ${where}`] : [];
  return unless([...lines.slice(0, MAX_LINES), ...rest], 'warning');
}

/** Nothing to say when there are no lines, else a failure of the check's own severity. */
export function unless(lines: readonly string[], result: 'warning' | 'error' = 'error'): CheckFinding {
  return lines.length === 0 ? passed : { result, text: lines.join('\n') };
}

/** Runs all checks one after the other. @returns whether none failed but with a warning */
export async function runChecks(categories: readonly Category[], options: RunOptions): Promise<boolean> {
  const end = options.clock.monotonic() + options.waitMs;
  let success = true;
  for (const { name, checks } of categories) {
    for (const check of checks) {
      const finding = await settle(check, end, options);
      options.onOutcome({ category: name, check, finding });
      if (finding.result !== 'error') continue;
      success = false;
      // Every further check would take its whole time to say the same.
      if (check.severity === 'fatal' && finding.unreachable === true) return false;
      // What follows in the category would only say the same again.
      if (check.severity === 'fatal') break;
    }
  }
  return success;
}

async function settle(check: ClusterCheck, end: number, options: RunOptions): Promise<CheckFinding> {
  for (;;) {
    const finding = await once(check, options);
    const bad = finding.result === 'error' || finding.result === 'warning';
    if (!bad || check.retried !== true || options.clock.monotonic() >= end) return finding;
    options.onWaiting(`${check.text}: ${finding.text.split('\n')[0] ?? ''}`);
    await sleep(options.clock, RETRY_MS);
  }
}

async function once(check: ClusterCheck, { timeoutMs, clock }: RunOptions): Promise<CheckFinding> {
  const late = new AbortController();
  const result = check.severity === 'warning' ? 'warning' : 'error';
  try {
    return await Promise.race([
      check.run(late.signal),
      sleep(clock, timeoutMs, late.signal).then(
        (): CheckFinding => ({ result, text: `no answer within ${timeoutMs / 1000} s`, unreachable: true }),
      ),
    ]);
  } catch (error) {
    const unreachable = codeOf(error) === 'KUBE_UNREACHABLE' ? ({ unreachable: true } as const) : {};
    return { result, text: describeError(error), ...unreachable };
  } finally {
    late.abort();
  }
}
