import { randomBytes } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { codeOf } from '../api/errors/linkspan-error.ts';
import type { Clock } from '../base/clock.ts';
import { listenOn } from '../base/listen.ts';
import { http } from '../base/node-http.ts';
import { acceptsGzip } from '../telemetry/shared-page.ts';
import { type AnswerSource, errorAnswer, statusOf } from './dashboard-answers.ts';
import { streamLive } from './live-stream.ts';
import type { PageFile, PageFiles } from './page-files.ts';
import { COMMON_HEADERS, contentPolicy } from './page-headers.ts';
import { streamFeed } from './reader-stream.ts';
import { cookieName, entryRefusalOf, isSecret, refusalOf, type RequestHead } from './request-guard.ts';
import { TABLES } from './snapshot.ts';
import type { SnapshotFeed } from './snapshot-feed.ts';

/** Most connections at a time, and most that look at requests: each costs every pod something. */
const MAX_CONNECTIONS = 64;
const MAX_LIVE = 6;
const MAX_HEAD_BYTES = 8192;
const HEAD_MS = 10_000;
/** How long an address with a ticket can be used, milliseconds. */
const TICKET_MS = 60_000;
/** How long a program that asks for a table waits for what is new, where nobody looks; milliseconds. */
const RENEWAL_MS = 4000;
const HOSTS = ['127.0.0.1', '::1'] as const;

export interface DashboardOptions {
  /** 0: any that is free. */
  readonly port: number;
  readonly feed: SnapshotFeed;
  readonly files: PageFiles;
  readonly answers: AnswerSource;
  readonly clock: Clock;
}

/** A server that runs. */
export interface Dashboard {
  readonly port: number;
  /** The address that lets in whoever has it. */
  readonly url: string;
  /**
   * The same for a program's command line, which others on the machine can read: it lets in one, within a
   * minute.
   */
  ticketUrl(): string;
  close(): Promise<void>;
}

/**
 * Serves the page on the loopback addresses of this machine.
 * @throws LinkspanError PORT_IN_USE and its like
 */
export async function startDashboard(options: DashboardOptions): Promise<Dashboard> {
  const handler = new DashboardHandler(options);
  const servers: Server[] = [];
  let { port } = options;
  try {
    for (const host of HOSTS) {
      const server = newServer(handler);
      try {
        await listenOn(server, { host, port }, { exclusive: true });
      } catch (error) {
        // A machine need not have IPv6; 127.0.0.1 it has.
        if (host === '127.0.0.1' || codeOf(error) !== 'ADDRESS_NOT_LOCAL') throw error;
        continue;
      }
      servers.push(server);
      ({ port } = server.address() as AddressInfo);
    }
  } catch (error) {
    await closeAll(servers);
    throw error;
  }
  handler.port = port;
  const address = `http://127.0.0.1:${port}/?key=`;
  return {
    port,
    url: address + handler.secret,
    ticketUrl: () => address + handler.newTicket(),
    close: () => closeAll(servers),
  };
}

