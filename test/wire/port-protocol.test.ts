import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { answering, type Heard, WireTarget } from '../support/wire-target.ts';

const name = (service: string) => `${service}.demo.svc.cluster.local`;

/** A request of somebody who would like to be somebody else, at a virtual host of its choice. */
const FORGED = [
  'Host: internal-admin.demo',
  'l5d-client-id: admin.ops',
  'L5D_Client_Id: admin.ops',
  'l5d-client_id: admin.ops',
  'Content_Length: 999',
].join('\r\n');
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const request = (target = '/facts') => `GET ${target} HTTP/1.1\r\n${FORGED}\r\n\r\n`;

/** What came back on a connection. */
class Answers {
  readonly socket: net.Socket;
  text = '';
  closed = false;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => (this.text += chunk.toString('latin1')));
    for (const event of ['end', 'close']) socket.on(event, () => (this.closed = true));
  }

  async hears(pattern: RegExp): Promise<void> {
    const heard = () => {
      if (pattern.test(this.text)) return true;
      throw new Error(`came, ${this.closed ? 'closed' : 'open'}: ${JSON.stringify(this.text.slice(-300))}`);
    };
    await eventually(`${String(pattern)} comes`, heard);
  }

  ends(): Promise<unknown> {
    return eventually('it is ended', () => this.closed);
  }
}

/**
 * A server of HTTP/2, which greets whoever connects before that has said anything; it tells what it was
 * asked.
 */
class Greeting {
  readonly server = http2.createServer();
  sessions = 0;
  open = 0;

  constructor() {
    this.server.on('session', (session) => {
      this.sessions++;
      this.open++;
      session.on('error', () => undefined);
      session.once('close', () => this.open--);
    });
    this.server.on('request', ({ headers }, response) => response.end(JSON.stringify(headers)));
  }

  async listen(): Promise<number> {
    await once(this.server.listen(0, '127.0.0.1'), 'listening');
    return (this.server.address() as net.AddressInfo).port;
  }
}

/**
 * An application believes `l5d-client-id`, has virtual hosts and limits. Whoever says that its bytes are none
 * of HTTP, in a header or by waiting, by a long or an odd first line, was read by nobody: it could be
 * anybody, ask any host, and as often as it liked.
 */
