import 'reflect-metadata';
import { once } from 'node:events';
import http2 from 'node:http2';
import net, { type AddressInfo, type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import { Pkcs10CertificateRequest } from '@peculiar/x509';
import type { SocketAddress } from '../../src/base/address.ts';
import type { Clock } from '../../src/base/clock.ts';
import {
  type CertifyRequest,
  type CertifyResponse,
  decodeCertifyRequest,
  encodeCertifyResponse,
} from '../../src/identity/sources/certify-messages.ts';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { type Authority, issueLeaf } from '../../src/identity/authority/issue.ts';

/** gRPC status with which a call is refused. */
export interface GrpcRefusal {
  readonly status: number;
  readonly message: string;
}

export interface FakeIdentityServiceOptions {
  readonly issuer: Authority;
  readonly clock: Clock;
  /** Tokens that are good; others are refused as Linkerd's identity service refuses them. */
  readonly token: string;
  readonly lifetimeMs?: number;
  /** Speak TLS as this identity; default plain text. */
  readonly tls?: Identity;
  readonly port?: number;
}

/**
 * Linkerd's identity service, in small: checks token and name, signs the request with a test issuer. Mutable
 * fields make it lie.
 */
export class FakeIdentityService {
  readonly requests: CertifyRequest[] = [];
  issuer: Authority;
  /** Replaces the answer. */
  answer: ((request: CertifyRequest) => Promise<CertifyResponse | Buffer | GrpcRefusal>) | undefined;
  readonly #options: FakeIdentityServiceOptions;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(options: FakeIdentityServiceOptions) {
    this.#options = options;
    this.issuer = options.issuer;
  }

  async start(): Promise<SocketAddress> {
    const { tls: identity, port = 0 } = this.#options;
    const accept = (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      // With prior knowledge, also over TLS: an http2 server turns away what has negotiated no ALPN.
      const session = http2.performServerHandshake(socket);
      session.on('error', () => undefined);
      session.on('stream', (stream, headers) => void this.#serve(stream, String(headers[':path'])));
    };
    // No ALPN, as Linkerd's inbound proxy has none on this port.
    this.#server =
      identity === undefined
        ? net.createServer(accept)
        : tls.createServer({ cert: identity.cert, key: identity.key, minVersion: 'TLSv1.3' }, accept);
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    return { host: '127.0.0.1', port: (this.#server.address() as AddressInfo).port };
  }

  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #serve(stream: http2.ServerHttp2Stream, path: string): Promise<void> {
    stream.on('error', () => undefined);
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of stream) chunks.push(chunk as Buffer);
    } catch {
      // The client went away in the middle.
      return;
    }
    if (path !== '/io.linkerd.proxy.identity.Identity/Certify') {
      return refuse(stream, { status: 12, message: `unknown method ${path}` });
    }
    const request = decodeCertifyRequest(Buffer.concat(chunks).subarray(5));
    this.requests.push(request);
    const answer = await (this.answer ?? ((asked) => this.certify(asked)))(request);
    if ('status' in answer) return refuse(stream, answer);
    const message = Buffer.isBuffer(answer) ? answer : encodeCertifyResponse(answer);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.concat([head, message]));
  }

  /** The honest answer; `identity` makes it a certificate for somebody else. */
  async certify(
    request: CertifyRequest,
    identity = request.identity,
  ): Promise<CertifyResponse | GrpcRefusal> {
    const { token, clock, lifetimeMs } = this.#options;
    if (Buffer.from(request.token).toString() !== token) {
      return { status: 9, message: 'Unable to validate token: invalid bearer token%21' };
    }
    const csr = new Pkcs10CertificateRequest(Buffer.from(request.csr));
    if (!(await csr.verify())) return { status: 3, message: 'bad signature' };
    const publicKey = await csr.publicKey.export();
    const life = lifetimeMs === undefined ? {} : { lifetimeMs };
    const leaf = await issueLeaf(this.issuer, { identity, publicKey, clock, ...life });
    const [first, ...rest] = leaf.cert
      .split(/(?<=-----END CERTIFICATE-----\n)/)
      .map((text) => Buffer.from(text.replaceAll(/-----.*-----/g, ''), 'base64'));
    return { leaf: first ?? Buffer.alloc(0), intermediates: rest, validUntil: leaf.notAfter };
  }
}

/** As a server that has nothing but a status to say. */
function refuse(stream: http2.ServerHttp2Stream, { status, message }: GrpcRefusal): void {
  stream.respond(
    { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': status, 'grpc-message': message },
    { endStream: true },
  );
}
