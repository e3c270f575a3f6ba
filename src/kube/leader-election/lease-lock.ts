import type { V1Lease } from '@kubernetes/client-node';
import { isAlreadyExists, isConflict, isNotFound, type KubeClient } from '../client/kube-client.ts';
import { leases } from '../../api/kubernetes/resource.ts';
import type { LeaseRecord } from './lease-record.ts';

/**
 * What came of an attempt to write ourselves into the Lease. `lost`: somebody else holds it; `failed`: it
 * changed under each attempt, so that it is not known who does.
 */
export type HoldOutcome = 'held' | 'lost' | 'failed';

/** Which Lease, and what is known of it. */
export interface LeaseLockOptions {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'replace' | 'delete'>;
  readonly namespace: string;
  readonly name: string;
  readonly record: LeaseRecord;
}

/**
 * The Lease as it is read and written (client-go's `resourcelock`): every write is bound to the version that
 * is known, so stale knowledge costs a conflict and another look, and never a second holder.
 */
export class LeaseLock {
  readonly record: LeaseRecord;
  readonly #options: LeaseLockOptions;
  #known = false;

  constructor(options: LeaseLockOptions) {
    this.#options = options;
    this.record = options.record;
  }

  /**
   * Whether `record` says what the Lease is, as far as we have heard; false before it was read, after a
   * request that failed or met a conflict, and after `doubt`.
   */
  get known(): boolean {
    return this.#known;
  }

  /** Takes the Lease from a complete list of Leases. @param lease undefined: there is none */
  listed(lease: V1Lease | undefined): void {
    if (lease !== undefined) this.record.saw(lease);
    this.#known = true;
  }

  /** The Lease may have changed: the next use reads it first. */
  doubt(): void {
    this.#known = false;
  }

  /**
   * Reads the Lease.
   * @throws what the request throws (not 404, which is an answer), or the signal's reason
   */
  async learn(signal: AbortSignal): Promise<void> {
    const { client, namespace, name } = this.#options;
    try {
      this.record.saw(await within(client.get(leases, { namespace, name }, { signal }), signal));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.record.saw(undefined);
    }
    this.#known = true;
  }

  /**
   * Writes this replica into the Lease: one request, unless what is known proves stale.
   * @param inTerm this replica holds it and renews it; otherwise it is taken, which needs that it is free
   * @throws what a request throws that is no conflict, or the signal's reason
   */
  async hold(signal: AbortSignal, inTerm: boolean): Promise<HoldOutcome> {
    const { client, namespace, name } = this.#options;
    for (let tries = 0; tries < 3; tries++) {
      try {
        if (!this.#known) await this.learn(signal);
        if (inTerm ? this.record.heldByOther : this.record.freeInMs > 0) return 'lost';
        const next = this.record.held({ namespace, name });
        const written =
          this.record.lease === undefined
            ? client.create(leases, next, { signal })
            : client.replace(leases, next, { signal });
        this.record.saw(await within(written, signal));
        return 'held';
      } catch (error) {
        this.#known = false;
        if (!isStale(error)) throw error;
      }
    }
    return 'failed';
  }

  /**
   * Gives the Lease back.
   * @returns the Lease as it is without a holder; undefined when this replica did not hold it
   * @throws as `hold`
   */
  async release(signal: AbortSignal): Promise<V1Lease | undefined> {
    const { client } = this.#options;
    for (let tries = 0; tries < 2; tries++) {
      try {
        if (!this.#known) await this.learn(signal);
        const next = this.record.released();
        if (next === undefined) return undefined;
        const written = await within(client.replace(leases, next, { signal }), signal);
        this.record.saw(written);
        return written;
      } catch (error) {
        this.#known = false;
        if (!isStale(error)) throw error;
      }
    }
    return undefined;
  }

  /** Deletes the Lease unless somebody has changed it since. */
  async delete({ metadata }: V1Lease, signal: AbortSignal): Promise<void> {
    const { client, namespace, name } = this.#options;
    const { uid, resourceVersion } = metadata ?? {};
    const conditions = {
      signal,
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    };
    await within(client.delete(leases, { namespace, name }, conditions), signal);
    this.record.saw(undefined);
  }
}

/** The write was refused because the Lease is not what we know of it. */
function isStale(error: unknown): boolean {
  return isConflict(error) || isAlreadyExists(error) || isNotFound(error);
}

/** The promise's result; the signal's reason when it aborts before. */
function within<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
