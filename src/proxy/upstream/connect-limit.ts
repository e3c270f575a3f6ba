import type { EndpointState } from './balancer/endpoint.ts';
import { ProxyFailure } from '../http/failures.ts';

/**
 * Connections to one endpoint that one target may be opening at a time. If each takes 100 ms (another
 * cluster, with a handshake), this allows 1,280 a second.
 */
export const MAX_OPENING = 128;

/** A request that waits for its turn. */
interface Turn {
  readonly begin: () => void;
  readonly fail: (reason: ProxyFailure) => void;
}

/** The dials to one endpoint, and the requests that wait for theirs. */
interface EndpointQueue {
  opening: number;
  /** In the order in which they came. */
  readonly waiting: Set<Turn>;
}

/**
 * Opens connections to endpoints, to each a limited number at a time: one that takes long to accept, or never
 * does, must not cost a socket for each request that waits for it. Requests that wait have sent nothing: when
 * a connection cannot be opened, they fail too and may go to another endpoint.
 */
export class ConnectLimit {
  readonly #max: number;
  readonly #queues = new Map<EndpointState, EndpointQueue>();

  constructor(max = MAX_OPENING) {
    this.#max = max;
  }

  /**
   * Opens a connection, at once or when its turn comes.
   * @param open its argument says whether it had to wait
   * @throws what `open` throws, and the ProxyFailure of another that failed while this one waited
   */
  async run<T>(endpoint: EndpointState, open: (waited: boolean) => Promise<T>): Promise<T> {
    let queue = this.#queues.get(endpoint);
    if (queue === undefined) this.#queues.set(endpoint, (queue = { opening: 0, waiting: new Set() }));
    const waits = queue.opening >= this.#max;
    // Whoever waited takes over the place of one that is done (`#next`), which is counted already.
    if (waits) await turn(queue);
    else queue.opening++;
    try {
      return await open(waits);
    } catch (error) {
      if (error instanceof ProxyFailure && error.kind !== 'internal error') failWaiting(queue, error);
      throw error;
    } finally {
      this.#next(endpoint, queue);
    }
  }

  #next(endpoint: EndpointState, queue: EndpointQueue): void {
    const [first] = queue.waiting;
    if (first !== undefined) {
      queue.waiting.delete(first);
      first.begin();
    } else if (--queue.opening === 0 && this.#queues.get(endpoint) === queue) this.#queues.delete(endpoint);
  }
}

function turn(queue: EndpointQueue): Promise<void> {
  return new Promise((begin, fail) => queue.waiting.add({ begin, fail }));
}

function failWaiting(queue: EndpointQueue, failure: ProxyFailure): void {
  const waiting = [...queue.waiting];
  queue.waiting.clear();
  for (const { fail } of waiting) fail(failure);
}
