import type { PortProtocol } from '../../api/ports/port-protocol.ts';
import type { RequestFilter } from '../../proxy/filters/request-filter.ts';
import type { ProxyFailure } from '../../proxy/http/failures.ts';
import type { Field } from '../../proxy/http/fields.ts';
import type { OutgoingRequest, Permit, Upstream, UpstreamHandler } from '../../proxy/http/messages.ts';
import { ClientRoutes } from '../../proxy/routing/client-routes.ts';
import type { RoutedTarget } from '../../proxy/routing/routed-target.ts';
import type { ConnectionLease, LeaseProtocol } from '../../proxy/upstream/connection-lease.ts';
import type { LeasedRequest, LeaseRequest, StandingTarget } from '../../proxy/upstream/session-target.ts';

/** An apex as one client has it, where some of its backends are not for everybody. */
export class ApexClient implements StandingTarget {
  readonly translates = true;
  /** Whether a backend has endpoints is known when one is drawn. */
  readonly unready = undefined;
  readonly #target: RoutedTarget;
  readonly #routes: ClientRoutes;
  readonly #restricts: () => boolean;

  /**
   * @param permit why the client may not use a backend, by its name
   * @param restricts whether it may be that there is one, so that each is to be asked about
   */
  constructor(target: RoutedTarget, permit: Permit, restricts: () => boolean) {
    this.#target = target;
    this.#routes = new ClientRoutes(permit);
    this.#restricts = restricts;
  }

  get label(): string {
    return this.#target.label;
  }

  get protocol(): PortProtocol | undefined {
    return this.#target.protocol;
  }

  get filter(): RequestFilter | undefined {
    return this.#target.filter;
  }

  /** Why a raw connection to a backend that was allowed is not any more. */
  recheck(): ProxyFailure | undefined {
    return this.#routes.recheck();
  }

  caught(error: unknown): ProxyFailure {
    return this.#target.caught(error);
  }

  openNow(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
  ): Upstream | undefined {
    return this.#target.openNow(protocol, this.#asking(request), handler, now);
  }

  open(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh?: boolean,
  ): Promise<Upstream> {
    return this.#target.open(protocol, this.#asking(request), handler, fresh);
  }

  lease(
    fresh: boolean,
    protocol?: LeaseProtocol,
    client?: Field,
    asked?: LeaseRequest,
  ): Promise<ConnectionLease> {
    return this.#routes.lease(this.#target, fresh, protocol, client, asked);
  }

  answers(request: LeasedRequest): boolean {
    return this.#target.answers(request);
  }

  fits(lease: ConnectionLease, { request }: { readonly request: LeasedRequest }): boolean {
    return this.#routes.fits(this.#target, lease, request);
  }

  leaseNow(): undefined {
    return this.#target.leaseNow();
  }

  giveBack(lease: ConnectionLease): void {
    this.#target.giveBack(lease);
  }

  mayOpenAgain(elapsedMs: number): boolean {
    return this.#target.mayOpenAgain(elapsedMs);
  }

  untilOpenAgain(refusals: number): Promise<void> {
    return this.#target.untilOpenAgain(refusals);
  }

  #asking(request: OutgoingRequest): OutgoingRequest {
    return this.#restricts() ? this.#routes.asking(request) : request;
  }
}
