import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type net from 'node:net';

/** A request as an origin has seen it. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, unknown>>;
  /** What has come of it. */
  body: Buffer;
  /** All of it has come. */
  whole: boolean;
  /** Whoever asked went away before the answer was complete. */
  left: boolean;
}

export interface ScriptedOrigin {
  readonly port: number;
  readonly seen: SeenRequest[];
  /** Requests for a path. */
  count(path: string): number;
  close(): void;
}

/** Answers a request of which the head has come; how many there were for its path, this one included. */
export type Script = (response: http.ServerResponse, request: SeenRequest, nth: number) => void;

/**
 * An application that does what a test says, over HTTP/1 or HTTP/2.
 * @param script called when the whole request has come; `early` is called at its head and answers by
 * returning true
 */
export async function scriptedOrigin(
  kind: 'http1' | 'http2',
  script: Script,
  early: (...parts: Parameters<Script>) => boolean = () => false,
): Promise<ScriptedOrigin> {
  const seen: SeenRequest[] = [];
  const count = (path: string) => seen.filter((one) => one.path === path).length;
  const answer = (incoming: http.IncomingMessage, response: http.ServerResponse) => {
    const { method = '', url: path = '', headers } = incoming;
    const request = { method, path, headers, body: Buffer.alloc(0), whole: false, left: false };
    seen.push(request);
    const nth = count(path);
    incoming.on('data', (chunk: Buffer) => (request.body = Buffer.concat([request.body, chunk])));
    response.on('close', () => (request.left = !response.writableEnded));
    response.on('error', () => undefined);
    if (early(response, request, nth)) return;
    incoming.on('end', () => {
      request.whole = true;
      script(response, request, nth);
    });
  };
  const server =
    kind === 'http1'
      ? http.createServer(answer)
      : http2.createServer((incoming, response) =>
          answer(incoming as unknown as http.IncomingMessage, response as unknown as http.ServerResponse),
        );
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket: net.Socket) => sockets.add(socket.on('error', () => undefined)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    seen,
    count,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
