import type { V1Lease } from '@kubernetes/client-node';
import type { Random } from '../../base/backoff.ts';
import { sleep, type Clock, type Timer } from '../../base/clock.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { KubeClient } from '../client/kube-client.ts';
import { type HoldOutcome, LeaseLock } from './lease-lock.ts';
import { LeaseRecord } from './lease-record.ts';
import type { IndexedStore, StoreChange } from '../informer/store.ts';

/** Which Lease, who asks for it, and what is done while it is held. */
export interface LeaderElectionOptions {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'replace' | 'delete'>;
  readonly namespace: string;
  readonly name: string;
  /** Who this replica is; two replicas must not share it. */
  readonly identity: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /**
   * Does the work of a term (from taking the Lease to losing it); must end soon after the signal aborts,
   * which is before the Lease runs out and another replica may begin.
   */
  readonly onTerm: (signal: AbortSignal) => Promise<void>;
  /**
   * The namespace's Leases, kept by a reflector. With it a follower asks the API server nothing, and learns
   * of a released Lease at once. Default: it asks every `retryMs`.
   */
  readonly store?: IndexedStore<V1Lease>;
  /**
   * Others may take the Lease when its holder has not renewed it for so long; default 30 s, as Linkerd's
   * service mirror has it (client-go's own default is 15 s).
   */
  readonly durationMs?: number;
  /**
   * The holder gives up when it could not renew for so long; must be below `durationMs`, default half of it.
   */
  readonly renewDeadlineMs?: number;
  /** Time between renewals; default a sixth of `durationMs` (5 s). */
  readonly renewMs?: number;
  /**
   * Time until the next try after a failure, and between a follower's questions without a store; default 2 s,
   * less for a short Lease.
   */
  readonly retryMs?: number;
  /**
   * How long to wait before a free Lease is taken that another held last, milliseconds; default 0. Replicas
   * that hold more Leases wait longer, and so share them.
   */
  readonly claimDelayMs?: () => number;
}

/** Most time for giving the Lease back: it must not hold up the end of the process. */
const RELEASE_MS = 5000;

/**
 * Leader election over a coordination.k8s.io/v1 Lease, with client-go's rules, so that it excludes Linkerd's
 * own controller too. Every write is bound to the resourceVersion that is known, so stale knowledge costs a
 * conflict and never a second holder. Clocks of different machines are never compared: a Lease has run out
 * when this replica has seen it unchanged for its whole duration by its own clock, and the holder counts its
 * time from before it sent the renewal.
 */
export class LeaderElector {
  readonly #options: LeaderElectionOptions;
  readonly #times: { durationMs: number; deadlineMs: number; renewMs: number; retryMs: number };
  readonly #lock: LeaseLock;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #leader = false;
  /** From the start of a term to the end of its work; longer than `#leader`. */
  #inTerm = false;
  /** The Lease is to be deleted when it has been given back. */
  #removing = false;
  /** The last request failed, and the log has been told. */
  #failing = false;
  /** Something has happened since the last pause: the next one ends at once. */
  #woken = false;
  #wakeUp: (() => void) | undefined;

