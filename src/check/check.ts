import { sleep, type Clock } from '../base/clock.ts';
import { codeOf, describeError } from '../api/errors/linkspan-error.ts';

/**
 * Result of a check. `text` has one line for each finding; empty for a check that passed and has nothing to
 * add.
 */
export type CheckFinding =
  | { readonly result: 'success' | 'skipped'; readonly text?: string }
  | {
      readonly result: 'warning' | 'error';
      readonly text: string;
      /** Set when the API server did not answer at all. */
      readonly unreachable?: true;
    };

/** One check of a cluster. */
export interface ClusterCheck {
  /** Name for programs, and anchor of its hint's URL. */
  readonly id: string;
  /** The statement that is true when it passes. */
  readonly text: string;
  /**
   * What a failure means: `fatal` ends its category (and the run, where the API server does not answer),
   * `warning` leaves the whole a success.
   */
  readonly severity: 'fatal' | 'error' | 'warning';
  /** Whether a failure may pass with time, so that it is retried until `--wait` is over; default false. */
  readonly retried?: boolean;
  /** Runs it. @throws the error that kept it from a result */
  run(signal: AbortSignal): Promise<CheckFinding>;
}

export interface Category {
  readonly name: string;
  readonly checks: readonly ClusterCheck[];
}

/** A check and its result. */
export interface CheckOutcome {
  readonly category: string;
  readonly check: ClusterCheck;
  readonly finding: CheckFinding;
}

export interface RunOptions {
  readonly clock: Clock;
  /** Timeout of one check, milliseconds. */
  readonly timeoutMs: number;
  /** How long checks are retried, milliseconds, all together. */
  readonly waitMs: number;
  readonly onOutcome: (outcome: CheckOutcome) => void;
  /** Called before a check is retried; facts that were read before are to be read again. */
  readonly onWaiting: (text: string) => void;
}

const RETRY_MS = 2000;

export const passed: CheckFinding = { result: 'success' };

/** Result where there was nothing to check, with the reason. */
export const skipped = (text: string): CheckFinding => ({ result: 'skipped', text });

/** Most lines of a result that are shown. */
export const MAX_LINES = 20;

/** A warning with the first lines and the number of the others. @param where the others are shown */
export function shortened(lines: readonly string[], where: string): CheckFinding {
  const rest = lines.length > MAX_LINES ? [`and ${lines.length - MAX_LINES} more: ${where}`] : [];
  return passedUnless([...lines.slice(0, MAX_LINES), ...rest], 'warning');
}

/** Passed where there are no lines, else a failure with them. */
export function passedUnless(lines: readonly string[], result: 'warning' | 'error' = 'error'): CheckFinding {
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
      // Every further check would wait for its timeout and fail for the same reason.
      if (check.severity === 'fatal' && finding.unreachable === true) return false;
      // The rest of the category depends on this check.
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
