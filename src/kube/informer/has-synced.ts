interface Waiter {
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

/** Whether a first complete list is in the store (client-go's HasSynced), and who waits for it. */
export class HasSynced {
  readonly #waiters = new Set<Waiter>();
  #yes = false;
  /** Why there will be none any more, if so. */
  #never: Error | undefined;

  get yes(): boolean {
    return this.#yes;
  }

  /** The list is in the store: whoever waits goes on. */
  mark(): void {
    this.#yes = true;
    for (const waiter of this.#waiters) waiter.resolve();
  }

  /** There will be none any more: whoever waits is rejected with the reason. */
  never(reason: Error): void {
    this.#never = reason;
    for (const waiter of this.#waiters) waiter.reject(reason);
  }

  /** Resolves when the list is in the store; rejects when the signal aborts, or after `never`. */
  wait(signal?: AbortSignal): Promise<void> {
    if (this.#yes) return Promise.resolve();
    if (this.#never !== undefined) return Promise.reject(this.#never);
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const leave = () => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener('abort', onAbort);
      };
      const waiter = {
        resolve: () => {
          leave();
          resolve();
        },
        reject: (reason: Error) => {
          leave();
          reject(reason);
        },
      };
      const onAbort = () => waiter.reject(signal?.reason as Error);
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}
