import { expect } from 'chai';
import { createServer, type Server } from 'node:http';
import tls from 'node:tls';
import { systemClock } from '../../../src/base/clock.ts';
import type { TargetSource } from '../../../src/discovery/target-spec.ts';
import { Gateway } from '../../../src/gateway/gateway.ts';
import type { Identity } from '../../../src/identity/sources/identity.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../../src/identity/authority/issue.ts';
import { encodeTransportHeader } from '../../../src/proxy/io/transport-header.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import { fixedIdentity } from '../../support/fixed-identity.ts';

const ALPN = 'transport.l5d.io/v1';
const LOCKED = 'locked.demo.svc.cluster.local';

/**
 * The gateway stands in the open: whoever cannot prove who he is, or does not speak its protocol, learns
 * nothing, and others are served as before.
 */
describe('gateway', () => {
  let gateway: Gateway;
  let origin: Server;
  let port = 0;
  let own: Identity;
  let client: Identity;
  let stranger: Identity;

  before(async () => {
    const issuer = await createIssuer(await createAnchor({}), {});
    const foreign = await createIssuer(await createAnchor({}), {});
    own = await issueLeaf(issuer, { identity: 'gateway.west' });
    client = await issueLeaf(issuer, { identity: 'client.east' });
    stranger = await issueLeaf(foreign, { identity: 'client.east' });
    origin = createServer((request, response) =>
      response.end(`hello ${String(request.headers['l5d-client-id'])}`),
    );
    await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
    const bound = origin.address();
    const originPort = typeof bound === 'object' && bound !== null ? bound.port : 0;
    const endpoints = [{ host: '127.0.0.1', port: originPort, ready: true }];
    const targets: TargetSource = {
      get: (name, at) => {
        if (name === LOCKED) return { name, port: at, endpoints, allow: ['nobody.east'] };
        return name === 'web.demo.svc.cluster.local' ? { name, port: at, endpoints } : undefined;
      },
      keys: () => [],
      subscribe: () => () => undefined,
      ready: { ok: true, reason: '' },
      close: () => Promise.resolve(),
    };
    gateway = new Gateway({
      listen: { host: '127.0.0.1', port: 0 },
      identity: fixedIdentity(own),
      targets,
      clock: systemClock,
      random: Math.random,
      log: createLogger({ name: 'gateway', level: 'silent' }),
      graceMs: 0,
    });
    [{ port }] = await gateway.start();
  });

  after(async () => {
    await gateway.stop();
    origin.closeAllConnections();
    origin.close();
  });

  const good = (): tls.ConnectionOptions => ({
    host: '127.0.0.1',
    port,
    servername: 'gateway.west',
    ALPNProtocols: [ALPN],
    cert: client.cert,
    key: client.key,
    ca: client.ca,
    checkServerIdentity: () => undefined,
  });
  const header = (name = 'web.demo.svc.cluster.local') =>
    encodeTransportHeader({ name, port: 80, protocol: 'http1' });
  const get = Buffer.from('GET / HTTP/1.1\r\nconnection: close\r\n\r\n');

  /** Everything that comes back until the connection ends, however it ends. */
  function exchange(change: tls.ConnectionOptions, ...pieces: Buffer[]): Promise<string> {
    return new Promise((resolve) => {
      let seen = '';
      const socket = tls.connect({ ...good(), ...change }, () =>
        pieces.forEach((piece) => socket.write(piece)),
      );
      socket.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(seen));
    });
  }

  const refused: readonly [string, () => Promise<string>][] = [
    ['a client without a certificate', () => exchange({ cert: '', key: '' }, header(), get)],
    [
      'a certificate of another trust domain',
      () => exchange({ cert: stranger.cert, key: stranger.key }, header(), get),
    ],
    ['another server name', () => exchange({ servername: 'gateway.north' }, header(), get)],
    ['another protocol', () => exchange({ ALPNProtocols: ['h2'] }, header(), get)],
    ['no protocol', () => exchange({ ALPNProtocols: [] }, header(), get)],
    ['TLS 1.2', () => exchange({ maxVersion: 'TLSv1.2' }, header(), get)],
    ['a request without a header', () => exchange({}, get)],
    ['a header without a name', () => exchange({}, header(''), get)],
  ];
  for (const [story, attempt] of refused) {
    it(`ends ${story} without a word, and serves the next client`, async () => {
      expect(await attempt()).to.equal('');
      expect(await exchange({}, header(), get)).to.match(/^HTTP\/1\.1 200 [\s\S]*hello client\.east/);
    });
  }

  it('takes a header and a request in pieces of one byte', async () => {
    const pieces = Array.from(Buffer.concat([header(), get]), (byte) => Buffer.from([byte]));
    expect(await exchange({}, ...pieces)).to.match(/^HTTP\/1\.1 200 /);
  });

  it('says which service is not exported', async () => {
    const answer = await exchange({}, header('secret.demo.svc.cluster.local'), get);
    expect(answer).to.match(
      /^HTTP\/1\.1 404 [\s\S]*secret\.demo\.svc\.cluster\.local:80 is not exported by this cluster/,
    );
  });

  // A loop was looked for in what anybody had written, before it was known whether he may come in.
  it('reads no field of a client that may not come in: 403, although the request says that it has been here', async () => {
    const looped = Buffer.from('GET / HTTP/1.1\r\nforwarded: by=gateway.west\r\nconnection: close\r\n\r\n');
    expect(await exchange({}, header(LOCKED), looped)).to.match(/^HTTP\/1\.1 403 /);
    expect(await exchange({}, header(), looped)).to.match(/^HTTP\/1\.1 508 /);
  });

  it('answers pipelined requests in their order', async () => {
    const first = Buffer.from('GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n');
    expect((await exchange({}, header(), first, get)).match(/HTTP\/1\.1 200/g)).to.have.length(3);
  });

  it('refuses a request that could smuggle another, and ends the connection', async () => {
    const smuggling = Buffer.from(
      'POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n',
    );
    const answer = await exchange({}, header(), smuggling);
    expect(answer).to.match(/^HTTP\/1\.1 400 /);
    expect(answer.match(/HTTP\/1\.1/g)).to.have.length(1);
  });
});
