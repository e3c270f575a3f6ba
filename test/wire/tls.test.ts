// @peculiar/x509 needs the Reflect metadata API to be there first.
import 'reflect-metadata';
import {
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { expect } from 'chai';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { systemClock } from '../../src/base/clock.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { generateKeys, P256_SHA256, privateKeyPem, signingKey } from '../../src/identity/x509/keys.ts';
import { eventually } from '../support/eventually.ts';
import { http1Origin, type Origin } from '../support/origins.ts';
import { type ClientSettings, service, WireGateway } from '../support/wire-gateway.ts';

const WEB = 'web.demo.svc.cluster.local';
const DAY_MS = 86_400_000;
const DETECT_MS = 300;
const GET = 'GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';

/**
 * The gateway's port is open to the world. Who gets through a handshake is believed to be whom the
 * certificate says, and may reach every exported service: one case that is let in by mistake opens a cluster
 * to everybody, and one that holds the port opens it to nobody.
 */
describe('TLS at the gateway', () => {
  let gateway: WireGateway;
  let origin: Origin;

  before(async () => {
    origin = await http1Origin();
    gateway = await WireGateway.start([service(WEB, [origin.port])], { detectTimeoutMs: DETECT_MS });
  });

  after(async () => {
    await gateway.close();
    origin.close();
  });

  async function othersAreServed(): Promise<void> {
    const client = await gateway.open(WEB, 'http1');
    expect(await client.send(GET).whole()).to.match(/^HTTP\/1\.1 200 /);
  }

  /** @returns the reasons that have been counted once more since */
  async function counted(before: Readonly<Record<string, number>>): Promise<string[]> {
    return eventually('the refusal is counted', () => {
      const now = gateway.refused;
      const found = Object.keys(now).flatMap((reason) =>
        Array.from({ length: (now[reason] ?? 0) - (before[reason] ?? 0) }, () => reason),
      );
      return found.length === 0 ? undefined : found;
    });
  }

  /** Everything that the gateway said inside TLS until the connection was over. */
  async function attempt(change: ClientSettings): Promise<string> {
    const socket = gateway.dial(change);
    let said = '';
    socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
    socket.on('secureConnect', () => socket.write(GET));
    socket.on('end', () => socket.end());
    await eventually('the connection ends', () => socket.destroyed);
    return said;
  }

  const at = (ms: number) => ({ ...systemClock, now: () => Date.now() + ms });
  const issued = async (lifetimeMs: number, sinceMs: number): Promise<ClientSettings> => {
    const { cert, key } = await issueLeaf(gateway.authority, {
      identity: 'client.east',
      lifetimeMs,
      clock: at(sinceMs),
    });
    return { cert, key };
  };
  /** Signed by the right authority, but it names nobody. */
  async function nameless(): Promise<ClientSettings> {
    const keys = await generateKeys();
    const parent = new X509Certificate(gateway.authority.cert);
    const certificate = await X509CertificateGenerator.create({
      serialNumber: '01',
      issuer: parent.subjectName,
      subject: 'CN=client.east',
      publicKey: keys.publicKey,
      signingKey: await signingKey(gateway.authority.key, 'the issuer'),
      signingAlgorithm: P256_SHA256,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + DAY_MS),
      extensions: [new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth])],
    });
    const cert = `${certificate.toString('pem').trimEnd()}\n${gateway.authority.chain}`;
    return { cert, key: await privateKeyPem(keys.privateKey) };
  }
  const foreign = async (): Promise<ClientSettings> => {
    const { cert, key } = await issueLeaf(await createIssuer(await createAnchor({}), {}), {
      identity: 'client.east',
    });
    return { cert, key };
  };

  const cases: readonly {
    readonly story: string;
    readonly change: () => ClientSettings | Promise<ClientSettings>;
    readonly reason: string;
  }[] = [
    { story: 'TLS 1.2', change: () => ({ maxVersion: 'TLSv1.2' }), reason: 'tls' },
    { story: 'no client certificate', change: () => ({ cert: '', key: '' }), reason: 'client certificate' },
    { story: 'a certificate of another authority', change: foreign, reason: 'client certificate' },
    {
      story: 'a certificate that its owner signed',
      change: async () => {
        const { cert, key } = await createAnchor({ name: 'client.east' });
        return { cert, key };
      },
      reason: 'client certificate',
    },
    {
      story: 'a certificate that has expired',
      change: () => issued(DAY_MS, -3 * DAY_MS),
      reason: 'client certificate',
    },
    {
      story: 'a certificate that is not valid yet',
      change: () => issued(DAY_MS, DAY_MS),
      reason: 'client certificate',
    },
    {
      story: 'a certificate that is for servers only',
      change: async () => {
        const uses = { server: true, client: false };
        const { cert, key } = await issueLeaf(gateway.authority, { identity: 'client.east', uses });
        return { cert, key };
      },
      reason: 'client certificate',
    },
    { story: 'a certificate without an identity', change: nameless, reason: 'no client identity' },
    {
      story: 'the name of another server',
      change: () => ({ servername: 'gateway.north' }),
      reason: 'tls',
    },
    { story: 'no server name', change: () => ({ servername: '' }), reason: 'no server name' },
    { story: 'another protocol', change: () => ({ ALPNProtocols: ['h2', 'http/1.1'] }), reason: 'tls' },
    {
      story: 'no protocol',
      change: () => ({ ALPNProtocols: [] }),
      reason: 'no transport header negotiated',
    },
  ];
  for (const { story, change, reason } of cases) {
    it(`ends a client with ${story} without a word, counts it once under "${reason}", and serves the next`, async () => {
      const settings = await change();
      const before = gateway.refused;
      const requests = origin.count();
      expect(await attempt(settings)).to.equal('');
      expect(await counted(before)).to.deep.equal([reason]);
      expect(origin.count()).to.equal(requests);
      await othersAreServed();
    });
  }

  it('takes a client that offers the right protocol among others', async () => {
    const client = await gateway.open(WEB, 'http1', { ALPNProtocols: ['h2', 'transport.l5d.io/v1'] });
    expect(await client.send(GET).whole()).to.match(/^HTTP\/1\.1 200 /);
  });

  // Names of hosts are the same in any case (RFC 6066 section 3); who wrote his gateway's in capitals was
  // refused.
  it('takes a client that asks for it in capitals', async () => {
    const client = await gateway.open(WEB, 'http1', { servername: 'Gateway.WEST' });
    expect(await client.send(GET).whole()).to.match(/^HTTP\/1\.1 200 /);
  });

  it('nobody comes in on a handshake of before', async () => {
    // A session ticket stands for one: its client's certificate is not shown and not looked at, though it may
    // have expired, or its anchor be gone.
    const client = await gateway.open(WEB, 'http1');
    let ticket: Buffer | undefined;
    client.socket.on('session', (session: Buffer) => (ticket = session));
    await client.send('GET /hello HTTP/1.1\r\nhost: x\r\n\r\n').hears(/hello$/);
    await eventually('there is a ticket', () => ticket !== undefined);
    client.socket.destroy();
    const session = ticket === undefined ? {} : { session: ticket };
    const again = await gateway.open(WEB, 'http1', session);
    expect(again.socket.isSessionReused()).to.equal(false);
    expect(await again.send(GET).whole()).to.match(/^HTTP\/1\.1 200 /);
    const other = await createIssuer(await createAnchor({}), {});
    const before = await issueLeaf(gateway.authority, { identity: 'gateway.west' });
    const next = await issueLeaf(other, { identity: 'gateway.west' });
    gateway.rotate(next);
    const counts = gateway.refused;
    expect(await attempt({ rejectUnauthorized: false, ...session })).to.equal('');
    expect(await counted(counts)).to.deep.equal(['client certificate']);
    gateway.rotate(before);
    await othersAreServed();
  });

  /**
   * Slowloris: who begins a handshake and does not end it holds memory and a file descriptor, for nothing.
   */
  describe('handshakes that are never finished', () => {
    /** The first bytes of a client that is let in otherwise. */
    async function clientHello(): Promise<Buffer> {
      const server = net.createServer();
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as net.AddressInfo;
      const socket = tls.connect({ ...gateway.settings(), port });
      socket.on('error', () => undefined);
      const [connection] = (await once(server, 'connection')) as [net.Socket];
      connection.on('error', () => undefined);
      const [hello] = (await once(connection, 'data')) as [Buffer];
      connection.destroy();
      server.close();
      return hello;
    }

    const attacks: readonly [string, (socket: net.Socket, hello: Buffer) => (() => void) | undefined][] = [
      ['nothing is said', () => undefined],
      ['half of a ClientHello', (socket, hello) => void socket.write(hello.subarray(0, hello.length / 2))],
      ['a ClientHello and no more', (socket, hello) => void socket.write(hello)],
      [
        'a ClientHello byte by byte',
        (socket, hello) => {
          let sent = 0;
          const timer = setInterval(() => socket.write(hello.subarray(sent, ++sent)), 10);
          return () => clearInterval(timer);
        },
      ],
    ];
    for (const [story, attack] of attacks) {
      it(`${story}: ended when its time is over, others are served meanwhile`, async () => {
        const hello = await clientHello();
        const before = gateway.refused;
        const socket = net.connect({ port: gateway.port, host: '127.0.0.1' });
        socket.on('error', () => undefined);
        await once(socket, 'connect');
        const begun = performance.now();
        const stop = attack(socket, hello);
        socket.resume();
        await othersAreServed();
        const open = !socket.destroyed;
        const servedAfter = performance.now() - begun;
        await eventually('the connection ends', () => socket.destroyed);
        stop?.();
        // Only when the machine was not too slow to see it.
        if (servedAfter < DETECT_MS / 2) expect(open).to.equal(true);
        expect(await counted(before)).to.deep.equal(['handshake timeout']);
      });
    }
  });

  const noise: readonly [string, Buffer][] = [
    ['HTTP in clear', Buffer.from(GET)],
    ['zeros', Buffer.alloc(200)],
    ['a record of an unknown type', Buffer.from('ff03030005aaaaaaaaaa', 'hex')],
  ];
  for (const [story, bytes] of noise) {
    it(`ends ${story} at once`, async () => {
      const before = gateway.refused;
      const socket = net.connect({ port: gateway.port, host: '127.0.0.1' });
      let said = '';
      socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
      socket.on('error', () => undefined);
      socket.write(bytes);
      await eventually('the connection ends', () => socket.destroyed);
      // At most an alert, which is a record of 7 bytes.
      expect(said.length).to.be.at.most(7);
      expect(await counted(before)).to.deep.equal(['tls']);
    });
  }
});
