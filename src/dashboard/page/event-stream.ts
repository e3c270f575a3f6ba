import type { DeltaEvent, SnapshotEvent } from '../snapshot.ts';
import { connection, heard, takeDelta, takeSnapshot, tick } from './page-store.ts';

const TICK_MS = 1000;
/** How often a source that the browser has given up is tried anew, milliseconds. */
const AGAIN_MS = 5000;
/** How long a hidden page goes on listening, milliseconds: who only looks away comes back to what is new. */
const HIDDEN_MS = 20_000;

/** The last event that was taken: what is asked for after a break. */
let last = '';

/**
 * Listens to what the program says as long as somebody looks. After a break it gets what has changed since,
 * or everything anew where the program knows that no longer.
 */
export function followEvents(): void {
  let source = open();
  let closing: ReturnType<typeof setTimeout> | undefined;
  const isVisible = () => document.visibilityState === 'visible';
  const reopen = () => {
    if (source.readyState === EventSource.CLOSED && isVisible()) source = open();
  };
  document.addEventListener('visibilitychange', () => {
    clearTimeout(closing);
    if (isVisible()) reopen();
    else closing = setTimeout(() => source.close(), HIDDEN_MS);
  });
  setInterval(tick, TICK_MS);
  setInterval(reopen, AGAIN_MS);
}

function open(): EventSource {
  const source = new EventSource(last === '' ? '/events' : `/events?last=${encodeURIComponent(last)}`);
  source.addEventListener('snapshot', (event: MessageEvent<string>) => {
    last = event.lastEventId;
    takeSnapshot(JSON.parse(event.data) as SnapshotEvent);
  });
  source.addEventListener('delta', (event: MessageEvent<string>) => {
    last = event.lastEventId;
    takeDelta(JSON.parse(event.data) as DeltaEvent);
  });
  source.addEventListener('alive', (event: MessageEvent<string>) => {
    heard((JSON.parse(event.data) as { at: number }).at);
  });
  source.addEventListener('error', () => {
    // Closed for good: the answer was none. A program that was started anew does not know this page.
    connection.value = source.readyState === EventSource.CLOSED ? 'refused' : 'lost';
  });
  return source;
}
