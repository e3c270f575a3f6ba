import { once } from 'node:events';
import http from 'node:http';
import type { DeltaEvent, SnapshotEvent, Tables } from '../../src/dashboard/snapshot.ts';
import { applyDelta, emptyTables } from '../../src/dashboard/snapshot.ts';

/** An event of a stream. */
export interface StreamEvent {
  readonly event: string;
  readonly id: string;
  readonly data: unknown;
}

/** What a browser has been let in with. */
export class PageReader {
  readonly #origin: string;
  readonly #cookie: string;

  private constructor(origin: string, cookie: string) {
    this.#origin = origin;
    this.#cookie = cookie;
  }

  /** @param url with its key, as `linkspan dashboard` prints it */
  static async enter(url: string): Promise<PageReader> {
    const response = await PageReader.#get(url, {});
    response.resume();
    const [cookie = ''] = response.headers['set-cookie'] ?? [];
    return new PageReader(new URL(url).origin, cookie.split(';')[0] ?? '');
  }

  static async #get(url: string, headers: http.OutgoingHttpHeaders): Promise<http.IncomingMessage> {
    const request = http.get(url, { headers, agent: false });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    return response;
  }

  /** What a path answers, as JSON. */
  async json(path: string): Promise<{ readonly status: number; readonly body: unknown }> {
    const response = await PageReader.#get(this.#origin + path, { cookie: this.#cookie });
    const pieces: Buffer[] = [];
    for await (const piece of response) pieces.push(piece as Buffer);
    const body = JSON.parse(Buffer.concat(pieces).toString()) as unknown;
    return { status: response.statusCode ?? 0, body };
  }

  /** Takes part in a stream until it is closed. */
  async stream(
    path: string,
  ): Promise<{ readonly events: readonly StreamEvent[]; readonly close: () => void }> {
    const response = await PageReader.#get(this.#origin + path, { cookie: this.#cookie });
    const events: StreamEvent[] = [];
    let text = '';
    response.on('error', () => undefined);
    response.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        events.push(eventOf(text.slice(0, end)));
        text = text.slice(end + 2);
      }
    });
    return { events, close: () => response.destroy() };
  }
}

function eventOf(text: string): StreamEvent {
  const lines = text.split('\n');
  const of = (name: string) =>
    lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? '';
  return { event: of('event'), id: of('id'), data: JSON.parse(of('data') || 'null') };
}

/** The tables after all that a stream has told. */
export function tablesAfter(events: readonly StreamEvent[]): Tables {
  let tables = emptyTables();
  for (const { event, data } of events)
    if (event === 'snapshot') ({ tables } = data as SnapshotEvent);
    else if (event === 'delta') tables = applyDelta(tables, data as DeltaEvent);
  return tables;
}
