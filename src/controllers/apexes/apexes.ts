import { messageOf } from '../../api/errors/linkspan-error.ts';
import { APEXES_LEASE_NAME } from '../../api/lease-names.ts';
import { LeasedQueue, type LeasedQueueParts } from '../../kube/leader-election/leased-queue.ts';
import type { ApexTermOptions } from './apex-term.ts';

export interface ApexesOptions
  extends Omit<ApexTermOptions, 'signal' | 'queue' | 'tiered' | 'clusterDomain' | 'lookMs'>,
    Pick<LeasedQueueParts, 'namespace' | 'replica' | 'lease'> {
  readonly settings: {
    readonly weights: { readonly clusterDomain: string; readonly lookMs?: number | undefined };
  };
}

/** Gives users' Services their egress ports and endpoints, while this replica holds the Lease for that. */
export class Apexes {
  readonly #egressAddresses: ApexesOptions['egressAddresses'];
  readonly #work: LeasedQueue;
  #started = false;

  constructor(options: ApexesOptions) {
    const { client, clock, random, log, settings } = options;
    this.#egressAddresses = options.egressAddresses;
    this.#work = new LeasedQueue({
      ...options,
      name: APEXES_LEASE_NAME,
      onError: (key, error) =>
        log.warn({ service: key, reason: messageOf(error) }, 'apex not written, trying again'),
      begin: async (queue, signal) => {
        const [{ ApexTerm }, { TieredServices }] = await Promise.all([
          import('./apex-term.ts'),
          import('./tiered-services.ts'),
        ]);
        const tiered = new TieredServices({ client, clock, random, log });
        const { clusterDomain, lookMs } = settings.weights;
        const term = new ApexTerm({ ...options, clusterDomain, lookMs, signal, queue, tiered });
        return {
          look: (key) => term.look(key),
          start: () => {
            tiered.start();
            term.start();
          },
          resync: () => term.resync(),
          stop: async () => {
            await Promise.all([term.stop(), tiered.stop()]);
          },
        };
      },
    });
  }

  /** As `WorkQueue.oldestRunningMs`. */
  get oldestRunningMs(): number {
    return this.#work.oldestRunningMs;
  }

  /** Egress pods or Links have changed. */
  resync(): void {
    if (this.#started) this.#work.resync();
    else this.start();
  }

  /**
   * Begins when there is an egress pod: without any there is nowhere to lead clients, and nothing to watch.
   */
  start(): void {
    if (this.#started || this.#egressAddresses().length === 0) return;
    this.#started = true;
    this.#work.start();
  }

  async stop(): Promise<void> {
    await this.#work.stop();
  }
}
