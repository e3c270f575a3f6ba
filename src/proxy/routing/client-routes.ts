import type { ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';
import type { OutgoingRequest, Permit } from '../http/messages.ts';
import type { ConnectionLease, LeaseProtocol } from '../upstream/connection-lease.ts';
import type { LeasedRequest, LeaseRequest } from '../upstream/session-target.ts';
import type { RoutedTarget } from './routed-target.ts';

/**
 * What one client may use of Services behind routes: asked about before a request or a connection goes to
 * one, and again while a connection is open.
 */
export class ClientRoutes {
  readonly #permit: Permit;
  /** Backends to which raw connections of the client lead. */
  #raw: Set<string> | undefined;

  /** @param permit why the client may not use a backend */
  constructor(permit: Permit) {
    this.#permit = permit;
  }

  /** Why a raw connection to a backend that was allowed is not any more. */
  recheck(): ProxyFailure | undefined {
    for (const backend of this.#raw ?? []) {
      const refusal = this.#permit(backend);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  /** The request, which goes to no backend that the client may not use. */
  asking(request: OutgoingRequest): OutgoingRequest {
    return { ...request, permit: this.#permit };
  }

  /** As `SessionTarget.lease`. */
  async lease(
    target: RoutedTarget,
    ...[fresh, protocol, client, asked]: [boolean, LeaseProtocol?, Field?, LeaseRequest?]
  ): Promise<ConnectionLease> {
    // The last one that was allowed is the one that was taken.
    let taken: string | undefined;
    const permit: Permit = (backend) => {
      const refusal = this.#permit(backend);
      if (refusal === undefined && protocol === 'opaque') (this.#raw ??= new Set()).add(backend);
      taken = backend;
      return refusal;
    };
    const lease = await target.lease(fresh, protocol, client, { ...asked, permit });
    if (taken === undefined) return lease;
    // Another one where the first has refused the flow before anything of it was processed (`GroupLease`).
    return { ...lease, refusal: () => (taken === undefined ? undefined : this.#permit(taken)) };
  }

  /** As `SessionTarget.fits`. */
  fits(target: RoutedTarget, lease: ConnectionLease, request: LeasedRequest): boolean {
    return target.fits(lease, { request, permit: this.#permit });
  }
}
