import type { ConnectionHandler } from '../io/connection.ts';
import type { ConnectionLease } from './connection-lease.ts';

/**
 * The connection to an endpoint that one client has authenticated as a whole (NTLM, Negotiate; RFC 4559
 * section 6), so that only its requests may travel on it. While it is unused it counts as a request in hand,
 * so that clients who keep many stay within the limit of the target; a client has one at most, and it ends
 * with the client.
 */
export class PrivateConnection implements ConnectionHandler {
  #lease: ConnectionLease | undefined;

  /** Keeps the connection of a request that is complete. @param now monotonic milliseconds */
  keep(lease: ConnectionLease, now: number): void {
    this.end();
    const { connection, endpoint } = lease;
    if (connection.closed || connection.retired) {
      connection.destroy();
      return;
    }
    this.#lease = { ...lease, endpoint: endpoint.state.begin(), reused: true, since: now };
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

  /** Closes it. */
  end(): void {
    const lease = this.take();
    lease?.endpoint.abandon();
    lease?.connection.destroy();
  }

  // What an endpoint sends unasked answers nothing: the connection is closed.

  onData(): void {
    this.end();
  }

  onEnd(): void {
    this.end();
  }

  onDrain(): void {
    // Nothing is sent while it is unused.
  }

  onRetire(): void {
    this.end();
  }

  onClose(): void {
    this.end();
  }
}
