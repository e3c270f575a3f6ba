import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { errorAnswer, type LiveEvent } from './dashboard-answers.ts';
import { eventText, STREAM_HEADERS } from './reader-stream.ts';

/**
 * Writes what comes, as fast as it is taken, until it ends or the reader goes. What is thrown becomes
 * `event: refused`, as browsers show nothing of an answer that is no stream.
 * @param open gets a signal that is aborted when the reader has gone
 */
export async function streamLive(
  response: ServerResponse,
  open: (signal: AbortSignal) => AsyncIterable<LiveEvent>,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  response.writeHead(200, STREAM_HEADERS);
  response.flushHeaders();
  try {
    for await (const { event, data } of open(gone.signal)) {
      const text = eventText(event, JSON.stringify(data));
      if (!response.write(text)) await once(response, 'drain', { signal: gone.signal });
    }
  } catch (error) {
    if (gone.signal.aborted) return;
    response.write(eventText('refused', JSON.stringify(errorAnswer(error))));
  }
  response.end();
}
