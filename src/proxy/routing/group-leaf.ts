import { Http2ErrorCode } from '../http2/errors.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { ToldOfConnection } from '../io/dial.ts';
import type { OutgoingRequest, Upstream, UpstreamHandler } from '../http/messages.ts';
import type { TargetGroup } from '../group/target-group.ts';
import type { ConnectionLease, LeaseProtocol } from '../upstream/connection-lease.ts';
import type { EarlierTries } from '../upstream/retry/earlier-tries.ts';
import type { Standing } from '../upstream/session-target.ts';
import { PassingHandler } from './handlers.ts';
import type { LeafBackend } from './leaf-target.ts';

/**
 * A Service behind a route that is a group itself. Its part of the requests is divided again among its
 * members; where none of these can take one, it goes to another backend of the route, as for any other.
 */
export class GroupLeaf implements LeafBackend {
  readonly label: string;
  readonly protocol = undefined;
  readonly #group: TargetGroup;

  constructor(group: TargetGroup) {
    this.#group = group;
    this.label = group.label;
  }

  /**
   * Where none can take a request, those that are due are proven in the background (`GroupBackend.takes`).
   */
  get standing(): Standing {
    const now = this.#group.clock.monotonic();
    return this.#group.backends.some((backend) => backend.takes(now)) ? 'open' : 'closed';
  }

  prove(): void {
    // Members are proven by asking for their standing.
  }

  proveEarly(): void {
    // As are those that are not due.
  }

  open(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh?: boolean,
  ): Promise<Upstream> {
    return this.#group.open(protocol, inner(request), new NestedHandler(handler), fresh);
  }

  openNow(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
  ): Upstream | undefined {
    return this.#group.openNow(protocol, inner(request), new NestedHandler(handler), now);
  }

  openAttempt(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    how: { readonly fresh: boolean; readonly earlier: EarlierTries },
  ): Promise<Upstream> {
    // Tiers of the group are not those of the route, so tries in it count for themselves.
    return this.#group.open(protocol, inner(request), new NestedHandler(handler), how.fresh);
  }

  leaseOrFail(fresh: boolean, protocol: LeaseProtocol, told?: ToldOfConnection): Promise<ConnectionLease> {
    const alternatives = told?.alternatives;
    return this.#group.lease(fresh, protocol, told?.client, { once: true, alternatives });
  }
}

/** What the route asks of its backends is no question to the members of one of them. */
function inner(request: OutgoingRequest): OutgoingRequest {
  return request.permit === undefined ? request : { ...request, permit: undefined };
}

/** Tells the route of a request that no member has processed that it may go elsewhere. */
class NestedHandler extends PassingHandler {
  override onFailure(failure: ProxyFailure, unprocessed: boolean): void {
    // `unseen` marks what was not processed, where there are others to try.
    super.onFailure(failure, unprocessed || failure.code === Http2ErrorCode.REFUSED_STREAM);
  }
}