  /** @throws RangeError when the deadline is not below the duration: two holders could then work at once */
  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    const { durationMs = 30_000, identity, clock } = options;
    const deadlineMs = options.renewDeadlineMs ?? durationMs / 2;
    if (deadlineMs >= durationMs)
      throw new RangeError(`renewDeadlineMs ${deadlineMs} must be below durationMs ${durationMs}`);
    this.#times = {
      durationMs,
      deadlineMs,
      renewMs: options.renewMs ?? durationMs / 6,
      retryMs: options.retryMs ?? Math.min(2000, durationMs / 15),
    };
    this.#lock = new LeaseLock({ ...options, record: new LeaseRecord({ identity, clock, durationMs }) });
  }

  /** Whether this replica holds the Lease now. */
  get leader(): boolean {
    return this.#leader;
  }

  start(): void {
    this.#running ??= this.#follow();
  }

  /**
   * Ends the term, waits for its work to end, and gives the Lease back so that another replica takes over at
   * once.
   */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    // A term is over when its work has ended; until then it goes on renewing, and is not woken.
    if (!this.#inTerm) this.#wake();
    await this.#running;
  }

  /**
   * Like `stop`, and deletes the Lease if this replica holds it: for when what it guarded is gone (its Link).
   */
  async remove(): Promise<void> {
    this.#removing = true;
    await this.stop();
  }

  async #follow(): Promise<void> {
    const { store, namespace, name } = this.#options;
    const unsubscribe = store?.subscribe('lease: its record', (change) => this.#changed(change));
    if (store !== undefined) this.#lock.listed(store.get(`${namespace}/${name}`));
    await this.#run();
    unsubscribe?.();
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const wait = await this.#waitBeforeClaim();
      const since = wait > 0 ? undefined : await this.#claim();
      if (since === undefined) await this.#pause(wait > 0 ? wait : this.#retryDelay());
      else {
        if (!signal.aborted) await this.#term(since);
        await this.#giveBack();
        // Not a `#pause`, which the watch event of our own release would end: work that fails at once would
        // take the Lease again and again without a wait.
        await sleep(clock, this.#retryDelay(), signal).catch(() => undefined);
      }
    }
  }

  /** Milliseconds until it is worth trying to take the Lease. */
  async #waitBeforeClaim(): Promise<number> {
    const { store, clock } = this.#options;
    if (store === undefined || !this.#lock.known) {
      const limit = this.#limit(clock.monotonic() + this.#times.deadlineMs);
      try {
        await this.#lock.learn(limit.signal);
      } catch (error) {
        this.#complain(error);
        return this.#retryDelay();
      } finally {
        limit.cancel();
      }
    }
    const left = this.#lock.record.freeInMs;
    if (left <= 0) return 0;
    return store === undefined ? Math.min(left, this.#retryDelay()) : left;
  }

  /**
   * Tries to take the Lease.
   * @returns from when on it is held (monotonic milliseconds), undefined when it is not
   */
  async #claim(): Promise<number | undefined> {
    const { clock, claimDelayMs } = this.#options;
    let waited = 0;
    // Asked again after each wait: Leases that this replica has taken meanwhile make the delay longer.
    for (;;) {
      const delay = this.#lock.record.mine ? 0 : (claimDelayMs?.() ?? 0) - waited;
      if (delay <= 0) break;
      waited += delay;
      await sleep(clock, delay, this.#stop.signal).catch(() => undefined);
      if (this.#stop.signal.aborted || this.#lock.record.freeInMs > 0) return undefined;
    }
    const since = clock.monotonic();
    const { deadlineMs } = this.#times;
    const held = (await this.#hold(since + deadlineMs)) === 'held';
    return held && clock.monotonic() - since < deadlineMs ? since : undefined;
  }

  async #term(since: number): Promise<void> {
    const { log, name } = this.#options;
    const end = new AbortController();
    this.#leader = true;
    this.#inTerm = true;
    // What woke us before the term has been dealt with: it must not end the first pause early.
    this.#woken = false;
    const over = (reason: string) => {
      if (end.signal.aborted) return;
      this.#leader = false;
      end.abort(new Error(reason));
      if (!this.#stop.signal.aborted) log.warn({ lease: name, why: reason }, 'lease lost');
    };
    const onStop = () => over('stopped');
    this.#stop.signal.addEventListener('abort', onStop, { once: true });
    log.info({ lease: name }, 'lease held');
    const work = { ended: false };
    const working = this.#work(end.signal).then(() => {
      work.ended = true;
      this.#leader = false;
      this.#wake();
    });
    await this.#keep(since, work, over);
    await working;
    this.#stop.signal.removeEventListener('abort', onStop);
    this.#inTerm = false;
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { log, name, onTerm } = this.#options;
    try {
      await onTerm(signal);
    } catch (error) {
      log.error({ lease: name, err: error }, 'work of a term failed');
    }
  }

  /** Renews until the work has ended, also while it is being ended by `stop`; or until the Lease is lost. */
  async #keep(
    since: number,
    work: { readonly ended: boolean },
    over: (reason: string) => void,
  ): Promise<void> {
    const { clock } = this.#options;
    const { deadlineMs, renewMs, retryMs } = this.#times;
    const late = () => over('could not be renewed in time');
    let renewed = since;
    // A timer of its own: however long a renewal hangs, the work is told in time.
    let deadline = clock.after(renewed + deadlineMs - clock.monotonic(), late);
    let wait = renewMs;
    while (!work.ended) {
      await this.#pause(Math.min(wait, renewed + deadlineMs - clock.monotonic()));
      const sentAt = clock.monotonic();
      if (work.ended || sentAt - renewed >= deadlineMs) break;
      const outcome = await this.#hold(renewed + deadlineMs);
      if (outcome === 'lost') over('held by another');
      if (outcome === 'lost' || clock.monotonic() - renewed >= deadlineMs) break;
      wait = outcome === 'held' ? renewMs : retryMs;
      if (outcome === 'failed') continue;
      renewed = sentAt;
      deadline.cancel();
      deadline = clock.after(renewed + deadlineMs - clock.monotonic(), late);
    }
    // Where the loop has ended by the deadline, the timer that calls `late` is due in this same moment.
    deadline.cancel();
    if (!work.ended) late();
  }

  /**
   * Writes this replica into the Lease: one request, unless what is known proves stale. Ends at `until`
   * (monotonic milliseconds) at the latest. Errors are logged and count as `failed`.
   */
  async #hold(until: number): Promise<HoldOutcome> {
    const { clock } = this.#options;
    // So that a request that hangs leaves time for another.
    const limit = this.#limit(Math.min(until, clock.monotonic() + this.#times.deadlineMs / 3));
    try {
      const outcome = await this.#lock.hold(limit.signal, this.#inTerm);
      if (outcome === 'held') this.#failing = false;
      return outcome;
    } catch (error) {
      this.#complain(error);
    } finally {
      limit.cancel();
    }
    return 'failed';
  }

  /**
   * After the work: releases the Lease, and deletes it where it is to be removed. Best effort; where it
   * fails, the Lease runs out by itself.
   */
  async #giveBack(): Promise<void> {
    const { clock, log, name } = this.#options;
    const limit = this.#limit(clock.monotonic() + RELEASE_MS);
    try {
      const released = await this.#lock.release(limit.signal);
      // Released first, so that whoever sees the deletion knows that no work goes on.
      if (released !== undefined && this.#removing) await this.#lock.delete(released, limit.signal);
    } catch (error) {
      log.debug({ lease: name, err: error }, 'lease not given back, it runs out by itself');
    } finally {
      limit.cancel();
    }
  }

  #changed({ key, type, object }: StoreChange<V1Lease>): void {
    const { namespace, name, identity } = this.#options;
    if (key !== `${namespace}/${name}` || this.#lock.record.isOld(object)) return;
    const lease = type === 'deleted' ? undefined : object;
    // During a term the watch repeats our own renewals, which we know. When another has written, the next
    // renewal begins now, and asks the API server first what the Lease says.
    if (this.#inTerm && lease?.spec?.holderIdentity === identity) return;
    if (this.#inTerm) this.#lock.doubt();
    else this.#lock.record.saw(lease);
    this.#wake();
  }

  #complain(error: unknown): void {
    const { log, name } = this.#options;
    log[this.#failing ? 'debug' : 'warn']({ lease: name, err: error }, 'lease not renewed');
    this.#failing = true;
  }

  /** Jitter keeps replicas from asking in step. */
  #retryDelay(): number {
    return this.#times.retryMs * (1 + 0.2 * this.#options.random());
  }

  /** A signal that aborts at `until` (monotonic milliseconds). */
  #limit(until: number): Timer & { readonly signal: AbortSignal } {
    const { clock } = this.#options;
    const controller = new AbortController();
    const timer = clock.after(until - clock.monotonic(), () =>
      controller.abort(new Error('no answer in time')),
    );
    return { signal: controller.signal, cancel: () => timer.cancel() };
  }

  /** Waits for `ms`, or until `#wake`; not at all where that was called since the last pause. */
  async #pause(ms: number): Promise<void> {
    if (!this.#woken && !this.#stopIdle) {
      await new Promise<void>((resolve) => {
        const timer = this.#options.clock.after(ms, resolve);
        this.#wakeUp = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    this.#wakeUp = undefined;
    this.#woken = false;
  }

  /** Stopped, and there is no work that must be waited for. */
  get #stopIdle(): boolean {
    return this.#stop.signal.aborted && !this.#inTerm;
  }

  #wake(): void {
    this.#woken = true;
    this.#wakeUp?.();
  }
}
