/** The clients of `open-loop.mts`: one for each way to ask a member of a Service (`member.mts`). */
import { once } from 'node:events';
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import http2, { type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import net, { type Socket } from 'node:net';

/** Where a new connection goes. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

/** Gives the place of a new connection; throws where there is none. */
export type Choose = () => Place;

export interface Client {
  /** Asks once. @returns who has answered. @throws Error that says why nobody has */
  ask(): Promise<string>;
  /** Closes its connections. */
  close(): void;
}

/** How long an answer is waited for, milliseconds. */
export const TIMEOUT_MS = 10_000;
const TIMED_OUT = `no answer in ${TIMEOUT_MS / 1000} s`;
const BODY = 'body';
const HOST = 'member';
/** Connections among which the requests of a raw client take turns. */
const RAW_CONNECTIONS = 4;

/**
 * HTTP/1: on connections that are kept, or on a new one for each request. A GET that met a kept connection
 * which was just being closed is asked once more, as every client with a pool does it.
 */
export function http1Client(method: 'GET' | 'POST', choose: Choose, kept: boolean): Client {
  const agent = new PlacingAgent(choose, kept);
  const body = method === 'GET' ? '' : BODY;
  const headers = { host: HOST, ...(body === '' ? {} : { 'content-length': body.length }) };
  return {
    ask: async () => {
      for (let again = false; ; again = true) {
        const request = http.request({ agent, host: HOST, method, path: '/', headers });
        const answer = answerOf(request);
        request.end(body);
        try {
          return await within(answer, () => request.destroy());
        } catch (error) {
          if (again || method !== 'GET' || !wasJustClosed(request, error)) throw error;
        }
      }
    },
    close: () => agent.destroy(),
  };
}

/** Whether a request met a connection that the other side had closed: nothing of it has been answered. */
function wasJustClosed(request: ClientRequest, error: unknown): boolean {
  return request.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET';
}

/** Opens each connection at the place that is chosen then, as a client of kube-proxy gets it. */
class PlacingAgent extends http.Agent {
  readonly #choose: Choose;

  constructor(choose: Choose, keepAlive: boolean) {
    super({ keepAlive });
    this.#choose = choose;
  }

  override createConnection(): Socket {
    return net.connect({ ...this.#choose(), noDelay: true });
  }
}

async function answerOf(request: ClientRequest): Promise<string> {
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += chunk as string;
  return named(response.statusCode, body);
}

function named(status: number | undefined, body: string): string {
  if (status !== 200) throw new Error(`${status ?? 0} ${body.trim().slice(0, 200)}`);
  return body.trim();
}

/** HTTP/2, all requests on one connection; a call of gRPC where that is the method. */
export function http2Client(method: 'GET' | 'POST' | 'gRPC', choose: Choose): Client {
  const kept = new KeptSession(choose);
  const isGrpc = method === 'gRPC';
  const head = {
    ':method': isGrpc ? 'POST' : method,
    ':path': isGrpc ? '/member.Member/Name' : '/',
    ':authority': HOST,
    ...(isGrpc ? { 'content-type': 'application/grpc', te: 'trailers' } : {}),
  };
  const body = { GET: '', POST: BODY, gRPC: Buffer.alloc(5) }[method];
  return {
    ask: async () => {
      const stream = kept.session.request(head, { endStream: body === '' });
      const answer = answerOfStream(stream, isGrpc);
      if (body !== '') stream.end(body);
      return within(answer, () => stream.close(http2.constants.NGHTTP2_CANCEL));
    },
    close: () => kept.close(),
  };
}

/** One session, opened again when a request comes after it has ended. */
class KeptSession {
  readonly #choose: Choose;
  #session: ClientHttp2Session | undefined;

  constructor(choose: Choose) {
    this.#choose = choose;
  }

  get session(): ClientHttp2Session {
    const known = this.#session;
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const place = this.#choose();
    const session = http2.connect(`http://${HOST}`, {
      createConnection: () => net.connect({ ...place, noDelay: true }),
    });
    // Its streams tell.
    session.on('error', () => undefined);
    this.#session = session;
    return session;
  }

  close(): void {
    this.#session?.destroy();
  }
}

async function answerOfStream(stream: ClientHttp2Stream, isGrpc: boolean): Promise<string> {
  let status: number | undefined;
  let grpc: string | string[] | undefined;
  stream.on('response', (fields) => {
    status = Number(fields[':status']);
    grpc = fields['grpc-status'];
  });
  stream.on('trailers', (fields) => (grpc = fields['grpc-status']));
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(stream, 'close');
  if (stream.rstCode !== 0) throw new Error(`the stream ended with ${stream.rstCode}`);
  const bytes = Buffer.concat(chunks);
  if (isGrpc && grpc !== '0') throw new Error(`${status ?? 0} grpc-status ${grpc?.toString() ?? 'none'}`);
  return named(status, bytes.subarray(isGrpc ? 5 : 0).toString());
}

/** Raw bytes, a new connection for each line. */
export function newRawClient(choose: Choose): Client {
  return {
    ask: async () => {
      const socket = net.connect({ ...choose(), noDelay: true });
      socket.on('error', () => undefined);
      try {
        return await within(lineOf(socket), () => socket.destroy());
      } finally {
        socket.destroy();
      }
    },
    close: () => undefined,
  };
}

function lineOf(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.write('?\n');
    let text = '';
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString();
      if (text.endsWith('\n')) resolve(text.trim());
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed without an answer')));
  });
}

/** Raw bytes on a few connections that are kept, each opened again after it was closed. */
export function keptRawClient(choose: Choose): Client {
  const lines = Array.from({ length: RAW_CONNECTIONS }, () => new KeptLine(choose));
  let turn = 0;
  return {
    ask: () => {
      const line = lines[turn++ % lines.length] as KeptLine;
      return within(line.ask(), () => line.close());
    },
    close: () => lines.forEach((line) => line.close()),
  };
}

class KeptLine {
  readonly #choose: Choose;
  #socket: Socket | undefined;

  constructor(choose: Choose) {
    this.#choose = choose;
  }

  ask(): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = (this.#socket ??= this.#open());
      waitingOn(socket).push({ resolve, reject });
      socket.write('?\n');
    });
  }

  close(): void {
    this.#socket?.destroy();
  }

  #open(): Socket {
    const socket = net.connect({ ...this.#choose(), noDelay: true });
    let text = '';
    let why = 'closed without an answer';
    socket.on('data', (bytes: Buffer) => {
      const parts = (text + bytes.toString()).split('\n');
      text = parts.pop() ?? '';
      for (const part of parts) waitingOn(socket).shift()?.resolve(part);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => (why = error.code ?? error.message));
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined;
      for (const { reject } of waitingOn(socket).splice(0)) reject(new Error(why));
    });
    return socket;
  }
}

interface Waiting {
  readonly resolve: (name: string) => void;
  readonly reject: (error: Error) => void;
}

const queues = new WeakMap<Socket, Waiting[]>();

/** Those who wait for a line, in the order in which they asked. */
function waitingOn(socket: Socket): Waiting[] {
  const known = queues.get(socket);
  if (known !== undefined) return known;
  const queue: Waiting[] = [];
  queues.set(socket, queue);
  return queue;
}

async function within(answer: Promise<string>, giveUp: () => void): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  // Once it is given up, what it still says is of no interest.
  answer.catch(() => undefined);
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(TIMED_OUT));
      giveUp();
    }, TIMEOUT_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
