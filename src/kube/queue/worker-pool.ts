/** A queue that shares a pool. */
export interface PoolMember {
  /** Priority of the work that it could start now; undefined when it could start none. */
  readonly nextPriority: number | undefined;
  /** Starts that work; the member calls `WorkerPool.done` once when it has ended. */
  start(): void;
}

/**
 * Bounds how much is done at once over many queues. A free place goes to the queue whose waiting work has the
 * highest priority; among equals to the one that was served longest ago, so that a queue with one key is
 * served within one round although another has 10,000. Choosing costs O(queues that have work).
 */
export class WorkerPool {
  readonly #size: number;
  /** Queues that have work, the one served longest ago first. */
  readonly #ready = new Set<PoolMember>();
  #running = 0;
  #scheduled = false;

  /** @param options.size handlers that run at once over all queues */
  constructor({ size }: { readonly size: number }) {
    this.#size = size;
  }

  /** Handlers that run now. */
  get running(): number {
    return this.#running;
  }

  /**
   * A member has work. It starts in a later microtask, so that of all that is added in one turn the highest
   * priority goes first.
   */
  offer(member: PoolMember): void {
    this.#ready.add(member);
    if (this.#scheduled || this.#running >= this.#size) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#fill();
    });
  }

  /** A member wants no more places. What it has running still ends with `done`. */
  withdraw(member: PoolMember): void {
    this.#ready.delete(member);
  }

  /** Work that was started has ended. */
  done(): void {
    this.#running--;
    this.#fill();
  }

  #fill(): void {
    while (this.#running < this.#size) {
      const member = this.#next();
      if (member === undefined) return;
      // The member goes to the end of the line: among equal priorities the one served longest ago is next.
      this.#ready.delete(member);
      this.#ready.add(member);
      this.#running++;
      member.start();
    }
  }

  #next(): PoolMember | undefined {
    let best: { member: PoolMember; priority: number } | undefined;
    for (const member of this.#ready) {
      const priority = member.nextPriority;
      // It has nothing to do or is at its own bound, and calls `offer` when that changes.
      if (priority === undefined) this.#ready.delete(member);
      else if (best === undefined || priority > best.priority) best = { member, priority };
    }
    return best?.member;
  }
}
