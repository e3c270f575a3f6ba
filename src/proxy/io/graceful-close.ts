import type { Clock } from '../../base/clock.ts';
import type { Connection } from './connection.ts';

/** How long a peer that has been sent everything is waited for while it sends nothing. */
const SILENT_MS = 2000;
/** How long it is waited for altogether, however much it still sends. */
const LINGER_MS = 30_000;

/**
 * Ends our direction, and the connection when the peer has ended its own or does not do so in time. The time
 * begins when everything has been sent, so that a slow reader gets all of it. Closing at once could reset the
 * connection before the peer has read the last bytes (RFC 9112 section 9.6), and so could closing while the
 * peer sends: a client that uploads slowly and reads afterwards is waited for as long as it goes on.
 * @param error that the connection is to end with: the peer broke the protocol, and is waited for once only
 * (2 s), even while it sends
 */
export function closeGracefully(connection: Connection, clock: Clock, error?: Error): void {
  connection.end(() => {
    const deadline = clock.monotonic() + (error === undefined ? LINGER_MS : 0);
    const wait = () => {
      const { bytesRead } = connection;
      const look = () => {
        if (connection.closed) return;
        if (connection.bytesRead === bytesRead || clock.monotonic() >= deadline) connection.destroy(error);
        else wait();
      };
      clock.after(SILENT_MS, look, { unref: true });
    };
    if (!connection.closed) wait();
  });
}
