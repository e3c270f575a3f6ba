import type { ConnectionHandler } from '../io/connection.ts';
import type { ConnectionLease } from './connection-lease.ts';

/**
 * The connection to an endpoint that has become one client's own. It counts as a request in hand while it
 * lies unused, so that those who hold many are within the limit of the target; a client has one at most, and
 * it ends with the client.
 */
export class PrivateConnection implements ConnectionHandler {
  #lease: ConnectionLease | undefined;

  /** Keeps a connection that is complete with a request. */
  keep(lease: ConnectionLease, now: number): void {
    this.end();
    const { connection, endpoint } = lease;
    if (connection.closed || connection.retired) {
      connection.destroy();
      return;
    }
    this.#lease = { endpoint: endpoint.state.begin(), connection, reused: true, since: now };
    connection.handler = this;
    connection.resume();
  }

  /** The connection for the client's next request, which goes on being its own; undefined = it has none. */
  take(request?: { personal: boolean }): ConnectionLease | undefined {
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease !== undefined && request !== undefined) request.personal = true;
    return lease;
  }

  end(): void {
    const lease = this.take();
    lease?.endpoint.abandon();
    lease?.connection.destroy();
  }

  // One that says anything unasked is of no more use.

  onData(): void {
    this.end();
  }

  onEnd(): void {
    this.end();
  }

  onDrain(): void {
    // Nothing is sent meanwhile.
  }

  onRetire(): void {
    this.end();
  }

  onClose(): void {
    this.end();
  }
}
