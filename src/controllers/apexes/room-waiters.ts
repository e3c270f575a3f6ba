import { parseKey } from '../../api/mirror/mirror-names.ts';
import type { Clock, Timer } from '../../base/clock.ts';

/** How often it is looked whether there is room, milliseconds. */
const LOOK_MS = 10_000;

/**
 * Services that wait for ports of the egress: nobody tells when one that was given back may be had by others.
 */
export class RoomWaiters {
  readonly #clock: Clock;
  readonly #room: (namespace: string) => number;
  readonly #add: (key: string) => void;
  /** Keys by namespace, those that have waited longest first. */
  readonly #waiting = new Map<string, Set<string>>();
  #timer: Timer | undefined;

  /**
   * @param room how many ports a namespace may have more
   * @param add looks at a Service again
   */
  constructor(clock: Clock, room: (namespace: string) => number, add: (key: string) => void) {
    this.#clock = clock;
    this.#room = room;
    this.#add = add;
  }

  wait(key: string): void {
    const { namespace } = parseKey(key);
    const waiting = this.#waiting.get(namespace) ?? new Set();
    this.#waiting.set(namespace, waiting.add(key));
    this.#arm();
  }

  /** It does not wait any more. */
  forget(key: string): void {
    const { namespace } = parseKey(key);
    const waiting = this.#waiting.get(namespace);
    if (waiting?.delete(key) === true && waiting.size === 0) this.#waiting.delete(namespace);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#waiting.clear();
  }

  #arm(): void {
    this.#timer ??= this.#clock.after(LOOK_MS, () => this.#look(), { unref: true });
  }

  /** No more than there is room for: thousands may wait. */
  #look(): void {
    this.#timer = undefined;
    for (const [namespace, waiting] of this.#waiting)
      for (const key of [...waiting].slice(0, Math.max(0, this.#room(namespace)))) {
        // Behind the others, where it has to wait on.
        waiting.delete(key);
        waiting.add(key);
        this.#add(key);
      }
    if (this.#waiting.size > 0) this.#arm();
  }
}
