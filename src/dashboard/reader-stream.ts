import type { ServerResponse } from 'node:http';
import type { Clock, Timer } from '../base/clock.ts';
import type { SnapshotFeed, ToldDelta } from './snapshot-feed.ts';

/** As servers of events are told apart from others. */
export const STREAM_HEADERS = { 'content-type': 'text/event-stream; charset=utf-8' } as const;
/** How often something is said where nothing happens, milliseconds. */
const ALIVE_MS = 5000;
/** A reader that takes nothing for so long is gone, milliseconds. */
const STUCK_MS = 60_000;

/** One event in the form of `text/event-stream`; data without line ends. */
export function eventText(event: string, data: string, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${data}\n\n`;
}

/**
 * One reader of the feed. It is told one thing after the other, the next when the one before has been taken:
 * whoever is slow misses deltas, and gets what is still known of them, or everything anew.
 * @param last id of what it has; undefined: nothing
 */
export function streamFeed(
  response: ServerResponse,
  feed: SnapshotFeed,
  { clock, last }: { readonly clock: Clock; readonly last: string | undefined },
): void {
  const reader = new FeedReader(response, feed, clock);
  response.writeHead(200, STREAM_HEADERS);
  const end = feed.listen(() => reader.tell());
  response.once('close', () => {
    end();
    reader.close();
  });
  reader.begin(last);
}

class FeedReader {
  readonly #response: ServerResponse;
  readonly #feed: SnapshotFeed;
  readonly #clock: Clock;
  #last = '';
  #blocked = false;
  #quiet: Timer;

  constructor(response: ServerResponse, feed: SnapshotFeed, clock: Clock) {
    this.#response = response;
    this.#feed = feed;
    this.#clock = clock;
    this.#quiet = clock.after(ALIVE_MS, () => this.#alive(), { unref: true });
    response.on('drain', () => {
      this.#blocked = false;
      this.#rest();
      this.tell();
    });
  }

  begin(last: string | undefined): void {
    this.#last = last ?? '';
    this.tell();
  }

  /** All that it does not have yet, unless it has not taken what it was told before. */
  tell(): void {
    if (this.#blocked || this.#last === this.#feed.id) return;
    const missing = this.#feed.since(this.#last);
    if (missing === undefined) return this.#write('snapshot', this.#feed.whole);
    for (const delta of missing) {
      this.#write('delta', delta);
      if (this.#blocked) return;
    }
  }

  #write(event: string, { id, data }: ToldDelta): void {
    this.#last = id;
    this.#send(eventText(event, data, id));
  }

  #send(text: string): void {
    this.#blocked = !this.#response.write(text);
    this.#rest();
  }

  /** From now on it is quiet, or stuck. */
  #rest(): void {
    this.#quiet.cancel();
    this.#quiet = this.#blocked
      ? this.#clock.after(STUCK_MS, () => this.#response.destroy(), { unref: true })
      : this.#clock.after(ALIVE_MS, () => this.#alive(), { unref: true });
  }

  #alive(): void {
    this.#send(eventText('alive', JSON.stringify({ at: this.#clock.now() })));
  }

  close(): void {
    this.#quiet.cancel();
  }
}
