import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { formatAddress, type SocketAddress } from '../base/address.ts';
import { LinkspanError, messageOf } from '../base/errors.ts';
import type { Registry } from './metrics.ts';

/** Answer of a health check: `ok`, and one line that says why when it is not. */
export interface Health {
  readonly ok: boolean;
  readonly reason: string;
}

export interface AdminOptions {
  readonly address: SocketAddress;
  readonly registry: Registry;
  /** `/ready`: may traffic or work be given to this process? */
  ready(): Health;
  /** `/live`: should it be restarted? Default: always alive. */
  live?(): Health;
  /** Further pages by path: each answers with JSON. */
  readonly pages?: ReadonlyMap<string, (query: URLSearchParams) => unknown>;
}

/** A running admin server. */
export interface AdminServer {
  /** The bound address, with the real port when 0 was asked for. */
  readonly address: SocketAddress;
  close(): Promise<void>;
}

/**
 * Plain HTTP/1 server for operators: `/ready`, `/live`, `/metrics`; everything else is 404. Bodies are the ones that Linkerd's
 * proxy gives (`ready\n`, `not ready\n` with the reason behind it, `live\n`).
 * @throws LinkspanError PORT_IN_USE
 */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const server = createServer({ requireHostHeader: false }, (request, response) => {
    void answer(options, request, response);
  });
  await listen(server, options.address);
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : options.address.port;
  return {
    address: { host: options.address.host, port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, address: SocketAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const what = `cannot listen on ${formatAddress(address)}: ${messageOf(error)}`;
      reject(new LinkspanError('PORT_IN_USE', what, { cause: error }));
    });
    server.listen(address.port, address.host, () => resolve());
  });
}

async function answer(
  options: AdminOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [path = '/', query = ''] = (request.url ?? '/').split('?');
  const routes: Record<string, () => void | Promise<void>> = {
    '/metrics': async () =>
      reply(response, 200, await options.registry.metrics(), options.registry.contentType),
    '/ready': () => replyHealth(response, options.ready(), 'ready'),
    '/live': () => replyHealth(response, options.live?.() ?? { ok: true, reason: '' }, 'live'),
  };
  for (const [page, content] of options.pages ?? []) {
    const json = () => `${JSON.stringify(content(new URLSearchParams(query)))}\n`;
    routes[page] = () => reply(response, 200, json(), 'application/json');
  }
  try {
    if (Object.hasOwn(routes, path)) await routes[path]?.();
    else reply(response, 404, `not found; this port has ${Object.keys(routes).join(', ')}\n`);
  } catch (error) {
    reply(response, 500, `${messageOf(error)}\n`);
  }
}

function replyHealth(response: ServerResponse, health: Health, word: string): void {
  reply(response, health.ok ? 200 : 503, health.ok ? `${word}\n` : `not ${word}\n${health.reason}\n`);
}

function reply(
  response: ServerResponse,
  status: number,
  body: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
