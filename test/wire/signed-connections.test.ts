import { expect } from 'chai';
import { once } from 'node:events';
import net from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { type LocalGateway, localGateway } from '../support/local-gateway.ts';
import { RawHttp2 } from '../support/raw-http2.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { WireClient } from '../support/wire-client.ts';

const NAME = 'ntlm.demo.svc.cluster.local';

/**
 * NTLM and Negotiate sign in a connection and not a request: whoever came next on a pooled one was answered
 * as whoever had signed in before (RFC 4559 section 6).
 */
describe('A connection on which somebody has signed in', () => {
  let server: net.Server;
  let local: LocalGateway;
  let open = 0;

  before(async () => {
    server = net.createServer((socket) => {
      open++;
      socket.on('close', () => open--);
      socket.on('error', () => undefined);
      let who = 'nobody';
      let pending = '';
      socket.on('data', (chunk) => {
        pending += chunk.toString('latin1');
        for (let end = pending.indexOf('\r\n\r\n'); end >= 0; end = pending.indexOf('\r\n\r\n')) {
          const head = pending.slice(0, end);
          pending = pending.slice(end + 4);
          const said = /^authorization: (ntlm|negotiate) (\w+)/im.exec(head)?.[2];
          if (said === 'alice') who = said;
          const asks = said === undefined ? '' : 'www-authenticate: NTLM more\r\n';
          const answer = who === 'nobody' ? `401 No\r\n${asks}` : '200 OK\r\n';
          socket.write(`HTTP/1.1 ${answer}content-length: ${who.length}\r\n\r\n${who}`);
        }
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    local = await localGateway([
      { name: NAME, port: 80, protocol: 'http1', endpoints: [{ host: '127.0.0.1', port, ready: true }] },
    ]);
  });

  after(async () => {
    await local.close();
    server.close();
  });

  const connect = async () => new WireClient(await local.client.connect(NAME, 80, 'http1'));
  const ask = (authorization?: string) =>
    `GET / HTTP/1.1\r\nhost: x\r\n${authorization === undefined ? '' : `authorization: ${authorization}\r\n`}\r\n`;

  for (const scheme of ['NTLM', 'Negotiate'])
    it(`is the client's own, by ${scheme}, and ends with it`, async () => {
      const alice = await connect();
      await alice.send(ask(`${scheme} hello`)).hears(/401[^]*nobody$/);
      await alice.send(ask(`${scheme} alice`)).hears(/200 OK[^]*alice$/);
      const before = open;
      const other = await connect();
      await other.send(ask()).hears(/401[^]*nobody$/);
      // The handshake holds: the next request needs no field.
      await alice.send(ask()).hearsTimes('200 OK', 2);
      expect(open).to.equal(before + 1);
      alice.socket.destroy();
      await eventually('it has ended', () => open <= before);
      await other.send(ask()).hearsTimes('401 No', 2);
      other.socket.destroy();
    });

  it('carries nothing more when it was for a request of HTTP/2', async () => {
    const client = new RawHttp2(await local.client.connect(NAME, 80, 'http2'));
    client.send(client.head(1, true, RawHttp2.get([['authorization', 'Negotiate alice']])));
    await client.hears(/^HEADERS 1 200/);
    client.send(client.head(3));
    await client.hears(/^HEADERS 3 401/);
    client.socket.destroy();
  });
});

/**
 * A server that signs in whoever goes through three messages on one connection, and no other; it says on
 * which connection it was asked.
 */
async function threeMessages(): Promise<{ port: number; open: () => number; close: () => void }> {
  let open = 0;
  let count = 0;
  const server = net.createServer((socket) => {
    const id = ++count;
    open++;
    socket.on('close', () => open--);
    socket.on('error', () => undefined);
    let stage = 0;
    let who = '';
    let pending = '';
    socket.on('data', (chunk) => {
      pending += chunk.toString('latin1');
      for (let end = pending.indexOf('\r\n\r\n'); end >= 0; end = pending.indexOf('\r\n\r\n')) {
        const said = /^authorization: (?:ntlm|negotiate) (\S+)/im.exec(pending.slice(0, end))?.[1] ?? '';
        pending = pending.slice(end + 4);
        let [status, asks] = ['401 No', 'WWW-Authenticate: NTLM\r\n'];
        if (said === 'one') [stage, asks] = [1, `WWW-Authenticate: NTLM challenge${id}\r\n`];
        else if (stage === 1 && said.startsWith(`answer${id}-`)) [stage, who] = [2, said.split('-')[1] ?? ''];
        if (stage === 2) [status, asks] = ['200 OK', ''];
        const body = `${who || 'nobody'} on ${id}.`;
        socket.write(`HTTP/1.1 ${status}\r\n${asks}content-length: ${body.length}\r\n\r\n${body}`);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    open: () => open,
    close: () => server.close(),
  };
}

for (const runtime of RUNTIMES)
  for (const streams of [true, false])
    describe(`Signing in through an egress ${streams ? 'in stream mode' : 'without streams'}, on ${runtime}`, () => {
      const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-signed-'));
      let target: Awaited<ReturnType<typeof threeMessages>>;
      let gateway: GatewayProcess;
      let egress: EgressProcess;

      before(async function () {
        target = await threeMessages();
        const issuer = await createIssuer(await createAnchor({}), {});
        gateway = await GatewayProcess.start({
          runtime,
          dir: path.join(dir, 'gateway'),
          identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
          targets: [{ name: NAME, ports: [target.port], protocol: 'http1' }],
          flags: ['--grace', '0'],
        });
        egress = await EgressProcess.start({
          runtime,
          dir: path.join(dir, 'egress'),
          identity: await issueLeaf(issuer, { identity: 'egress.east' }),
          gateway: { addresses: ['127.0.0.1'], port: gateway.port, identity: 'gateway.west' },
          services: [{ name: NAME }],
          streams,
        });
      });

      after(async () => {
        await egress.kill();
        await gateway.kill();
        target.close();
        rmSync(dir, { recursive: true });
      });

      /** One client with a connection of its own. */
      async function client() {
        const socket = await egress.client.connect(NAME);
        let text = '';
        socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
        const ask = async (authorization?: string): Promise<string> => {
          text = '';
          const line = authorization === undefined ? '' : `authorization: NTLM ${authorization}\r\n`;
          socket.write(`GET / HTTP/1.1\r\nhost: x\r\n${line}\r\n`);
          await eventually('an answer', () => text.endsWith('.'));
          return text;
        };
        return { socket, ask };
      }

      it('takes three messages on one connection, which no other client gets', async () => {
        // In stream mode each request went to the target on a connection of its own: nobody could sign in at
        // all.
        const [alice, bob, carol] = [await client(), await client(), await client()];
        expect(await alice.ask()).to.match(/^HTTP\/1\.1 401 [^]*nobody/);
        const challenge = /challenge(\d+)/.exec(await alice.ask('one'))?.[1] ?? '';
        const other = /challenge(\d+)/.exec(await bob.ask('one'))?.[1] ?? '';
        expect(await alice.ask(`answer${challenge}-alice`)).to.match(
          new RegExp(`^HTTP/1\\.1 200 [^]*alice on ${challenge}\\.$`),
        );
        expect(await bob.ask(`answer${other}-bob`)).to.match(
          new RegExp(`^HTTP/1\\.1 200 [^]*bob on ${other}\\.$`),
        );
        expect(other).to.not.equal(challenge);
        for (let round = 0; round < 3; round++) {
          expect(await alice.ask()).to.match(new RegExp(`alice on ${challenge}\\.$`));
          expect(await bob.ask()).to.match(new RegExp(`bob on ${other}\\.$`));
          expect(await carol.ask()).to.match(/^HTTP\/1\.1 401 [^]*nobody/);
        }
        const before = target.open();
        alice.socket.destroy();
        bob.socket.destroy();
        await eventually('both have ended', () => target.open() <= before - 2);
        expect(await carol.ask()).to.match(/^HTTP\/1\.1 401 [^]*nobody/);
        carol.socket.destroy();
      });
    });
