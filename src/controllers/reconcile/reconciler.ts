import { backoffDelay, type Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import type { Pace } from '../../kube/budget/pace.ts';
import { WorkQueue } from '../../kube/queue/work-queue.ts';
import type { WorkerPool } from '../../kube/queue/worker-pool.ts';
import type { Logger } from '../../telemetry/log.ts';
import { apply, isInvalidName, isRefusal, type ApplyResult } from './mirror-apply.ts';
import type { ImportNote } from '../imports/import-rules.ts';
import type { LocalView } from './local-view.ts';
import type { Step } from './steps.ts';
import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';

/**
 * Priorities of the queue: what takes traffic away from the dead overtakes what is new, and that overtakes
 * bulk mirroring.
 */
export const PRIORITY = { bulk: 0, change: 10, withdrawal: 20 } as const;

/** How long a name conflict waits before it is looked at again; the other object is not ours to watch. */
const CONFLICT_RECHECK_MS = 10_000;

/** Milliseconds before a key that could not be written is tried again. */
const BACKOFF = { minMs: 100, maxMs: 30_000 };

/** What was decided about a key, and what is to be written for it. */
export interface Decision {
  readonly reason: MirrorReason;
  readonly message: string;
  /** What of the export the import policy left out. */
  readonly notes?: readonly ImportNote[] | undefined;
  /** Name of the Service in the source cluster. */
  readonly local: string;
  /** In which of its ways it is imported; for people. */
  readonly mode: string;
  readonly steps: readonly Step[];
  /** Nothing is exported and nothing is here: the key can be forgotten. */
  readonly gone: boolean;
  /** Look again at once when the writes are done: they were only the first half. */
  readonly again: boolean;
  /** Look again after so many milliseconds. */
  readonly recheckMs: number | undefined;
  /** Runs when the writes are done, or at once where there are none: what may only follow them. */
  readonly after?: () => void;
}

/** What was decided about a key last; it holds until the next decision. */
export interface Outcome {
  readonly reason: MirrorReason;
  readonly message: string;
  readonly notes?: readonly ImportNote[];
  readonly local: string;
  /**
   * Of an `Error`: whether the API server has refused the write (a quota, a policy, a right), rather than not
   * been there.
   */
  readonly refused?: boolean;
  /** Milliseconds since the epoch: since when this is the reason. */
  readonly since: number;
}

export interface ReconcilerOptions {
  /** `mirror` or `federated service`, for the log. */
  readonly what: string;
  /**
   * Gathers the facts of a key and decides. What is to be acted on may be claimed with it: egress ports, room
   * in quotas, the beginning of a grace.
   */
  readonly decide: (key: string) => Decision;
  /** Told when the outcome of a key has changed; undefined: the key is gone. */
  readonly onOutcome: (key: string, outcome: Outcome | undefined, before: Outcome | undefined) => void;
  /** Told when keys begin to wait, and when none does any more; see `depth`. */
  readonly onBacklog?: () => void;
  readonly client: KubeClient;
  readonly view: LocalView;
  readonly pool: WorkerPool;
  readonly concurrency: number;
  /** How fast it may write; default: as fast as it can. */
  readonly pace?: Pace;
  /** Aborted when nothing may be written any more (Lease lost, Link gone). */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * Facts → verdict → plan → apply for keys of one kind: works through a queue of them and remembers what was
 * decided about each.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #queue: WorkQueue;
  readonly #outcomes = new Map<string, Outcome>();
  /** The mode of each key as it was last looked at, also of those that could not be written. */
  readonly #modes = new Map<string, string>();
  /** How often in a row a key was found to be other than it was planned for. */
  readonly #stale = new Map<string, number>();
  #written = 0;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    const { pool, concurrency, clock, random, log, what, pace, onBacklog } = options;
    this.#queue = new WorkQueue({
      handler: (key) => this.#reconcile(key),
      concurrency,
      pool,
      ...(pace === undefined ? {} : { pace }),
      ...(onBacklog === undefined ? {} : { onBacklog }),
      backoff: BACKOFF,
      clock,
      random,
      log,
      onError: (key, error) => {
        const local = this.#outcomes.get(key)?.local ?? '';
        const message = error instanceof Error ? error.message : String(error);
        this.#remember(key, { reason: 'Error', message, local, refused: isRefusal(error) });
        log.warn({ service: key, err: error }, `${what} not written, trying again`);
      },
    });
  }

  /** What was decided about each key. */
  get outcomes(): ReadonlyMap<string, Outcome> {
    return this.#outcomes;
  }

  /**
   * In which of its ways a key was imported when it was last looked at; undefined: it was not, or is gone.
   */
  modeOf(key: string): string | undefined {
    return this.#modes.get(key);
  }

  /** Writes that were carried out so far. */
  get written(): number {
    return this.#written;
  }

  /** Keys that wait to be worked on. */
  get depth(): number {
    return this.#queue.depth;
  }

  get oldestRunningMs(): number {
    return this.#queue.oldestRunningMs;
  }

  add(key: string, priority: number): void {
    this.#queue.add(key, priority);
  }

  /** When it resolves nothing is being written, and nothing will be. */
  stop(): Promise<void> {
    return this.#queue.stop();
  }

  async #reconcile(key: string): Promise<void> {
    const { decide, log, what, pace } = this.#options;
    const decision = decide(key);
    const { steps, reason } = decision;
    this.#modes.set(key, decision.mode);
    if (steps.length > 0) {
      pace?.spend(steps.length);
      const result = await this.#apply(steps);
      if (typeof result !== 'string') {
        this.#settle(key, { ...decision, ...result });
        return;
      }
      if (result === 'stale') {
        this.#lookAgain(key);
        return;
      }
      this.#written += steps.length;
      log.debug(
        { service: key, reason, writes: steps.map((step) => `${step.verb} ${step.kind}`) },
        `${what} written`,
      );
      if (decision.again) this.#queue.add(key, PRIORITY.change);
    }
    decision.after?.();
    this.#settle(key, decision);
  }

  /** An invalid name becomes the outcome `NameInvalid`: another try could not mend it. */
  async #apply(steps: readonly Step[]): Promise<ApplyResult | Pick<Outcome, 'reason' | 'message'>> {
    const { client, view, signal } = this.#options;
    try {
      return await apply({ client, view, signal }, steps);
    } catch (error) {
      if (!isInvalidName(error)) throw error;
      return { reason: 'NameInvalid', message: error.answer };
    }
  }

  /**
   * Decides a key anew whose objects were not as planned for: at once the first time, then with growing
   * delay, because somebody who changes them all the time would have us write all the time.
   */
  #lookAgain(key: string): void {
    const times = this.#stale.get(key) ?? 0;
    this.#stale.set(key, times + 1);
    if (times === 0) this.#queue.add(key, PRIORITY.change);
    else this.#queue.addAfter(key, backoffDelay(times - 1, BACKOFF, this.#options.random), PRIORITY.change);
  }

  #settle(key: string, decision: Decision): void {
    this.#stale.delete(key);
    if (decision.gone) {
      this.#modes.delete(key);
      const before = this.#outcomes.get(key);
      if (this.#outcomes.delete(key)) this.#options.onOutcome(key, undefined, before);
      return;
    }
    this.#remember(key, decision);
    const recheckMs = decision.reason === 'NameConflict' ? CONFLICT_RECHECK_MS : decision.recheckMs;
    if (recheckMs !== undefined) this.#queue.addAfter(key, recheckMs);
  }

  #remember(key: string, decided: Omit<Outcome, 'since' | 'notes'> & Pick<Decision, 'notes'>): void {
    const { reason, message, local, notes, refused } = decided;
    const before = this.#outcomes.get(key);
    const same = before?.reason === reason && before.message === message && before.local === local;
    // What was left out, and that it was refused, may change while the reason stands.
    if (same && before.refused === (refused === true ? true : undefined) && sameNotes(before.notes, notes))
      return;
    const since = before?.reason === reason ? before.since : this.#options.clock.now();
    const outcome = {
      reason,
      message,
      local,
      since,
      ...(notes === undefined ? {} : { notes }),
      ...(refused === true ? { refused } : {}),
    };
    this.#outcomes.set(key, outcome);
    this.#options.onOutcome(key, outcome, before);
  }
}

function sameNotes(a: readonly ImportNote[] = [], b: readonly ImportNote[] = []): boolean {
  return (
    a.length === b.length &&
    a.every(({ reason, text }, at) => b[at]?.reason === reason && b[at].text === text)
  );
}
