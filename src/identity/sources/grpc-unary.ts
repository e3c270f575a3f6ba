import http2 from 'node:http2';
import net, { type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { formatAddress, type SocketAddress } from '../../base/address.ts';
import { GatheredBytes } from '../../base/gathered-bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { identityIn, isIdentity } from '../x509/peer-certificate.ts';

export interface UnaryCall {
  readonly address: SocketAddress;
  /**
   * Identity that the server must prove, and trust anchors (PEM) for it; undefined = plain text, for loopback
   * only.
   */
  readonly server: { readonly identity: string; readonly anchors: string } | undefined;
  /** `/package.Service/Method` */
  readonly path: string;
  /** The request, encoded. */
  readonly message: Uint8Array;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** For the whole call, milliseconds; default 10 s. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;
/** Certificates are a few kilobytes. */
const MAX_ANSWER = 1 << 20;
const FRAME_HEAD = 5;

/**
 * One gRPC call on a connection of its own, as Linkerd's proxy makes it: TLS 1.3 without ALPN, SNI = the
 * server's identity, verified by chain and identity, HTTP/2 with prior knowledge. It is the only gRPC call of
 * the program and happens a few times a day; a gRPC library would be larger than the rest of the program (ADR
 * 0014).
 * @returns the answer's message
 * @throws LinkspanError IDENTITY_SERVICE_UNREACHABLE, IDENTITY_SERVICE_REFUSED (with `grpcStatus`),
 * IDENTITY_SERVICE_GARBLED
 */
export async function callUnary(call: UnaryCall): Promise<Buffer> {
  const { clock, timeoutMs = TIMEOUT_MS } = call;
  const late = new AbortController();
  const timer = clock.after(timeoutMs, () =>
    late.abort(unreachable(call, `no answer within ${timeoutMs / 1000} s`)),
  );
  const signal = AbortSignal.any([call.signal, late.signal]);
  let socket: Socket | undefined;
  let session: http2.ClientHttp2Session | undefined;
  try {
    const opened = open(call);
    socket = opened;
    await connected(opened, call, signal);
    session = http2.connect(`http://${formatAddress(call.address)}`, {
      createConnection: () => withoutTls(opened),
      settings: { enablePush: false },
    });
    return messageIn(await exchange(session, call, signal), call);
  } finally {
    timer.cancel();
    session?.destroy();
    socket?.destroy();
  }
}

function open({ address, server }: UnaryCall): Socket {
  if (server === undefined) return net.connect({ host: address.host, port: address.port });
  return tls.connect({
    host: address.host,
    port: address.port,
    minVersion: 'TLSv1.3',
    // SNI takes DNS names only, so a SPIFFE identity is not sent (RFC 6066 section 3).
    ...(server.identity.includes('://') ? {} : { servername: server.identity }),
    ca: server.anchors,
    allowPartialTrustChain: true,
    rejectUnauthorized: true,
    checkServerIdentity: (_, { raw }) => {
      if (isIdentity(raw, server.identity)) return undefined;
      return new Error(`it proved ${identityIn(raw) ?? 'no identity'} instead of ${server.identity}`);
    },
  });
}

/**
 * Wraps the connection in a plain Duplex: Bun's http2 refuses a TLS socket without negotiated ALPN, and
 * Linkerd's inbound proxy negotiates none on this port.
 */
function withoutTls(socket: Socket): Duplex {
  const bytes = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Buffer, _, done) => void socket.write(chunk, done),
    final: (done) => void socket.end(done),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on('data', (chunk: Buffer) => {
    if (!bytes.push(chunk)) socket.pause();
  });
  // The HTTP/2 session handles errors; those after its end must not be uncaught.
  bytes.on('error', () => undefined);
  socket.on('end', () => bytes.push(null));
  socket.on('error', (error) => bytes.destroy(error));
  socket.on('close', () => bytes.destroy());
  return bytes;
}

function connected(socket: Socket, call: UnaryCall, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once(call.server === undefined ? 'connect' : 'secureConnect', resolve);
    // Not removed afterwards: a later error of the socket must not be uncaught.
    socket.on('error', (error) => reject(unreachable(call, messageOf(error), error)));
    socket.once('close', () => reject(unreachable(call, 'it closed the connection')));
  });
}

interface Answer {
  readonly head: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: Buffer;
}

function exchange(session: http2.ClientHttp2Session, call: UnaryCall, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(unreachable(call, messageOf(error), error));
    const onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    session.on('error', fail);
    session.once('close', () => fail('it closed the connection'));
    const stream = session.request({
      ':method': 'POST',
      ':path': call.path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'linkspan',
      'grpc-timeout': `${call.timeoutMs ?? TIMEOUT_MS}m`,
    });
    let head: http2.IncomingHttpHeaders = {};
    let trailers: http2.IncomingHttpHeaders = {};
    const body = new GatheredBytes();
    stream.on('error', fail);
    stream.on('response', (headers) => (head = headers));
    stream.on('trailers', (headers) => (trailers = headers));
    stream.on('data', (chunk: Buffer) => {
      if (body.length + chunk.length <= MAX_ANSWER) body.add(chunk);
      else {
        stream.destroy();
        reject(garbled(call, `an answer of more than ${MAX_ANSWER} bytes`));
      }
    });
    stream.on('end', () => resolve({ head, trailers, body: body.bytes }));
    stream.end(frame(call.message));
  });
}

function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(FRAME_HEAD);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function messageIn({ head, trailers, body }: Answer, call: UnaryCall): Buffer {
  // A trailers-only response has its status in the one header block.
  const last = trailers['grpc-status'] === undefined ? head : trailers;
  const status = last['grpc-status'];
  if (status === undefined) {
    const type = head['content-type'] ?? 'no content type';
    throw garbled(call, `HTTP ${String(head[':status'] ?? '?')} with ${type}, and no gRPC status`);
  }
  if (String(status) !== '0') {
    const text = decodeMessage(String(last['grpc-message'] ?? ''));
    throw new LinkspanError(
      'IDENTITY_SERVICE_REFUSED',
      `${where(call)}: ${text === '' ? 'no reason given' : text} (gRPC status ${String(status)})`,
      { fields: { grpcStatus: String(status) } },
    );
  }
  if (body.length < FRAME_HEAD || body[0] !== 0 || body.readUInt32BE(1) !== body.length - FRAME_HEAD)
    throw garbled(call, 'the answer is not one uncompressed gRPC message');
  return body.subarray(FRAME_HEAD);
}

/** grpc-message is percent-encoded. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text).slice(0, 300);
  } catch {
    return text.slice(0, 300);
  }
}

function where({ address }: UnaryCall): string {
  return `identity service ${formatAddress(address)}`;
}

function unreachable(call: UnaryCall, why: string, cause?: unknown): LinkspanError {
  return new LinkspanError('IDENTITY_SERVICE_UNREACHABLE', `${where(call)}: ${why}`, { cause });
}

function garbled(call: UnaryCall, why: string, cause?: unknown): LinkspanError {
  return new LinkspanError('IDENTITY_SERVICE_GARBLED', `${where(call)}: ${why}`, { cause });
}
