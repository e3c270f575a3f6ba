import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { expect } from 'chai';
import { adminTls } from '../../../src/gateway/admin-tls.ts';
import type { Identity, IdentitySource } from '../../../src/identity/sources/identity.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../../src/identity/authority/issue.ts';
import { tryMtls } from '../../../src/controllers/gateway-health/mtls-probe.ts';
import { type AdminServer, startAdmin } from '../../../src/telemetry/admin.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import { Registry } from '../../../src/telemetry/registry.ts';
import { eventually } from '../../support/eventually.ts';

const GATEWAY = 'linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local';
const PROBER = 'linkspan-controller.linkspan.serviceaccount.identity.linkerd.cluster.local';

/**
 * Bun's HTTP/2 client wants ALPN, Linkerd's proxy and our prober (which runs on Node) offer none: these are
 * the bytes that they send.
 */
const REQUEST = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  frame(4, 0, 0, Buffer.alloc(0)),
  // GET and http from the static table; authority, path and l5d-orig-proto as literals.
  frame(
    1,
    5,
    1,
    Buffer.concat([
      Buffer.from([0x82, 0x86, 0x01]),
      text('gateway'),
      Buffer.from([0x04]),
      text('/ready'),
      Buffer.from([0x00]),
      text('l5d-orig-proto'),
      text('HTTP/1.1'),
    ]),
  ),
]);

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.from([0, payload.length >> 8, payload.length & 255, type, flags, 0, 0, 0, stream]);
  return Buffer.concat([head, payload]);
}

function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
}

describe('The admin port inside TLS', () => {
  let admin: AdminServer;
  let gateway: Identity;
  let prober: Identity;
  let stranger: Identity;
  let current: Identity | undefined;
  let changed: () => void = () => undefined;

  before(async () => {
    const issuer = await createIssuer(await createAnchor({}), {});
    gateway = await issueLeaf(issuer, { identity: GATEWAY });
    prober = await issueLeaf(issuer, { identity: PROBER });
    const foreign = await createIssuer(await createAnchor({}), {});
    stranger = await issueLeaf(foreign, { identity: PROBER });
    const source: IdentitySource = {
      current: () => current,
      subscribe: (listener) => {
        changed = listener;
        return () => undefined;
      },
      ready: { ok: true, reason: '' },
      close: () => Promise.resolve(),
    };
    admin = await startAdmin({
      address: { host: '127.0.0.1', port: 0 },
      registry: new Registry(),
      ready: () => ({ ok: true, reason: '', fields: { 'linkspan-drain': 'to=0' } }),
      tls: adminTls(source, createLogger({ name: 'test', level: 'error' })),
    });
  });
  after(() => admin.close());
  beforeEach(() => {
    current = gateway;
    changed();
  });

  const probe = (own: Identity, path = '/ready', identity = GATEWAY) =>
    tryMtls(
      { host: '127.0.0.1', port: admin.address.port, path, identity },
      own,
      ({ host, port }) => net.connect(port, host),
      AbortSignal.timeout(60_000),
      Date.now(),
    );

  function connect(options: tls.ConnectionOptions): tls.TLSSocket {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: admin.address.port,
      servername: GATEWAY,
      ca: gateway.ca,
      allowPartialTrustChain: true,
      checkServerIdentity: () => undefined,
      ...options,
    });
    socket.on('error', () => undefined);
    return socket;
  }

  async function get(socket: tls.TLSSocket): Promise<string> {
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    socket.write('GET /ready HTTP/1.1\r\nconnection: close\r\n\r\n');
    await new Promise<void>((resolve) => socket.once('close', () => resolve()));
    return answer;
  }

  it("answers the probe of another cluster's service mirror: mTLS, no ALPN, HTTP/2 at once", async () => {
    const socket = connect({ cert: prober.cert, key: prober.key });
    let answer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => (answer = Buffer.concat([answer, chunk])));
    socket.write(REQUEST);
    await eventually('the body', async () => answer.includes('ready\n'));
    // HEADERS of stream 1; 0x88 is `:status: 200`.
    const at = answer.indexOf(Buffer.from([1, 4, 0, 0, 0, 1]));
    expect(at).to.be.greaterThan(0);
    expect(answer.subarray(at + 6).includes(0x88)).to.equal(true);
    socket.destroy();
  });

  if (process.versions['bun'] === undefined) {
    it('answers our own prober', async () => {
      expect(await probe(prober)).to.deep.equal({ status: 200, drain: 'to=0' });
      expect(await probe(prober, '/nothing')).to.deep.equal({ status: 404, drain: undefined });
    });
  }

  it('answers HTTP/1 inside TLS too', async () => {
    expect(await get(connect({ cert: prober.cert, key: prober.key }))).to.match(/^HTTP\/1\.1 200/);
  });

  it('answers a client without a certificate', async () => {
    expect(await get(connect({}))).to.match(/^HTTP\/1\.1 200/);
  });

  it('disconnects a client whose certificate is of foreign trust', async () => {
    const socket = connect({ cert: stranger.cert, key: stranger.key });
    expect(await get(socket)).to.equal('');
  });

  it('does not stand in for another server name', async () => {
    expect(await get(connect({ servername: 'somebody.else' }))).to.equal('');
  });

  it('refuses TLS 1.2', async () => {
    const socket = connect({ maxVersion: 'TLSv1.2' });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).to.match(/PROTOCOL_VERSION/);
  });

  it('serves a renewed certificate to the next connection', async () => {
    const issuer = await createIssuer(await createAnchor({}), {});
    const before = connect({});
    await once(before, 'secureConnect');
    current = await issueLeaf(issuer, { identity: GATEWAY });
    changed();
    const { ca, cert, key } = await issueLeaf(issuer, { identity: PROBER });
    expect(await get(connect({ ca, cert, key }))).to.match(/^HTTP\/1\.1 200/);
    // The one that is open lives on.
    expect(await get(before)).to.match(/^HTTP\/1\.1 200/);
  });

  it('forgets connections that have ended', async () => {
    const sockets = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const socket = connect({});
        await once(socket, 'secureConnect');
        return socket;
      }),
    );
    for (const socket of sockets) socket.destroy();
    // One that stayed behind would be the oldest, and 256 of them would push live ones out.
    const live = connect({});
    await once(live, 'secureConnect');
    await eventually('closed', async () => sockets.every((socket) => socket.destroyed));
    expect(await get(live)).to.match(/^HTTP\/1\.1 200/);
  });
});
