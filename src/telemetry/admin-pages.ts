import { messageOf } from '../api/errors/linkspan-error.ts';
import type { Registry } from './registry.ts';
import { PROTOBUF_TYPE } from './protobuf-exposition.ts';
import { type Body, bytesInTurns, inTurns, partsOf, type Pieces, type Turns } from './pieces.ts';
import { SharedPage } from './shared-page.ts';

const TEXT = 'text/plain; charset=utf-8';
const READ = ['GET', 'HEAD'];

/** Answer of a health check: `ok`, and a reason in one line. A reason may accompany `ok`, as a warning. */
export interface Health {
  readonly ok: boolean;
  readonly reason: string;
}

/** Answer of `/ready`. */
export interface ReadyAnswer extends Health {
  /** Further fields of the response; default none. */
  readonly fields?: Readonly<Record<string, string>>;
}

/** Whether one thing among many is ready: 200, 503 with the reason, or 404 when there is no such thing. */
export interface PartHealth {
  readonly status: 200 | 404 | 503;
  readonly reason: string;
}

/** Reads and sets the log level while the process runs. */
export interface LogLevel {
  get(): string;
  /** @returns why not; undefined when it is set */
  set(level: string): string | undefined;
}

/** What an admin port shows. */
export interface AdminContent {
  /** `/metrics`. Default: there is no such page. */
  readonly registry?: Registry;
  /** Whether health answers give the reason; default true. False for ports that other networks reach. */
  readonly reasons?: boolean;
  /** `/ready`: whether this process can take traffic or work. */
  ready(): ReadyAnswer | Promise<ReadyAnswer>;
  /** `/live`: not ok where the process should be restarted. Default: always ok. */
  live?(): Health;
  /** `/ready/<path>`: is a part of it ready? Default: there are no parts. */
  readyPart?(path: readonly string[], query: URLSearchParams): PartHealth | Promise<PartHealth>;
  /** `/proxy-log-level` (Linkerd's name). Default: there is no such page. */
  readonly logLevel?: LogLevel;
  /** Further pages by path: each answers with JSON, at once or when a promise of it resolves. */
  readonly pages?: ReadonlyMap<string, (query: URLSearchParams) => unknown>;
  /** Pages that look at the whole request, for GET alone. */
  readonly streams?: ReadonlyMap<
    string,
    (request: AdminRequest, query: URLSearchParams) => Promise<AdminAnswer>
  >;
}

/** Thrown by a page of `AdminContent.pages` whose query is none: answered with 400 and the message. */
export class BadQuery extends Error {}

/** A request to an admin port, independent of the HTTP version. */
export interface AdminRequest {
  readonly method: string;
  /** With query. */
  readonly path: string;
  readonly acceptEncoding: string;
  /** Default: whatever there is. */
  readonly accept?: string | undefined;
  /** Whether it came over loopback (in Kubernetes: from this pod). */
  readonly local: boolean;
  /** Only read for PUT. */
  readonly body: string;
  /** A header field by its lower-case name; undefined where it is not there, or comes more than once. */
  header(name: string): string | undefined;
  /** Calls `listener` when the connection, or the stream, is gone. */
  onClose(listener: () => void): void;
}

export interface AdminAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Pieces are made while they are sent: who does not want them says so by `return`. */
  readonly body: Body;
}

interface Page {
  readonly methods: readonly string[];
  readonly answer: (request: AdminRequest, query: URLSearchParams) => AdminAnswer | Promise<AdminAnswer>;
}

/**
 * The pages of an admin port, independent of the HTTP version. Bodies are those of Linkerd's proxy
 * (`ready\n`, `not ready\n` with the reason behind it, `live\n`).
 */
export class AdminPages {
  readonly #content: AdminContent;
  readonly #pages = new Map<string, Page>();

