import type { EndpointState } from '../balancer/endpoint.ts';

/** What a retried request has been sent to, so that the next try can go elsewhere. */
export class EarlierTries {
  /** Endpoints to pass over as long as there are others; the one that a try takes is added. */
  readonly endpoints = new Set<EndpointState>();
  #tier: number | undefined;
  #left = false;

  /** In a group: the tier that further tries stay in, once one has left it; undefined: they may leave it. */
  get onlyTier(): number | undefined {
    return this.#left ? this.#tier : undefined;
  }

  /**
   * In a group: a backend of this tier may have processed a try. One that has certainly not does not count.
   */
  triedAt(tier: number): void {
    this.#tier ??= tier;
    if (tier !== this.#tier) this.#left = true;
  }
}
