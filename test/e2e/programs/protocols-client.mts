/**
 * `protocols-client.mts HOST REQUESTS BYTES`: a plain client of protocols.mts. Sends random bodies, compares
 * what comes back, and prints as JSON for each protocol how many of how many were right and the median time
 * in milliseconds.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import type { Duplex, Readable } from 'node:stream';

const HANGS_MS = 60_000;
const WORKERS = 5;
const [, , host = '', requests = '1', bytes = '1'] = process.argv;

interface Outcome {
  readonly right: number;
  readonly of: number;
  readonly p50?: number;
  readonly why: string;
}

const agent = new http.Agent({ keepAlive: true });
let session: http2.ClientHttp2Session | undefined;

/** Each sends a body in its protocol, and says whether it came back as it was. */
const protocols: Record<string, (body: Buffer) => Promise<boolean>> = {
  http1: (body) => post(80, body),
  async http2(body) {
    const stream = openSession().request({ ':method': 'POST', ':path': '/' });
    stream.end(body);
    const [head] = (await once(stream, 'response')) as [http2.IncomingHttpStatusHeader];
    return (await all(stream)).equals(body) && head[':status'] === 200;
  },
  async grpc(body) {
    const type = { 'content-type': 'application/grpc', te: 'trailers' };
    const stream = openSession().request({ ':method': 'POST', ':path': '/echo.Echo/Stream', ...type });
    let trailers: http2.IncomingHttpHeaders = {};
    stream.on('trailers', (last) => (trailers = last));
    const half = body.length >> 1;
    stream.write(body.subarray(0, half));
    await once(stream, 'response');
    stream.end(body.subarray(half));
    return (await all(stream)).equals(body) && trailers['grpc-status'] === '0';
  },
  // An HTTP/1 client of a Service that speaks HTTP/2.
  http1to2: (body) => post(81, body),
  async websocket(body) {
    const headers = { connection: 'upgrade', upgrade: 'websocket' };
    const request = http.request({ host, port: 80, headers });
    request.end();
    const [response, socket] = (await once(request, 'upgrade')) as [IncomingMessage, Duplex];
    socket.end(body);
    return response.statusCode === 101 && (await all(socket)).equals(body);
  },
  async opaque(body) {
    const socket = net.connect({ host, port: 82, allowHalfOpen: true });
    socket.end(body);
    return (await all(socket)).equals(body);
  },
  async serverFirst(body) {
    const socket = net.connect({ host, port: 83, allowHalfOpen: true });
    const [greeting] = (await once(socket, 'data')) as [Buffer];
    if (!greeting.toString().startsWith('220 ')) return false;
    socket.end(body);
    return (await all(socket)).equals(body);
  },
};

const result: Record<string, Outcome> = {};
for (const [name, run] of Object.entries(protocols)) result[name] = await outcome(run);
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit();

async function outcome(run: (body: Buffer) => Promise<boolean>): Promise<Outcome> {
  const times: number[] = [];
  const seen = { right: 0, why: '' };
  const bodies = Array.from({ length: Number(requests) }, () => randomBytes(Number(bytes)));
  const worker = async () => {
    for (let body = bodies.pop(); body !== undefined; body = bodies.pop()) {
      const began = performance.now();
      try {
        if (await run(body)) seen.right++;
        else seen.why = 'wrong bytes';
      } catch (error) {
        seen.why = String(error);
      }
      times.push(performance.now() - began);
    }
  };
  const hangs = new Promise<'hangs'>((resolve) => setTimeout(resolve, HANGS_MS, 'hangs').unref());
  const ended = await Promise.race([Promise.all(Array.from({ length: WORKERS }, worker)), hangs]);
  if (ended === 'hangs') return { right: seen.right, of: Number(requests), why: 'it hangs' };
  times.sort((a, b) => a - b);
  return {
    right: seen.right,
    of: times.length,
    p50: Math.round(times[times.length >> 1] ?? 0),
    why: seen.why,
  };
}

async function post(port: number, body: Buffer): Promise<boolean> {
  const request = http.request({ host, port, method: 'POST', path: '/', agent });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return (await all(response)).equals(body) && response.statusCode === 200;
}

function openSession(): http2.ClientHttp2Session {
  if (session === undefined || session.destroyed || session.closed) {
    session = http2.connect(`http://${host}:81`);
    session.on('error', () => undefined);
  }
  return session;
}

async function all(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
