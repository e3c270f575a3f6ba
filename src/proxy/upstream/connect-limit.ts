import type { EndpointState } from './balancer/endpoint.ts';
import { ProxyFailure } from '../http/failures.ts';

/**
 * Connections to one endpoint that may be on their way to be opened, for one service. Ones that take 100 ms (another
 * cluster, with a handshake) come 1,280 a second so.
 */
export const MAX_OPENING = 128;

/** Somebody whose turn has not come. */
interface Turn {
  readonly begin: () => void;
  readonly fail: (reason: ProxyFailure) => void;
}

/** What there is towards one endpoint. */
interface Lane {
  opening: number;
  /** In the order in which they came. */
  readonly waiting: Set<Turn>;
}

/**
 * Opens connections to endpoints, to each a limited number at a time: one that takes long to accept, or never does, must not
 * cost a socket for each request that waits for it. Nothing has been sent for those whose turn has not come: when a
 * connection cannot be opened they are told so, too, and may go elsewhere.
 */
export class ConnectLimit {
  readonly #max: number;
  readonly #lanes = new Map<EndpointState, Lane>();

  constructor(max = MAX_OPENING) {
    this.#max = max;
  }

  /** @param open is called when its turn comes; it says whether it had to wait for that */
  async run<T>(endpoint: EndpointState, open: (waited: boolean) => Promise<T>): Promise<T> {
    let lane = this.#lanes.get(endpoint);
    if (lane === undefined) this.#lanes.set(endpoint, (lane = { opening: 0, waiting: new Set() }));
    const waits = lane.opening >= this.#max;
    // Whoever gives a turn away keeps the count.
    if (waits) await turn(lane);
    else lane.opening++;
    try {
      return await open(waits);
    } catch (error) {
      if (error instanceof ProxyFailure && error.kind !== 'internal error') failWaiting(lane, error);
      throw error;
    } finally {
      this.#next(endpoint, lane);
    }
  }

  #next(endpoint: EndpointState, lane: Lane): void {
    const [first] = lane.waiting;
    if (first !== undefined) {
      lane.waiting.delete(first);
      first.begin();
    } else if (--lane.opening === 0 && this.#lanes.get(endpoint) === lane) this.#lanes.delete(endpoint);
  }
}

function turn(lane: Lane): Promise<void> {
  return new Promise((begin, fail) => lane.waiting.add({ begin, fail }));
}

function failWaiting(lane: Lane, failure: ProxyFailure): void {
  const waiting = [...lane.waiting];
  lane.waiting.clear();
  for (const { fail } of waiting) fail(failure);
}
