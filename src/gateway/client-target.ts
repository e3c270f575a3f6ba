import type { PortProtocol } from '../api/ports/port-protocol.ts';
import type { RequestFilter } from '../proxy/filters/request-filter.ts';
import type { ProxyFailure } from '../proxy/http/failures.ts';
import type { Field } from '../proxy/http/fields.ts';
import type { OutgoingRequest, Permit, Upstream, UpstreamHandler } from '../proxy/http/messages.ts';
import type { ConnectionLease, LeaseProtocol } from '../proxy/upstream/connection-lease.ts';
import type { LeasedRequest, LeaseRequest, StandingTarget } from '../proxy/upstream/session-target.ts';
import { ClientRoutes } from '../proxy/routing/client-routes.ts';
import type { ServiceEntry } from './service-table.ts';

/**
 * A service as one client has it: its own endpoints or, where it has routes, the backends that the client may
 * use. Which of the two is looked at with each request, so that connections that are open follow changes.
 */
export class ClientTarget implements StandingTarget {
  readonly #entry: ServiceEntry;
  readonly #routes: ClientRoutes;
  /** Whether a connection of a backend has been leased, which must not get among those of the service. */
  #routed = false;

  /** @param permit why the client may not use a backend */
  constructor(entry: ServiceEntry, permit: Permit) {
    this.#entry = entry;
    this.#routes = new ClientRoutes(permit);
  }

  get label(): string {
    return this.#entry.label;
  }

  get protocol(): PortProtocol | undefined {
    return this.#entry.target.protocol;
  }

  get filter(): RequestFilter | undefined {
    return this.#entry.target.filter;
  }

  get translates(): boolean {
    return this.#entry.routes !== undefined || this.#entry.target.translates;
  }

  get unready(): ProxyFailure | undefined {
    const { routes, target } = this.#entry;
    return routes === undefined ? target.unready : undefined;
  }

  /** Why a raw connection to a backend that was allowed is not any more. */
  recheck(): ProxyFailure | undefined {
    return this.#routes.recheck();
  }

  caught(error: unknown): ProxyFailure {
    return this.#entry.target.caught(error);
  }

  openNow(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
  ): Upstream | undefined {
    const { routes, target } = this.#entry;
    if (routes === undefined) return target.openNow(protocol, request, handler, now);
    return routes.target.openNow(protocol, this.#routes.asking(request), handler);
  }

  open(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh?: boolean,
  ): Promise<Upstream> {
    const { routes, target } = this.#entry;
    if (routes === undefined) return target.open(protocol, request, handler, fresh);
    return routes.target.open(protocol, this.#routes.asking(request), handler, fresh);
  }

  lease(
    fresh: boolean,
    protocol?: LeaseProtocol,
    client?: Field,
    asked?: LeaseRequest,
  ): Promise<ConnectionLease> {
    const { routes, target } = this.#entry;
    if (routes === undefined) return target.lease(fresh, protocol, client, asked);
    this.#routed = true;
    return this.#routes.lease(routes.target, fresh, protocol, client, asked);
  }

  answers(request: LeasedRequest): boolean {
    return this.#entry.routes?.target.answers(request) === true;
  }

  fits(lease: ConnectionLease, { request }: { readonly request: LeasedRequest }): boolean {
    const { routes } = this.#entry;
    if (routes === undefined) return !this.#routed;
    return this.#routes.fits(routes.target, lease, request);
  }

  leaseNow(): ConnectionLease | undefined {
    const { routes, target } = this.#entry;
    return routes === undefined ? target.leaseNow() : undefined;
  }

  giveBack(lease: ConnectionLease): void {
    if (this.#routed) lease.connection.destroy();
    else this.#entry.target.giveBack(lease);
  }

  mayOpenAgain(elapsedMs: number): boolean {
    return this.#entry.target.mayOpenAgain(elapsedMs);
  }

  untilOpenAgain(refusals: number): Promise<void> {
    return this.#entry.target.untilOpenAgain(refusals);
  }
}
