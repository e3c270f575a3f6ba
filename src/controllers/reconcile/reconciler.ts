import { backoffDelay, type Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import type { Pace } from '../../kube/budget/pace.ts';
import { WorkQueue } from '../../kube/queue/work-queue.ts';
import type { WorkerPool } from '../../kube/queue/worker-pool.ts';
import type { Logger } from '../../telemetry/log.ts';
import { apply, isInvalidName, isRefusal, isStatus, type Applier, type ApplyResult } from './mirror-apply.ts';
import type { ImportNote } from '../imports/import-rules.ts';
import type { LocalView } from './local-view.ts';
import { changeOf, type Step } from './steps.ts';
import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';

/**
 * Priorities of the queue: withdrawing endpoints that are dead comes before other changes, and these before
 * bulk work (a first list, a resync).
 */
export const PRIORITY = { bulk: 0, change: 10, withdrawal: 20 } as const;

/**
 * When a name conflict is looked at again: the other object is not watched, so that its deletion is no event.
 */
const CONFLICT_RECHECK_MS = 10_000;

/** Waits before a key that could not be written is tried again. */
const BACKOFF = { minMs: 100, maxMs: 30_000 };

/** What was decided about a key, and what is to be written for it. */
export interface Decision {
  readonly reason: MirrorReason;
  readonly message: string;
  /** What of the export the import policy left out. */
  readonly notes?: readonly ImportNote[] | undefined;
  /** Name of the Service in the source cluster, whether it is there or not. */
  readonly local: string;
  /** How the export is imported, for people: `gateway`, `flat-endpoints`, `federated, relay` and the like. */
  readonly mode: string;
  readonly steps: readonly Step[];
  /** Nothing is exported and nothing is here: the key can be forgotten. */
  readonly gone: boolean;
  /** Whether the key is to be reconciled again at once after the writes, which are only the first half. */
  readonly again: boolean;
  /** Milliseconds after which the key is to be reconciled again. */
  readonly recheckMs: number | undefined;
  /** Runs when the writes are done, or at once where there are none: what may only follow them. */
  readonly after?: (outcome: Carried) => void;
}

/** How a plan was carried out. */
export interface Carried {
  /** Whether the API server has refused a status; all the rest is written. */
  readonly untold: boolean;
}

/** What was decided about a key last. */
export interface Outcome {
  readonly reason: MirrorReason;
  readonly message: string;
  readonly notes?: readonly ImportNote[];
  readonly local: string;
  /**
   * With the reason `Error`: whether the API server has refused the write (a quota, a policy, a right);
   * otherwise it could not be reached, or something else went wrong.
   */
  readonly refused?: boolean;
  /** Since when this is the reason, milliseconds since the epoch. */
  readonly since: number;
}

/** What is decided, and how it is written. */
export interface ReconcilerOptions {
  /** `mirror` or `federated service`, for the log. */
  readonly what: string;
  /**
   * Gathers the facts of a key and decides. It may claim what the decision needs: egress ports, room in
   * quotas, the beginning of a grace period.
   */
  readonly decide: (key: string) => Decision;
  /** Called when the outcome of a key has changed; undefined: the key is gone. */
  readonly onOutcome: (key: string, outcome: Outcome | undefined, before: Outcome | undefined) => void;
  /** A status was refused, or, without an error, written. */
  readonly onTold?: (key: string, error: Error | undefined) => void;
  /** As `WorkQueueOptions.onBacklog`; see `depth`. */
  readonly onBacklog?: () => void;
  readonly client: KubeClient;
  readonly view: LocalView;
  readonly pool: WorkerPool;
  readonly concurrency: number;
  /** How fast it may write; default: without a limit. */
  readonly pace?: Pace;
  /** Aborted when nothing may be written any more (Lease lost, Link gone). */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * Facts → verdict → plan → apply for keys of one kind: works through a queue of them, and remembers what was
 * decided about each.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #queue: WorkQueue;
  readonly #outcomes = new Map<string, Outcome>();
  /** The mode of each key when it was last decided about, also of those that could not be written. */
  readonly #modes = new Map<string, string>();
  /** Keys that wait for their first decision (`addLater`). */
  readonly #later = new Set<string>();
  /** How often in a row the plan of a key was `stale`. */
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
   * How a key is imported, as `Decision.mode`, by the last decision; undefined: there was none, or the key is
   * gone.
   */
  modeOf(key: string): string | undefined {
    return this.#modes.get(key);
  }

  /** How many writes were carried out so far. */
  get written(): number {
    return this.#written;
  }

  /** How many keys wait or are being worked on. */
  get depth(): number {
    return this.#queue.depth;
  }

  /** As `WorkQueue.oldestRunningMs`. */
  get oldestRunningMs(): number {
    return this.#queue.oldestRunningMs;
  }

  /** Has a key reconciled. @param priority one of `PRIORITY` */
  add(key: string, priority: number): void {
    this.#queue.add(key, priority);
  }

  /**
   * Has a key reconciled after `ms` that was never decided about; one that was, at once. Several calls wait
   * no longer than the first.
   */
  addLater(key: string, ms: number, priority: number): void {
    if (this.#modes.has(key)) this.#queue.add(key, priority);
    else if (!this.#later.has(key)) {
      this.#later.add(key);
      this.#queue.addAfter(key, ms, priority);
    }
  }

  /** When it resolves, nothing is being written any more, and nothing will be. */
  stop(): Promise<void> {
    return this.#queue.stop();
  }

  async #reconcile(key: string): Promise<void> {
    const { decide, log, what, pace, onTold } = this.#options;
    this.#later.delete(key);
    const decision = decide(key);
    const { steps, reason } = decision;
    this.#modes.set(key, decision.mode);
    let refusal: Error | undefined;
    if (steps.length > 0) {
      pace?.spend(steps.length);
      const result = await this.#apply(steps, (_, error) => (refusal ??= error));
      if (typeof result !== 'string') {
        this.#settle(key, { ...decision, ...result });
        return;
      }
      if (result === 'stale') {
        this.#lookAgain(key);
        return;
      }
      this.#written += steps.length;
      const change = changeOf(steps);
      const writes = steps.map((step) => `${step.verb} ${step.kind}`);
      // Endpoints come and go with pods: a line for each of them would bury the others.
      log[change === undefined ? 'debug' : 'info'](
        { service: key, mirror: decision.local, change, reason, writes },
        `${what} written`,
      );
      if (steps.some(isStatus)) onTold?.(key, refusal);
      if (decision.again) this.#queue.add(key, PRIORITY.change);
    }
    decision.after?.({ untold: refusal !== undefined });
    this.#settle(key, decision);
  }

  /**
   * Carries the steps out. An invalid name is the outcome `NameInvalid` and no error: trying again would not
   * help.
   */
  async #apply(
    steps: readonly Step[],
    onUntold: Applier['onUntold'] & object,
  ): Promise<ApplyResult | Pick<Outcome, 'reason' | 'message'>> {
    const { client, view, signal } = this.#options;
    try {
      return await apply({ client, view, signal, onUntold }, steps);
    } catch (error) {
      if (!isInvalidName(error)) throw error;
      return { reason: 'NameInvalid', message: error.answer };
    }
  }

  /**
   * Reconciles a key again whose plan was `stale`: at once the first time, then with growing delays, because
   * somebody who changes the objects all the time would make us write all the time.
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
    // Notes, and whether it was refused, may change while the reason stays.
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
