import type { Clock } from '../../base/clock.ts';
import type { GatewayFacts } from '../reconcile/mirror-facts.ts';

/** Who says whether a cluster is there. */
export interface WitnessesOptions {
  readonly clock: Pick<Clock, 'monotonic'>;
  /** The path to its gateway; undefined: it has none, or nobody probes it, so that there is one witness. */
  readonly path: () => GatewayFacts['path'] | undefined;
  /** Whether its API server gives no answer of any kind. */
  readonly apiLost: () => boolean;
}

/** Since when both witnesses say the same, monotonic milliseconds; undefined: they do not. */
export interface Testimony {
  readonly lostSince: number | undefined;
  readonly backSince: number | undefined;
}

/**
 * Two that can say whether a cluster is there, and know nothing of each other: probes of its gateway, and
 * requests to its API server. Where Linkerd or kube-proxy reach its pods directly nobody sees more, and one
 * alone is not believed: a gateway can be gone while the pods serve, and so can an API server.
 */
export class Witnesses implements Testimony {
  readonly #options: WitnessesOptions;
  #lostSince: number | undefined;
  #backSince: number | undefined;

  constructor(options: WitnessesOptions) {
    this.#options = options;
  }

  get lostSince(): number | undefined {
    return this.#lostSince;
  }

  get backSince(): number | undefined {
    return this.#backSince;
  }

  /** One of them may say something else. @returns whether what both say together is another */
  look(): boolean {
    const { clock, path, apiLost } = this.#options;
    const way = path();
    const isLost = apiLost();
    const before = [this.#lostSince, this.#backSince];
    this.#lostSince = way === 'dead' && isLost ? (this.#lostSince ?? clock.monotonic()) : undefined;
    this.#backSince = way === 'alive' && !isLost ? (this.#backSince ?? clock.monotonic()) : undefined;
    return before[0] !== this.#lostSince || before[1] !== this.#backSince;
  }
}
