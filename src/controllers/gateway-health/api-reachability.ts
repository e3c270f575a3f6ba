import { notifyAll } from '../../base/isolation.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { KubeApiError, type KubeClient } from '../../kube/client/kube-client.ts';

/** How often the target's API server is asked whether it is there. */
const PERIOD_MS = 10_000;
/** After a failure it is asked again sooner. */
const RETRY_MS = 2000;
/** Failures in a row after which it counts as unreachable. */
const THRESHOLD = 2;

/**
 * Whether the target's API server answers. A watch cannot tell: behind a partition it stays open and silent
 * for minutes. Asks for `/version`, which every account may read; any answer counts, also a refusal, unless
 * it says that it does not know us: an open watch outlives the token that it was begun with.
 */
export class ApiReachability {
  readonly #options: { client: KubeClient; clock: Clock; onBack: () => void; onAnswer: () => void };
  readonly #stop = new AbortController();
  #timer: Timer | undefined;
  #failures = 0;
  #error: Error | undefined;

  /**
   * @param options.client a client of its own, with a short time-out and one try; `onBack`: it answers again;
   *   `onAnswer`: it was asked, and `error` may be another
   */
  constructor(options: { client: KubeClient; clock: Clock; onBack: () => void; onAnswer: () => void }) {
    this.#options = options;
  }

  /** Why the API server counts as unreachable; undefined while it does not. */
  get error(): Error | undefined {
    return this.#failures >= THRESHOLD ? this.#error : undefined;
  }

  start(): void {
    void this.#ask();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    this.#timer?.cancel();
    await this.#options.client.close();
  }

  async #ask(): Promise<void> {
    const { client, clock, onBack, onAnswer } = this.#options;
    let failed: Error | undefined;
    try {
      await client.raw('GET', '/version', { signal: this.#stop.signal });
    } catch (error) {
      if (!(error instanceof KubeApiError) || error.status === 401) failed = error as Error;
    }
    if (this.#stop.signal.aborted) return;
    const wasAway = this.#failures >= THRESHOLD;
    this.#error = failed;
    this.#failures = failed === undefined ? 0 : this.#failures + 1;
    // The next question is due before `onBack` is called, so that one that throws does not end the questions.
    this.#timer = clock.after(failed === undefined ? PERIOD_MS : RETRY_MS, () => void this.#ask(), {
      unref: true,
    });
    notifyAll('the API server was asked', [onAnswer]);
    if (wasAway && failed === undefined) notifyAll('the API server is back', [onBack]);
  }
}
