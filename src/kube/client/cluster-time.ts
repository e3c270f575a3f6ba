import type { Clock, Timer } from '../../base/clock.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { KubeClient } from './kube-client.ts';

/** How often the API server's time is read, milliseconds, and how soon again when it did not say any. */
const PERIOD_MS = 30_000;
const RETRY_MS = 10_000;
/** Difference between clocks from which on times that others have written are not compared with ours. */
export const MAX_SKEW_MS = 30_000;

/** A reading of an API server's time (whole seconds), and ours before and after it; milliseconds. */
export interface TimeReading {
  readonly before: number;
  readonly server: number;
  readonly after: number;
}

/**
 * How far a server's clock is ahead of ours at least, milliseconds; negative: behind. The server's time is of
 * some moment between request and answer, and in whole seconds. Pure.
 */
export function skewOf({ before, server, after }: TimeReading): number {
  return server + 1000 < before ? server + 1000 - before : Math.max(0, server - after);
}

/** Where the time is read. */
export interface ClusterTimeOptions {
  readonly client: Pick<KubeClient, 'serverTime'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** `skewed` has changed. */
  readonly onChange: () => void;
}

/** Whether our clock can be compared with that of the cluster, by the `Date` of its API server's answers. */
export class ClusterTime {
  readonly #options: ClusterTimeOptions;
  readonly #stop = new AbortController();
  #timer: Timer | undefined;
  #skewMs = 0;
  #lastHeard: number | undefined;

  constructor(options: ClusterTimeOptions) {
    this.#options = options;
  }

  /** How far the API server's clock is ahead of ours, milliseconds, as it was last read. */
  get skewMs(): number {
    return this.#skewMs;
  }

  /** When it was last read, milliseconds since the epoch by our clock. */
  get lastHeard(): number | undefined {
    return this.#lastHeard;
  }

  /** Whether that is too much. */
  get skewed(): boolean {
    return Math.abs(this.#skewMs) > MAX_SKEW_MS;
  }

  start(): void {
    void this.#read();
  }

  stop(): void {
    this.#stop.abort(new Error('stopped'));
    this.#timer?.cancel();
  }

  async #read(): Promise<void> {
    const { client, clock, log, onChange } = this.#options;
    const { signal } = this.#stop;
    const was = this.skewed;
    const before = clock.now();
    let server: number | undefined;
    try {
      server = await client.serverTime({ signal });
    } catch (error) {
      log.debug({ cause: messageOf(error) }, 'time of the API server not read');
    }
    if (signal.aborted) return;
    this.#timer = clock.after(server === undefined ? RETRY_MS : PERIOD_MS, () => void this.#read(), {
      unref: true,
    });
    // What was read last holds on while nobody answers.
    if (server !== undefined) {
      this.#lastHeard = clock.now();
      this.#skewMs = skewOf({ before, server, after: this.#lastHeard });
    }
    if (was === this.skewed) return;
    const skewSeconds = Math.round(this.#skewMs / 1000);
    if (this.skewed) log.warn({ skewSeconds }, 'clock differs from that of the API server');
    else log.info({ skewSeconds }, 'clock agrees with that of the API server again');
    onChange();
  }
}