for (const runtime of RUNTIMES) {
  describe(`What a port speaks, on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-speaks-'));
    let web: WireTarget;
    let greeter: WireTarget;
    const greeting = new Greeting();
    let gateway: GatewayProcess;
    let egress: EgressProcess;
    let header: EgressProcess;
    let mesh: MeshClient;
    const sockets: net.Socket[] = [];

    before(async function () {
      const issuer = await createIssuer(await createAnchor({}), {});
      web = await WireTarget.start(answering(() => OK));
      greeter = await WireTarget.start(
        (heard, text) => text.endsWith('\n') && heard.say('250 so be it\r\n'),
        (heard) => heard.say('220 mail.example\r\n'),
      );
      const greetingPort = await greeting.listen();
      gateway = await GatewayProcess.start({
        runtime,
        dir: path.join(dir, 'gateway'),
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        targets: [
          { name: name('said'), ports: [web.port], protocol: 'http1' },
          { name: name('said'), port: 8080, ports: [web.port], protocol: 'http1' },
          { name: name('unsaid'), ports: [web.port] },
          { name: name('limited'), ports: [web.port], rateLimit: { total: '2/h burst 2' } },
          { name: name('opaque'), ports: [web.port], protocol: 'opaque' },
          { name: name('greeter'), ports: [greeter.port] },
          { name: name('mail'), port: 25, ports: [greeter.port] },
          { name: name('http2'), ports: [greetingPort] },
        ],
        flags: ['--access-log', 'all'],
      });
      const services = [
        ...['said', 'unsaid', 'limited', 'greeter', 'http2'].map((one) => ({ name: name(one) })),
        { name: name('said'), port: 8080, protocol: 'opaque' as const },
        { name: name('mail'), port: 25, protocol: 'opaque' as const },
      ];
      const start = async (streams: boolean) =>
        EgressProcess.start({
          runtime,
          dir: path.join(dir, `egress-${streams}`),
          identity: await issueLeaf(issuer, { identity: 'egress.east' }),
          gateway: { addresses: ['127.0.0.1'], port: gateway.port, identity: 'gateway.west' },
          services,
          streams,
        });
      [egress, header] = await Promise.all([start(true), start(false)]);
      mesh = new MeshClient({
        port: gateway.port,
        gatewayIdentity: 'gateway.west',
        identity: await issueLeaf(issuer, { identity: 'client.east' }),
      });
    });
    after(async () => {
      mesh.close();
      await Promise.all([egress.kill(), header.kill()]);
      await gateway.kill();
      await Promise.all([web.close(), greeter.close()]);
      greeting.server.close();
      rmSync(dir, { recursive: true });
    });
    beforeEach(() => web.forget());
    afterEach(() => {
      for (const socket of sockets.splice(0)) socket.destroy();
    });

    const opened = (socket: net.Socket) => {
      sockets.push(socket);
      return new Answers(socket);
    };
    /** A mesh client that says of what it sends that nobody can read it. */
    const claiming = async (service: string) => opened(await mesh.connect(name(service), 80, 'opaque'));
    const plain = async (service: string, by = egress) => opened(await by.client.connect(name(service)));

    /** The request that the target has got is the gateway's, not the client's. */
    function expectRead(client: string, service: string): void {
      const { text } = web;
      expect(text.match(/^l5d[-_]client[-_]id: .*$/gim)).to.deep.equal([`l5d-client-id: ${client}`]);
      expect(text.match(/^host: .*$/gim)).to.deep.equal([`host: ${name(service)}`]);
      expect(text).to.match(new RegExp(`^forwarded: by=gateway.west;for=${client};host=`, 'im'));
      expect(text).not.to.match(/content_length|internal-admin|admin\.ops/i);
    }

    for (const service of ['said', 'unsaid'])
      it(`reads a request on a connection whose header says "opaque", at a port that is ${service}`, async () => {
        const client = await claiming(service);
        client.socket.write(request());
        await client.hears(/ok$/);
        expectRead('client.east', service);
      });

    it('reads it in a tunnel that says "opaque", too', async () => {
      // An egress of an older version, or of somebody who means harm.
      const client = opened(await egress.client.connect(name('said'), 8080));
      client.socket.write(request());
      await client.hears(/ok$/);
      expect(web.text)
        .to.match(/^l5d-client-id: egress\.east$/im)
        .and.not.match(/admin/);
    });

    it('refuses what is no request at a port that is said to speak HTTP', async () => {
      const client = await claiming('said');
      client.socket.write('\x00\x01\x02 nothing that anybody reads\r\n\r\n');
      await client.hears(/^HTTP\/1\.1 400 /);
      expect(web.text).to.equal('');
    });

    it('passes bytes where they are said to be opaque', async () => {
      const client = await claiming('opaque');
      client.socket.write(request());
      await client.hears(/ok$/);
      expect(web.text).to.equal(request());
    });

    for (const [mode, by] of [
      ['streams', () => egress],
      ['transport header', () => header],
    ] as const) {
      it(`reads the request of a plain client that waited until it was connected (${mode})`, async () => {
        const before = web.connections.length;
        const client = await plain('unsaid', by());
        await eventually('it is taken for one that waits', () => web.connections.length > before);
        client.socket.write(request());
        await client.hears(/ok$/);
        expectRead('egress.east', 'unsaid');
      });

      it(`reads the request of a plain client whose URL has 9 kB (${mode})`, async () => {
        const client = await plain('unsaid', by());
        client.socket.write(request(`/${'a'.repeat(9000)}`));
        await client.hears(/ok$/);
        expectRead('egress.east', 'unsaid');
      });

      it(`reads the request of a plain client that sends empty lines before it (${mode})`, async () => {
        const client = await plain('unsaid', by());
        client.socket.write(`\r\n\r\n${request()}`);
        await client.hears(/ok$/);
        expectRead('egress.east', 'unsaid');
      });
    }

    for (const line of [
      'GET\t/\tHTTP/1.1',
      ' GET / HTTP/1.1',
      'GET /',
      'GET / http/1.1',
      `${'M'.repeat(90)} / HTTP/1.1 `,
    ])
      it(`does not pass on what only a lenient server reads: ${JSON.stringify(line.slice(0, 30))}`, async () => {
        const client = await claiming('unsaid');
        client.socket.write(`${line}\r\n${FORGED}\r\n\r\n`);
        await client.hears(/^HTTP\/1\.1 400 /);
        expect(web.text).to.equal('');
      });

    it('ends a connection on which a request comes behind other bytes', async () => {
      const client = await claiming('unsaid');
      client.socket.write('something');
      await eventually('they have passed', () => web.text === 'something');
      client.socket.write(` /facts HTTP/1.1\r\n${FORGED}\r\n\r\n`);
      await client.ends();
      expect(web.text).to.equal('something');
      await eventually('it is counted', async () =>
        /inbound_tcp_errors_total\{.*protocol not served.*\} [1-9]/.test(await gateway.metrics()),
      );
    });

    it('counts its requests against the limit of a service, whatever it says that they are', async () => {
      const client = await claiming('limited');
      for (let count = 0; count < 4; count++) client.socket.write(request());
      await client.hears(/(HTTP\/1\.1 [^]*){4}/);
      const statuses = [...client.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
      // Opened before its bytes came or not, it is one raw connection at the most.
      expect(statuses.slice(-2)).to.deep.equal(['429', '429']);
      expect(statuses.filter((status) => status === '200').length).to.be.within(1, 2);
    });

    it('lets a server speak first where nothing is said, through egress and gateway', async () => {
      for (const client of [
        await claiming('greeter'),
        await plain('greeter'),
        await plain('greeter', header),
      ]) {
        await client.hears(/^220 /);
        client.socket.write('EHLO a.example\r\n');
        await client.hears(/^220 [^]*250 /);
      }
    });

    it('does not let a request pass behind the greeting of a server', async () => {
      const before = greeter.connections.length;
      const client = await claiming('greeter');
      await client.hears(/^220 /);
      client.socket.write(request());
      await client.ends();
      expect(greeter.connections.slice(before).map(({ text }: Heard) => text)).to.deep.equal(['']);
    });

    it('writes raw connections into the access log', async () => {
      const client = await claiming('greeter');
      await client.hears(/^220 /);
      greeter.connections.at(-1)?.socket.end();
      client.socket.end();
      const line =
        /\{[^\n]*"client":"client\.east","target":"greeter[^\n]*"protocol":"opaque"[^\n]*"msg":"access"\}/;
      const isWhole = (text = '') => text.includes('"bytes_out":18') && !text.includes('"failure"');
      await eventually('there is a line', () =>
        gateway.log.split('\n').some((text) => isWhole(line.exec(text)?.[0])),
      );
    });

    it('serves HTTP/2 to a client that waited, although its server speaks first', async () => {
      const before = greeting.sessions;
      const client = await claiming('http2');
      await eventually('the server has greeted', () => greeting.sessions > before);
      await eventually('and has been left alone again', () => greeting.open === before);
      expect(client.text).to.equal('');
      client.socket.removeAllListeners('data');
      const session = http2.connect('http://x', { createConnection: () => client.socket });
      const stream = session.request({
        ':path': '/',
        ':authority': 'admin',
        'l5d-client-id': 'admin.ops',
        l5d_client_id: 'x',
      });
      const body: Buffer[] = [];
      for await (const chunk of stream) body.push(chunk as Buffer);
      session.destroy();
      const seen = JSON.parse(Buffer.concat(body).toString()) as Record<string, string>;
      expect(seen['l5d-client-id']).to.equal('client.east');
      expect(seen[':authority']).to.equal(name('http2'));
      expect(seen).not.to.have.property('l5d_client_id');
    });

    it('lets mail in at once on the port of mail, for a client that says nothing', async () => {
      const client = opened(await egress.client.connect(name('mail'), 25));
      await client.hears(/^220 /);
    });
  });
}
