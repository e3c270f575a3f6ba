import type { V1Lease } from '@kubernetes/client-node';
import { isAlreadyExists, isConflict, isNotFound, type KubeClient } from '../client/kube-client.ts';
import { leases } from '../../api/kubernetes/resource.ts';
import type { LeaseRecord } from './lease-record.ts';

/** What came of a try to hold the Lease: `lost` = somebody else holds it. */
export type HoldOutcome = 'held' | 'lost' | 'failed';

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

  /** Whether the record is what was last heard; false after an answer that left it open. */
  get known(): boolean {
    return this.#known;
  }

  /** What a complete list of Leases has. @param lease undefined: there is none */
  listed(lease: V1Lease | undefined): void {
    if (lease !== undefined) this.record.saw(lease);
    this.#known = true;
  }

  /** The Lease may be other than what is known: the next use asks. */
  doubt(): void {
    this.#known = false;
  }

  /** Asks the API server what the Lease says. */
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
   * @param inTerm whether this replica goes on holding it rather than taking it
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

  /** @returns the Lease as it is without a holder; undefined when this replica did not hold it */
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

/** What is known of the Lease is not what it is. */
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
