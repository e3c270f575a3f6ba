import type { ToldOfConnection } from '../io/dial.ts';
import type { BackendFilters } from '../../policy/routing/routing.ts';
import type { OutgoingRequest, Upstream, UpstreamHandler } from '../http/messages.ts';
import type { BackendTarget } from '../group/group-backend.ts';
import type { ConnectionLease, LeaseProtocol } from '../upstream/connection-lease.ts';
import { applicationProtocol } from '../upstream/endpoint-transport.ts';
import { ProxyFailure } from '../http/failures.ts';
import type { EarlierTries } from '../upstream/retry/earlier-tries.ts';
import type { Standing } from '../upstream/session-target.ts';
import type { Target } from '../upstream/target.ts';
import type { TryWatch } from '../upstream/try-watch.ts';
import { ChangedResponse } from './handlers.ts';
import { changedRequest } from './request-changes.ts';

/** A backend of a rule. */
export type Leaf = LeafTarget | InvalidLeaf;

/** What serves the requests for a Service behind a route. */
export type LeafBackend = BackendTarget & Pick<Target, 'label' | 'protocol'>;

/**
 * A Service behind a route. Its own declaration decides what its applications speak, not that of the Service
 * that was asked for.
 */
export class LeafTarget implements BackendTarget {
  readonly #target: LeafBackend;
  readonly #stays: boolean;
  readonly #filtered: boolean;
  /** What is changed of its requests and responses, behind the filters of its rule. */
  readonly filters: BackendFilters;

  /**
   * @param stays whether it is drawn although it cannot be used; `unavailable` then says why it is refused
   */
  constructor(target: LeafBackend, stays: boolean, filters: BackendFilters = {}) {
    this.#target = target;
    this.#stays = stays;
    this.filters = filters;
    this.#filtered = Object.keys(filters).length > 0;
  }

  /** `name:port` of its Service. */
  get label(): string {
    return this.#target.label;
  }

  get standing(): Standing {
    return this.#stays ? 'open' : this.#target.standing;
  }

  /** Why its part of the requests is refused, where no other gets it; undefined: it is not. */
  get unavailable(): ProxyFailure | undefined {
    if (!this.#stays) return undefined;
    const { standing, label } = this.#target;
    if (standing === 'unproven') this.#target.prove();
    if (standing === 'open') return undefined;
    return new ProxyFailure('backend unavailable', `${label} has no endpoint that can be used`);
  }

  prove(): void {
    this.#target.prove();
  }

  proveEarly(): void {
    this.#target.proveEarly();
  }

  open(
    _: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh?: boolean,
  ): Promise<Upstream> {
    const [changed, answered] = [changedRequest(request, this.filters, ''), this.#responding(handler)];
    return this.#target.open(this.#spoken(request), changed, answered, fresh);
  }

  openNow(
    _: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
  ): Upstream | undefined {
    const [changed, answered] = [changedRequest(request, this.filters, ''), this.#responding(handler)];
    return this.#target.openNow(this.#spoken(request), changed, answered, now);
  }

  openWatched(
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
    watch: TryWatch,
  ): Upstream | undefined {
    // Whoever takes a request over sends it elsewhere as it went here, where other filters may be.
    if (this.#filtered) return undefined;
    return this.#target.openWatched?.(request, handler, now, watch);
  }

  openAttempt(
    _: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    how: { readonly fresh: boolean; readonly earlier: EarlierTries },
  ): Promise<Upstream> {
    const [changed, answered] = [changedRequest(request, this.filters, ''), this.#responding(handler)];
    return this.#target.openAttempt(this.#spoken(request), changed, answered, how);
  }

  leaseOrFail(fresh: boolean, protocol: LeaseProtocol, told?: ToldOfConnection): Promise<ConnectionLease> {
    return this.#target.leaseOrFail(fresh, protocol, told);
  }

  #responding(handler: UpstreamHandler): UpstreamHandler {
    const { responseHeaders } = this.filters;
    return responseHeaders === undefined ? handler : new ChangedResponse(handler, responseHeaders);
  }

  #spoken({ version }: OutgoingRequest): 'http1' | 'http2' {
    return applicationProtocol(this.#target.protocol, version);
  }
}

/** A reference that is wrong: it is drawn by its weight, and whoever draws it refuses the request first. */
export class InvalidLeaf implements BackendTarget {
  readonly standing = 'open';
  readonly label: string;
  readonly filters: BackendFilters = {};
  readonly #failure: ProxyFailure;

  constructor(label: string, failure: ProxyFailure) {
    this.label = label;
    this.#failure = failure;
  }

  get unavailable(): ProxyFailure {
    return this.#failure;
  }

  prove(): void {
    // Nothing is there.
  }

  proveEarly(): void {
    // Nor will it be.
  }

  open(): Promise<Upstream> {
    return Promise.reject(this.#failure);
  }

  openNow(): undefined {
    return undefined;
  }

  openAttempt(): Promise<Upstream> {
    return Promise.reject(this.#failure);
  }

  leaseOrFail(): Promise<ConnectionLease> {
    return Promise.reject(this.#failure);
  }
}
