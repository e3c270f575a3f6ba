import type { Clock } from '../base/clock.ts';
import type { Connection } from './connection.ts';

/** How long a peer may take to close its side once it has been sent everything. */
const LINGER_MS = 2000;

/**
 * Says that no more comes, and ends the connection when the peer has closed its side or does not do so in time. The time begins when all is sent, so that
 * a slow reader gets the whole of it; closing at once could reset the connection before the peer has read (RFC 9112 section 9.6).
 * @param error what the connection is to end with
 */
export function endGently(connection: Connection, clock: Clock, error?: Error): void {
  connection.end(() => {
    if (!connection.closed) clock.after(LINGER_MS, () => connection.destroy(error), { unref: true });
  });
}
