import type { Clock } from '../../base/clock.ts';
import { ProxyFailure } from '../http/failures.ts';

/** Of one target: how long and how many requests wait for an endpoint. */
export interface EndpointWaitOptions {
  /** `name:port`, for messages. */
  readonly label: string;
  readonly clock: Clock;
  /** How long a request waits for a ready endpoint (`failfast`), milliseconds. */
  readonly failfastMs: number;
  /** How many requests may wait at a time; more are refused. */
  readonly maxWaiting: number;
}

/** The requests of a target that wait for an endpoint to be ready: it has endpoints, and none of them is. */
export class EndpointWait {
  readonly #options: EndpointWaitOptions;
  readonly #waiting = new Set<() => void>();
  /** A request has waited for the whole failfast time: others fail at once until an endpoint is ready. */
  #failingFast = false;

  constructor(options: EndpointWaitOptions) {
    this.#options = options;
  }

  /** How many requests wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** An endpoint is ready: the requests that wait go on. */
  wake(): void {
    this.#failingFast = false;
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /**
   * Waits until an endpoint is ready.
   * @param known how many endpoints the target has, ready or not; with none it fails at once
   * @param patient whether the request may wait; otherwise it fails at once
   * @throws ProxyFailure `failfast` after the failfast time, and from then on at once until one is ready;
   * `load shed` where too many wait
   */
  async untilReady(known: number, patient: boolean): Promise<void> {
    const { label, clock, failfastMs, maxWaiting } = this.#options;
    if (this.#failingFast || known === 0 || !patient) throw noneReady(label, known);
    if (this.#waiting.size >= maxWaiting) {
      const text = `no ready endpoints for ${label} (${known} known), and ${maxWaiting} requests wait for one already`;
      throw new ProxyFailure('load shed', text);
    }
    const came = await new Promise<boolean>((resolve) => {
      const wake = () => {
        timer.cancel();
        resolve(true);
      };
      const timer = clock.after(failfastMs, () => {
        this.#waiting.delete(wake);
        resolve(false);
      });
      this.#waiting.add(wake);
    });
    if (came) return;
    this.#failingFast = true;
    throw noneReady(label, known);
  }
}

/** The failure of whoever finds no endpoint ready. */
export function noneReady(label: string, known: number): ProxyFailure {
  return new ProxyFailure('failfast', `no ready endpoints for ${label} (${known} known, 0 ready)`);
}
