import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import type { SessionProtocol } from '../../src/proxy/http/messages.ts';

/**
 * What a client of a gateway says and hears. `http1-upgraded` is what a Linkerd proxy makes of an HTTP/1
 * request: HTTP/2 with `l5d-orig-proto`.
 */
export type ClientKind = 'http1' | 'http2' | 'http1-upgraded';

export interface Request {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent piece by piece, without a length unless a header says one. */
  readonly body?: readonly Buffer[];
  readonly trailers?: Readonly<Record<string, string>>;
}

export interface Response {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
  readonly trailers: Readonly<Record<string, unknown>>;
  readonly interim: readonly number[];
}

/**
 * Asks services with Node's own HTTP/1 and HTTP/2: an independent opinion on our wire. How they are reached
 * is a subclass' business.
 */
export abstract class ServiceClient {
  readonly #sessions = new Map<string, http2.ClientHttp2Session>();

  /** A connection for a service, ready for the first byte of the protocol. */
  abstract connect(name: string, port: number, protocol: SessionProtocol): Promise<Socket>;

  /** An HTTP/2 connection for a service; the same one each time until it closes. */
  async session(name: string, port = 80): Promise<http2.ClientHttp2Session> {
    const known = this.#sessions.get(`${name}:${port}`);
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const socket = await this.connect(name, port, 'http2');
    const session = http2.connect(`http://${name}`, { createConnection: () => socket });
    session.on('error', () => undefined);
    this.#sessions.set(`${name}:${port}`, session);
    return session;
  }

  /** One request and its whole response. @throws when the response is cut */
  request(kind: ClientKind, name: string, request: Request, port = 80): Promise<Response> {
    return kind === 'http1' ? this.#http1(name, port, request) : this.#http2(kind, name, port, request);
  }

  /** Ends every connection. */
  close(): void {
    for (const session of this.#sessions.values()) session.destroy();
  }

  async #http1(name: string, port: number, request: Request): Promise<Response> {
    const socket = await this.connect(name, port, 'http1');
    const { method = 'GET', path, headers = {}, body, trailers } = request;
    const outgoing = http.request({
      createConnection: () => socket,
      method,
      path,
      headers: {
        host: name,
        ...(trailers === undefined ? {} : { trailer: Object.keys(trailers).join() }),
        ...headers,
      },
    });
    const interim: number[] = [];
    outgoing.on('information', ({ statusCode }) => interim.push(statusCode));
    const response = once(outgoing, 'response');
    // Whoever reads the response is told, too.
    outgoing.on('error', () => undefined);
    const send = () => {
      for (const piece of body ?? []) outgoing.write(piece);
      if (trailers !== undefined) outgoing.addTrailers(trailers);
      outgoing.end();
    };
    if (headers['expect'] === undefined) send();
    else outgoing.once('continue', send).flushHeaders();
    const [incoming] = (await response) as [http.IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    if (!incoming.complete) throw new Error('the response is cut');
    return {
      status: incoming.statusCode ?? 0,
      headers: incoming.headers,
      body: Buffer.concat(chunks),
      trailers: incoming.trailers,
      interim,
    };
  }

  async #http2(kind: ClientKind, name: string, port: number, request: Request): Promise<Response> {
    const session = await this.session(name, port);
    const { method = 'GET', path, headers = {}, body, trailers } = request;
    const stream = session.request(
      {
        ':method': method,
        ':path': path,
        ':authority': name,
        ...(kind === 'http1-upgraded' ? { 'l5d-orig-proto': 'HTTP/1.1' } : {}),
        ...headers,
      },
      { endStream: body === undefined && trailers === undefined, waitForTrailers: trailers !== undefined },
    );
    const interim: number[] = [];
    stream.on('headers', (fields) => interim.push(Number(fields[':status'])));
    stream.on('continue', () => interim.push(100));
    let received: Readonly<Record<string, unknown>> = {};
    stream.on('trailers', (fields) => (received = fields));
    stream.on('wantTrailers', () => stream.sendTrailers({ ...trailers }));
    if (body !== undefined || trailers !== undefined) {
      for (const piece of body ?? []) stream.write(piece);
      stream.end();
    }
    const [fields] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    if (stream.rstCode !== 0) throw new Error(`the stream ended with ${stream.rstCode}`);
    return {
      status: Number(fields[':status']),
      headers: fields,
      body: Buffer.concat(chunks),
      trailers: received,
      interim,
    };
  }
}
