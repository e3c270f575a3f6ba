/**
 * `spread.mts COUNT WORKERS URL [NAME=VALUE…]`: asks for a page so often, with these fields, on as many kept
 * connections as there are workers, and prints how often each answer came, as JSON: the body's first line, or
 * the status where it is not 200. `grpc://HOST:PORT/SERVICE/METHOD`: calls instead, on one HTTP/2 connection
 * for each worker; the status is that of gRPC.
 */
import http from 'node:http';
import http2, { type ClientHttp2Session } from 'node:http2';
import { once } from 'node:events';

const [, , count = '1', workers = '1', page = '', ...fields] = process.argv;
const url = new URL(page);
const headers = Object.fromEntries(fields.map((field) => field.split('=', 2) as [string, string]));
const counts: Record<string, number> = {};

/** Asks once. @returns what was answered */
type Ask = () => Promise<string>;

function http1(): Ask {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  return async () => {
    const [response] = (await once(http.get(url, { agent, headers }), 'response')) as [http.IncomingMessage];
    let body = '';
    for await (const chunk of response.setEncoding('utf8')) body += chunk as string;
    return response.statusCode === 200 ? (body.split('\n')[0] ?? '') : String(response.statusCode);
  };
}

function grpc(): Ask {
  const session: ClientHttp2Session = http2.connect(`http://${url.host}`);
  session.on('error', () => undefined);
  return async () => {
    const head = {
      ':method': 'POST',
      ':path': url.pathname,
      'content-type': 'application/grpc',
      te: 'trailers',
    };
    const stream = session.request({ ...head, ...headers });
    let status = 'none';
    const note = (said: http2.IncomingHttpHeaders) => (status = String(said['grpc-status'] ?? status));
    stream.on('response', note).on('trailers', note);
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.end(Buffer.alloc(5));
    await once(stream, 'close');
    const text = Buffer.concat(chunks).subarray(5).toString();
    return status === '0' ? (text.split('\n')[0] ?? '') : `grpc-status ${status}`;
  };
}

let left = Number(count);
await Promise.all(
  Array.from({ length: Number(workers) }, async () => {
    const ask = url.protocol === 'grpc:' ? grpc() : http1();
    while (left-- > 0) {
      const answer = await ask().catch((error: unknown) => String(error));
      counts[answer] = (counts[answer] ?? 0) + 1;
    }
  }),
);
process.stdout.write(JSON.stringify(counts));
process.exit();
