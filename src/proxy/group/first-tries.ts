import type { Field } from '../http/fields.ts';
import type { IncomingResponse, UpstreamHandler } from '../http/messages.ts';
import { refusalReason } from '../streams/stream-head.ts';
import type { TryWatch, WatchedTry } from '../upstream/try-watch.ts';
import type { GroupBackend } from './group-backend.ts';
import { GroupRequest } from './group-request.ts';
import type { RequestedGroup } from './requested-group.ts';
import { saysNoEndpoints } from './says-no-endpoints.ts';

/**
 * The first tries, at one backend of a group, of requests without a body. Most requests are no more than
 * that, and cost what they would without a group; only one that may have to go on elsewhere becomes a
 * `GroupRequest`.
 */
export class FirstTries implements TryWatch {
  readonly #group: RequestedGroup;
  readonly #backend: GroupBackend;
  readonly #protocol: 'http1' | 'http2';
  /** A first try is made where all others can take it, too. */
  readonly alternatives: number;

  /**
   * @param group with the backends that it has for as long as this is used
   * @param protocol what the application speaks
   */
  constructor(group: RequestedGroup, backend: GroupBackend, protocol: 'http1' | 'http2') {
    this.#group = group;
    this.#backend = backend;
    this.#protocol = protocol;
    this.alternatives = group.backends.length - 1;
  }

  onInterimResponse(one: WatchedTry, status: number, fields: readonly Field[]): UpstreamHandler | undefined {
    return refusalReason(status, fields) === undefined ? undefined : this.#adopt(one);
  }

  onResponse(one: WatchedTry, response: IncomingResponse): UpstreamHandler | undefined {
    if (saysNoEndpoints(response)) return this.#adopt(one);
    const { clock, numbers } = this.#group;
    this.#backend.served();
    numbers.answered(this.#backend.name, clock);
    return undefined;
  }

  onFailure(one: WatchedTry, answered: boolean): UpstreamHandler | undefined {
    if (!answered) return this.#adopt(one);
    this.#backend.numbers.failed++;
    return undefined;
  }

  onEnd(): void {
    this.#backend.numbers.served++;
  }

  #adopt(one: WatchedTry): UpstreamHandler {
    const { request, handler, startedAt } = one;
    const options = { protocol: this.#protocol, request, handler, earlier: undefined };
    return new GroupRequest(this.#group, options, startedAt).adopt(this.#backend, one);
  }
}