  constructor(content: AdminContent) {
    this.#content = content;
    const read = (path: string, answer: Page['answer']) => this.#pages.set(path, { methods: READ, answer });
    const { reasons = true, registry } = content;
    read('/ready', async () => {
      const ready = await content.ready();
      const answer = health(ready, 'ready', reasons);
      return ready.fields === undefined ? answer : withHeader(answer, ready.fields);
    });
    read('/live', () => health(content.live?.() ?? { ok: true, reason: '' }, 'live', reasons));
    if (registry !== undefined) {
      const metrics = (type: string, make: (turns: Turns) => Promise<Pieces>) =>
        new SharedPage(type, () => {
          const turns = registry.turns();
          return () => make(turns);
        });
      const text = metrics(registry.contentType, async (turns) => inTurns(await registry.read(), turns));
      const protobuf = metrics(PROTOBUF_TYPE, async (turns) =>
        bytesInTurns(await registry.readProtobuf(), turns),
      );
      read('/metrics', (request) => (wantsProtobuf(request.accept) ? protobuf : text).answer(request));
    }
    for (const [path, page] of content.pages ?? []) {
      const shared = new SharedPage('application/json', (query) => async () => {
        const json = JSON.stringify(await page(new URLSearchParams(query)));
        return bytesInTurns(partsOf(Buffer.from(`${json}\n`)));
      });
      read(path, (request, query) => shared.answer(request, query.toString()));
    }
    for (const [path, answer] of content.streams ?? []) this.#pages.set(path, { methods: ['GET'], answer });
    const { logLevel } = content;
    if (logLevel !== undefined) {
      const answer: Page['answer'] = (request) => levelAnswer(logLevel, request);
      this.#pages.set('/proxy-log-level', { methods: [...READ, 'PUT'], answer });
    }
  }

  /** Never rejects: an error is answered with 500, with its message where `reasons` is set. */
  async answer(request: AdminRequest): Promise<AdminAnswer> {
    const mark = request.path.indexOf('?');
    const path = mark < 0 ? request.path : request.path.slice(0, mark);
    const query = new URLSearchParams(mark < 0 ? '' : request.path.slice(mark + 1));
    const page = this.#find(path);
    if (page === undefined)
      return textAnswer(404, `not found; this port has ${[...this.#pages.keys()].join(', ')}\n`);
    if (!page.methods.includes(request.method))
      return withHeader(textAnswer(405, `${path} takes ${page.methods.join(', ')}\n`), {
        allow: page.methods.join(', '),
      });
    try {
      return await page.answer(request, query);
    } catch (error) {
      if (error instanceof BadQuery) return textAnswer(400, `${error.message}\n`);
      return textAnswer(500, this.#content.reasons === false ? 'internal error\n' : `${messageOf(error)}\n`);
    }
  }

  #find(path: string): Page | undefined {
    const page = this.#pages.get(path);
    const content = this.#content;
    if (page !== undefined || content.readyPart === undefined || !path.startsWith('/ready/')) return page;
    const parts = path.slice('/ready/'.length).split('/').map(decoded);
    return {
      methods: READ,
      answer: async (_, query) => {
        const { status, reason } = (await content.readyPart?.(parts, query)) ?? NO_PART;
        return textAnswer(status, status === 200 ? 'ready\n' : `not ready\n${reason}\n`);
      },
    };
  }
}

const NO_PART: PartHealth = { status: 404, reason: 'there is no such thing' };

function levelAnswer(level: LogLevel, { method, local, body }: AdminRequest): AdminAnswer {
  if (method !== 'PUT') return textAnswer(200, `${level.get()}\n`);
  // Otherwise anybody who can reach the port could fill the disk with debug lines.
  if (!local) return textAnswer(403, 'the log level can only be set from inside the pod\n');
  const problem = level.set(body.trim());
  return problem === undefined ? textAnswer(204, '') : textAnswer(400, `${problem}\n`);
}

function health({ ok, reason }: Health, word: string, reasons: boolean): AdminAnswer {
  if (ok) return textAnswer(200, `${word}\n`);
  return textAnswer(503, reasons ? `not ${word}\n${reason}\n` : `not ${word}\n`);
}

/** A plain answer. */
export function textAnswer(status: number, body: string, type = TEXT): AdminAnswer {
  return { status, headers: status === 204 ? {} : { 'content-type': type }, body: Buffer.from(body) };
}

function withHeader(answer: AdminAnswer, headers: Readonly<Record<string, string>>): AdminAnswer {
  return { ...answer, headers: { ...answer.headers, ...headers } };
}

/** Whether somebody prefers Prometheus' protobuf format, as those do who take native histograms. */
function wantsProtobuf(accept = ''): boolean {
  const [first = ''] = accept.split(',');
  return (
    first.startsWith('application/vnd.google.protobuf') &&
    first.includes('proto=io.prometheus.client.MetricFamily') &&
    first.includes('encoding=delimited')
  );
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
