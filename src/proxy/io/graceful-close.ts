import type { Clock } from '../../base/clock.ts';
import type { Connection } from './connection.ts';

/** How long a peer that has been sent everything may be silent before it has closed its side. */
const SILENT_MS = 2000;
/** How long it may take altogether, however much it still sends. */
const LINGER_MS = 30_000;

/**
 * Says that no more comes, and ends the connection when the peer has closed its side or does not do so in
 * time. The time begins when all is sent, so that a slow reader gets the whole of it. Closing at once could
 * reset the connection before the peer has read (RFC 9112 section 9.6), and so could closing while it sends:
 * a client that uploads slowly and reads at the end is waited for while something comes.
 * @param error what the connection is to end with; whoever broke the rules is not waited for while it goes on
 * sending
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
