import { codeOf } from '../../api/errors/linkspan-error.ts';
import { deployments } from '../../api/kubernetes/resource.ts';
import { sleep, type Clock } from '../../base/clock.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { LINKERD_CONTROLLER } from './weights-verdict.ts';

const LOOK_MS = 20_000;

export interface LinkerdFailoverOptions {
  readonly client: Pick<KubeClient, 'list'>;
  readonly clock: Clock;
  /** Whether anybody wants to know. */
  readonly wanted: () => boolean;
  readonly onChange: () => void;
  /** The API server does not say. */
  readonly onFailure: (code: string | undefined) => void;
  readonly signal: AbortSignal;
  /** How often it is looked for, milliseconds; default: 20 s. */
  readonly lookMs?: number | undefined;
}

/**
 * Whether linkerd-failover runs in this cluster: a Deployment of its name, in any namespace, has a pod that
 * is available. Looked for only while objects carry its label.
 */
export class LinkerdFailover {
  readonly #options: LinkerdFailoverOptions;
  #runs: boolean | undefined;

  constructor(options: LinkerdFailoverOptions) {
    this.#options = options;
  }

  /** Undefined: the API server has not said. */
  get runs(): boolean | undefined {
    return this.#runs;
  }

  /** Looks until the signal aborts. */
  async follow(): Promise<void> {
    const { clock, wanted, signal, lookMs = LOOK_MS } = this.#options;
    while (!signal.aborted) {
      if (wanted()) await this.#look();
      await sleep(clock, lookMs, signal).catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    const { client, onChange, onFailure, signal } = this.#options;
    const before = this.#runs;
    try {
      const fieldSelector = `metadata.name=${LINKERD_CONTROLLER}`;
      const { items } = await client.list(deployments, { fieldSelector, signal });
      this.#runs = items.some(({ status }) => (status?.availableReplicas ?? 0) > 0);
    } catch (error) {
      if (signal.aborted) return;
      // What was known may not be so any more: two who write are worse than nobody who does.
      this.#runs = undefined;
      onFailure(codeOf(error));
    }
    if (this.#runs !== before) onChange();
  }
}
