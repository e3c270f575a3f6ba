import type { V1Lease, V1LeaseSpec } from '@kubernetes/client-node';
import type { Random } from '../base/backoff.ts';
import { sleep, type Clock } from '../base/clock.ts';
import type { Logger } from '../telemetry/log.ts';
import { isAlreadyExists, isConflict, isNotFound, type KubeClient } from './client.ts';
import { leases } from './resource.ts';

export interface LeaseOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Who this replica is; two replicas must not share it. */
  readonly identity: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Does the work of a term; must end soon after the signal aborts. No other replica writes before that, nor before the Lease has run out. */
  readonly onTerm: (signal: AbortSignal) => Promise<void>;
  /** Others may take the Lease when its holder has not renewed it for so long; default 30 s (client-go's and Linkerd's). */
  readonly durationMs?: number;
  /** The holder gives up when it could not renew for so long; default 10 s. */
  readonly renewDeadlineMs?: number;
  /** Time between tries; default 2 s. */
  readonly retryMs?: number;
}

/**
 * Leader election over a coordination.k8s.io/v1 Lease, with client-go's rules, so that it excludes Linkerd's own controller too. Clocks of different machines are never
 * compared: a Lease has run out when this replica has seen it unchanged for its whole duration.
 */
export class LeaseElector {
  readonly #options: LeaseOptions;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #leader = false;
  /** What the Lease said when it was last seen to change, and when that was (monotonic). */
  #observed: { text: string; at: number } | undefined;
  #lease: V1Lease | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  /** Whether this replica holds the Lease now. */
  get leader(): boolean {
    return this.#leader;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends the term, waits for its work to end, and gives the Lease back so that another replica takes over at once. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, retryMs = 2000, random } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if (await this.#tryToHold()) await this.#term();
      // Jitter keeps replicas from asking in step.
      if (!signal.aborted) await sleep(clock, retryMs * (1 + 0.2 * random()), signal).catch(() => undefined);
    }
  }

  async #term(): Promise<void> {
    const { clock, log, name, onTerm, retryMs = 2000, renewDeadlineMs = 10_000 } = this.#options;
    const end = new AbortController();
    this.#leader = true;
    log.info({ lease: name }, 'lease held');
    const work = onTerm(end.signal).catch((error: unknown) =>
      log.error({ lease: name, err: error }, 'work of a term failed'),
    );
    let renewed = clock.monotonic();
    const state = { ended: false };
    void work.then(() => (state.ended = true));
    while (!this.#stop.signal.aborted && !state.ended && clock.monotonic() - renewed < renewDeadlineMs) {
      await sleep(clock, retryMs, this.#stop.signal).catch(() => undefined);
      if (this.#stop.signal.aborted) break;
      const left = renewDeadlineMs - (clock.monotonic() - renewed);
      if (await this.#within(this.#tryToHold(), left)) renewed = clock.monotonic();
      else if (this.#heldByOther()) break;
    }
    end.abort(new Error('lease lost'));
    this.#leader = false;
    await work;
    if (this.#stop.signal.aborted) await this.#release();
    else log.warn({ lease: name }, 'lease lost');
  }

  /** A renewal that hangs must not outlive the deadline. */
  async #within(attempt: Promise<boolean>, ms: number): Promise<boolean> {
    const late = new AbortController();
    const timeout = sleep(this.#options.clock, ms, late.signal).then(
      () => false,
      () => false,
    );
    const result = await Promise.race([attempt, timeout]);
    late.abort(new Error('answered'));
    return result;
  }

  async #tryToHold(): Promise<boolean> {
    const { client, namespace, name, log } = this.#options;
    try {
      const lease = await this.#read();
      if (lease === undefined) {
        const created = {
          apiVersion: 'coordination.k8s.io/v1',
          kind: 'Lease',
          metadata: { namespace, name },
          spec: this.#spec(undefined),
        };
        this.#saw(await client.create(leases, created));
        return true;
      }
      this.#saw(lease);
      if (!this.#mayTake(lease)) return false;
      this.#saw(await client.replace(leases, { ...lease, spec: this.#spec(lease.spec) }));
      return true;
    } catch (error) {
      if (!isConflict(error) && !isAlreadyExists(error))
        log.warn({ lease: name, err: error }, 'lease not renewed');
      return false;
    }
  }

  async #read(): Promise<V1Lease | undefined> {
    const { client, namespace, name } = this.#options;
    try {
      return await client.get(leases, { namespace, name });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #saw(lease: V1Lease): void {
    this.#lease = lease;
    const text = JSON.stringify(lease.spec ?? {});
    if (text !== this.#observed?.text) this.#observed = { text, at: this.#options.clock.monotonic() };
  }

  #mayTake({ spec }: V1Lease): boolean {
    const holder = spec?.holderIdentity ?? '';
    if (holder === '' || holder === this.#options.identity) return true;
    const durationMs = (spec?.leaseDurationSeconds ?? 30) * 1000;
    return this.#options.clock.monotonic() - (this.#observed?.at ?? 0) > durationMs;
  }

  #heldByOther(): boolean {
    const holder = this.#lease?.spec?.holderIdentity ?? '';
    return holder !== '' && holder !== this.#options.identity;
  }

  #spec(previous: V1LeaseSpec | undefined): V1LeaseSpec {
    const { identity, clock, durationMs = 30_000 } = this.#options;
    const now = microTime(clock.now());
    const mine = previous?.holderIdentity === identity;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.round(durationMs / 1000),
      renewTime: now,
      acquireTime: mine && previous.acquireTime !== undefined ? previous.acquireTime : now,
      leaseTransitions: (previous?.leaseTransitions ?? 0) + (mine || previous === undefined ? 0 : 1),
    };
  }

  async #release(): Promise<void> {
    const { client, log, name } = this.#options;
    const lease = this.#lease;
    if (lease?.spec === undefined || this.#heldByOther()) return;
    try {
      await client.replace(leases, {
        ...lease,
        spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 },
      });
    } catch (error) {
      log.debug({ lease: name, err: error }, 'lease not given back, it runs out by itself');
    }
  }
}

/** metav1.MicroTime; client-node types it as Date, the wire wants six digits. */
function microTime(ms: number): V1LeaseSpec['renewTime'] & object {
  const text = new Date(ms).toISOString().replace(/(\.\d{3})Z$/, '$1000Z');
  return text as unknown as V1LeaseSpec['renewTime'] & object;
}
