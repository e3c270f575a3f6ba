import type { Boundary } from '../http/failure-boundary.ts';
import type { EndpointState } from './balancer/endpoint.ts';
import type { EndpointConnections } from './endpoint-connections.ts';

/**
 * Connects to endpoints in the background, so that no request has to find out whether they are back. An
 * endpoint hears what came of it as of a request; several proofs of it at a time are one.
 */
export class EndpointProofs {
  readonly #connections: Pick<EndpointConnections, 'prove'>;
  readonly #boundary: Boundary;
  readonly #underWay = new Set<EndpointState>();

  /** @param boundary takes mistakes of ours, for which no endpoint is blamed */
  constructor(connections: Pick<EndpointConnections, 'prove'>, boundary: Boundary) {
    this.#connections = connections;
    this.#boundary = boundary;
  }

  begin(endpoint: EndpointState): void {
    if (this.#underWay.has(endpoint)) return;
    this.#underWay.add(endpoint);
    const picked = endpoint.begin();
    this.#connections
      .prove(picked)
      .then(
        () => picked.abandon(),
        (error: unknown) => {
          if (this.#boundary.caught(error).isOurs) picked.abandon();
          else picked.failConnect();
        },
      )
      .finally(() => this.#underWay.delete(endpoint));
  }
}