function newServer(handler: DashboardHandler): Server {
  const server = http.createServer(
    { maxHeaderSize: MAX_HEAD_BYTES, headersTimeout: HEAD_MS, keepAliveTimeout: HEAD_MS },
    (request, response) => void handler.handle(request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

async function closeAll(servers: readonly Server[]): Promise<void> {
  await Promise.all(
    servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    ),
  );
}

interface Ticket {
  readonly word: string;
  readonly until: number;
}

class DashboardHandler {
  readonly secret = randomBytes(24).toString('base64url');
  /** Set when it is known. */
  port = 0;
  readonly #options: DashboardOptions;
  readonly #policy: string;
  #ticket: Ticket | undefined;
  #live = 0;

  constructor(options: DashboardOptions) {
    this.#options = options;
    this.#policy = contentPolicy(options.files.importMap);
  }

  newTicket(): string {
    const word = randomBytes(24).toString('base64url');
    this.#ticket = { word, until: this.#options.clock.monotonic() + TICKET_MS };
    return word;
  }

  /** Never throws. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => response.destroy());
    for (const [name, value] of Object.entries(COMMON_HEADERS)) response.setHeader(name, value);
    response.setHeader('content-security-policy', this.#policy);
    const { method = '', url = '/', headers, socket } = request;
    const { host, cookie } = headers;
    const site = headers['sec-fetch-site'];
    const head: RequestHead = { method, url, host, cookie, site: Array.isArray(site) ? site[0] : site };
    try {
      await this.#serve(head, request, response);
    } catch (error) {
      this.#fail(response, error, socket);
    }
  }

  #fail(response: ServerResponse, error: unknown, socket: Socket): void {
    if (response.headersSent) socket.destroy();
    else sendJson(response, statusOf(error), errorAnswer(error));
  }

  async #serve(head: RequestHead, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams: query } = targetOf(head.url);
    const demands = { port: this.port, secret: this.secret };
    const key = pathname === '/' ? query.get('key') : null;
    const refused = key === null ? refusalOf(head, demands) : entryRefusalOf(head, demands);
    if (refused !== undefined) return sendText(response, refused.status, refused.message);
    if (key !== null) return this.#enter(key, response);
    if (pathname === '/events') return this.#events(request, response, query);
    if (pathname.startsWith('/live/')) return this.#streamed(pathname, query, response);
    if (pathname.startsWith('/api/')) return this.#answer(pathname, query, response);
    const { files, index } = this.#options.files;
    const file = files.get(pathname) ?? (isAddress(pathname) ? index : undefined);
    if (file === undefined) return sendText(response, 404, 'there is no such page');
    return sendFile(response, file, request.headers['accept-encoding']);
  }

  /** The key is changed for a cookie, and stands in no address any more. */
  #enter(key: string, response: ServerResponse): void {
    if (!isSecret(key, this.secret) && !this.#takeTicket(key))
      return sendText(response, 403, 'this address is of another start, or was used: see what was printed');
    const cookie = `${cookieName(this.port)}=${this.secret}; Path=/; HttpOnly; SameSite=Strict`;
    response.writeHead(303, { location: '/', 'set-cookie': cookie, 'content-length': 0 }).end();
  }

  #takeTicket(key: string): boolean {
    const ticket = this.#ticket;
    if (ticket === undefined || !isSecret(key, ticket.word)) return false;
    this.#ticket = undefined;
    return ticket.until > this.#options.clock.monotonic();
  }

  #events(request: IncomingMessage, response: ServerResponse, query: URLSearchParams): void {
    const told = request.headers['last-event-id'];
    const last = (Array.isArray(told) ? told[0] : told) ?? query.get('last') ?? undefined;
    streamFeed(response, this.#options.feed, { clock: this.#options.clock, last });
  }

  async #streamed(pathname: string, query: URLSearchParams, response: ServerResponse): Promise<void> {
    const { answers } = this.#options;
    const kind = pathname === '/live/tap' ? 'tap' : pathname === '/live/top' ? 'top' : undefined;
    if (kind === undefined) return sendText(response, 404, 'there is no such stream');
    if (this.#live >= MAX_LIVE) return sendText(response, 429, `${MAX_LIVE} look already`);
    this.#live++;
    try {
      await streamLive(response, (signal) => answers[kind](query, signal));
    } finally {
      this.#live--;
    }
  }

  async #answer(pathname: string, query: URLSearchParams, response: ServerResponse): Promise<void> {
    const { answers, feed, clock } = this.#options;
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const name = /^\/api\/([\w/]{1,64})\.json$/.exec(pathname)?.[1] ?? '';
    const table = TABLES.find((one) => one === name);
    if (table !== undefined || name === 'snapshot') await feed.renewed(RENEWAL_MS, gone.signal);
    if (table !== undefined)
      return sendJson(response, 200, { at: clock.now(), table, rows: feed.tables[table] });
    const known: Readonly<Record<string, () => object | Promise<object>>> = {
      meta: () => feed.meta,
      snapshot: () => feed.snapshot,
      reasons: () => answers.reasons(),
      service: () => answers.service(query, gone.signal),
      ...(answers.history === undefined
        ? {}
        : {
            'history/table': () => answers.history?.table(query, gone.signal) ?? {},
            'history/series': () => answers.history?.series(query, gone.signal) ?? {},
          }),
    };
    const ask = Object.hasOwn(known, name) ? known[name] : undefined;
    if (ask === undefined)
      return sendJson(response, 404, errorAnswer(new RangeError('there is no such answer')));
    sendJson(response, 200, await ask());
  }
}

/** Only what stands behind the host counts: whoever writes a host into it is not believed. */
function targetOf(url: string): Pick<URL, 'pathname' | 'searchParams'> {
  const [pathname = '/', ...query] = url.split('?');
  return { pathname, searchParams: new URLSearchParams(query.join('?')) };
}

/** An address of the page. What names are in it is the page's: they may have dots. */
function isAddress(pathname: string): boolean {
  const [, first = ''] = pathname.split('/');
  return first !== 'page' && first !== 'lib' && !first.includes('.');
}

function sendFile(response: ServerResponse, file: PageFile, accepted: string | string[] = ''): void {
  const isPacked = file.gzip !== undefined && acceptsGzip(String(accepted));
  const body = isPacked && file.gzip !== undefined ? file.gzip : file.body;
  const encoding: Record<string, string> = isPacked ? { 'content-encoding': 'gzip' } : {};
  response.writeHead(200, { 'content-type': file.type, 'content-length': body.length, ...encoding });
  response.end(body);
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  const text = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': text.length,
  });
  response.end(text);
}

function sendText(response: ServerResponse, status: number, message: string): void {
  const body = Buffer.from(`linkspan: ${message}\n`);
  const allow: Record<string, string> = status === 405 ? { allow: 'GET', connection: 'close' } : {};
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': body.length,
    ...allow,
  });
  response.end(body);
}
