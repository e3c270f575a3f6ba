import { messageOf } from '../api/errors/linkspan-error.ts';
import type { Registry } from './registry.ts';
import { gzipped, type BodyPieces, nextTurn } from './pieces.ts';

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
}

/** A request to an admin port, independent of the HTTP version. */
export interface AdminRequest {
  readonly method: string;
  /** With query. */
  readonly path: string;
  readonly acceptEncoding: string;
  /** Whether it came over loopback (in Kubernetes: from this pod). */
  readonly local: boolean;
  /** Only read for PUT. */
  readonly body: string;
}

export interface AdminAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: BodyPieces;
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
      const metrics = new MetricsPage(registry);
      read('/metrics', (request) => metrics.answer(request));
    }
    for (const [path, page] of content.pages ?? [])
      read(path, async (_, query) =>
        textAnswer(200, `${JSON.stringify(await page(query))}\n`, 'application/json'),
      );
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

/**
 * The metrics page. Scrapes that arrive while one is being written share it, and the event loop gets a turn
 * after each piece.
 */
class MetricsPage {
  readonly #registry: Registry;
  #scrape: Promise<Scrape> | undefined;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  async answer({ acceptEncoding }: AdminRequest): Promise<AdminAnswer> {
    const scrape = await (this.#scrape ??= this.#write());
    const headers = { 'content-type': this.#registry.contentType, vary: 'accept-encoding' };
    if (!acceptsGzip(acceptEncoding)) return { status: 200, headers, body: scrape.plain };
    const body = await scrape.gzipped();
    return { status: 200, headers: { ...headers, 'content-encoding': 'gzip' }, body };
  }

  async #write(): Promise<Scrape> {
    try {
      const plain: Buffer[] = [];
      for await (const piece of this.#registry.pieces()) {
        if (piece !== '') plain.push(Buffer.from(piece));
        await nextTurn();
      }
      let pack: Promise<BodyPieces> | undefined;
      return { plain, gzipped: () => (pack ??= gzipped(plain)) };
    } finally {
      this.#scrape = undefined;
    }
  }
}

/** The metrics of one moment. */
interface Scrape {
  readonly plain: BodyPieces;
  gzipped(): Promise<BodyPieces>;
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
  return { status, headers: status === 204 ? {} : { 'content-type': type }, body: [Buffer.from(body)] };
}

function withHeader(answer: AdminAnswer, headers: Readonly<Record<string, string>>): AdminAnswer {
  return { ...answer, headers: { ...answer.headers, ...headers } };
}

/** RFC 9110 section 12.5.3, as far as it concerns gzip. */
function acceptsGzip(header: string): boolean {
  for (const part of header.toLowerCase().split(',')) {
    const [coding, ...parameters] = part.split(';').map((piece) => piece.trim());
    if (coding !== 'gzip' && coding !== '*') continue;
    return !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  }
  return false;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
