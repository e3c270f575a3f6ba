import { notifyAll } from '../../base/isolation.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { KubeApiError, type KubeClient } from '../../kube/client/kube-client.ts';

/** Time between an answer of the target's API server and the next request. */
const PERIOD_MS = 10_000;
/** Time between a failed request and the next one. */
const RETRY_MS = 2000;
/** Failures in a row after which it counts as unreachable. */
const THRESHOLD = 2;

/**
 * Whether the target's API server answers, found out by requests for `/version`, which every account may
 * read. A watch cannot tell: behind a network partition it stays open and silent for minutes. Any answer
 * counts, also a refusal, but not 401: open watches outlive the token that they were begun with, and would
 * hide that it has expired.
 */
export class ApiReachability {
  readonly #options: { client: KubeClient; clock: Clock; onBack: () => void; onAnswer: () => void };
  readonly #stop = new AbortController();
  #timer: Timer | undefined;
  #failures = 0;
  #error: Error | undefined;

  /**
   * @param options.client a client of its own, with a short time-out and a single attempt, closed by `stop`;
   * `onBack`: the API server answers again after it was unreachable; `onAnswer`: a request has ended, and
   * `error` may have changed
   */
  constructor(options: { client: KubeClient; clock: Clock; onBack: () => void; onAnswer: () => void }) {
    this.#options = options;
  }

  /** Why the API server counts as unreachable, after two failures in a row; undefined: it does not. */
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
    // The next request is scheduled before listeners are called, so that it comes whatever these do.
    this.#timer = clock.after(failed === undefined ? PERIOD_MS : RETRY_MS, () => void this.#ask(), {
      unref: true,
    });
    notifyAll('the API server was asked', [onAnswer]);
    if (wasAway && failed === undefined) notifyAll('the API server is back', [onBack]);
  }
}
