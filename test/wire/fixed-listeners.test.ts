import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import { tmpdir } from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';

const service = (name: string) => `${name}.demo.svc.cluster.local`;

/**
 * A VM, an ingress and a load generator speak mTLS and know nothing of transport headers: what they reach
 * must be the one service of the port, with the same proof of who they are.
 */
for (const runtime of RUNTIMES) {
  describe(`Fixed listeners on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-fixed-'));
    const origins: Origin[] = [];
    const ports = { one: 0, two: 0, raw: 0, missing: 0 };
    let gateway: GatewayProcess;
    let client: Identity;

    before(async function () {
      const issuer = await createIssuer(await createAnchor({}), {});
      client = await issueLeaf(issuer, { identity: 'vm.east' });
      const [one, two, raw] = [await http1Origin('one'), await http2Origin('two'), await rawOrigin()];
      origins.push(one, two, raw);
      for (const key of ['one', 'two', 'raw', 'missing'] as const) ports[key] = await freePort();
      gateway = await GatewayProcess.start({
        runtime,
        dir,
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        targets: [
          { name: service('one'), ports: [one.port], protocol: 'http1' },
          { name: service('two'), ports: [two.port], protocol: 'http2' },
          { name: service('raw'), port: 7, ports: [raw.port] },
        ],
        flags: [
          '--listeners',
          `127.0.0.1:${ports.one}=one.demo:80`,
          `127.0.0.1:${ports.two}=${service('two')}:80/http`,
          `127.0.0.1:${ports.raw}=raw.demo:7/opaque`,
          `127.0.0.1:${ports.missing}=missing.demo:80`,
        ],
      });
    });

    after(async () => {
      await gateway.kill();
      for (const origin of origins) origin.close();
      rmSync(dir, { recursive: true, force: true });
    });

    const settings = (port: number, alpn: string[]): tls.ConnectionOptions => ({
      host: '127.0.0.1',
      port,
      servername: 'web.example',
      cert: client.cert,
      key: client.key,
      ca: client.ca,
      checkServerIdentity: () => undefined,
      ...(alpn.length === 0 ? {} : { ALPNProtocols: alpn }),
    });

    async function open(port: number, alpn: string[] = [], change: object = {}): Promise<tls.TLSSocket> {
      const socket = tls.connect({ ...settings(port, alpn), ...change });
      await once(socket, 'secureConnect');
      socket.on('error', () => undefined);
      return socket;
    }

    async function http1(port: number, alpn: string[]): Promise<[number, http2.IncomingHttpHeaders, string]> {
      const socket = await open(port, alpn);
      const request = http.request({ createConnection: () => socket, path: '/facts' });
      request.end();
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      let body = '';
      for await (const chunk of response) body += String(chunk);
      return [response.statusCode ?? 0, response.headers, body];
    }

    async function http2Request(port: number, alpn: string[]): Promise<[number, string]> {
      const socket = await open(port, alpn);
      const session = http2.connect('https://web.example', { createConnection: () => socket });
      const stream = session.request({ ':path': '/hello' });
      let body = '';
      stream.setEncoding('utf8').on('data', (text: string) => (body += text));
      const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
      await once(stream, 'end');
      session.destroy();
      return [Number(headers[':status']), body];
    }

    it('takes HTTP/1 by ALPN, and proves to the pod who asks', async () => {
      const [status, , body] = await http1(ports.one, ['http/1.1']);
      expect(status).to.equal(200);
      expect(body).to.include('vm.east');
    });

    it('takes HTTP/1 without ALPN', async () => {
      expect((await http1(ports.one, []))[0]).to.equal(200);
    });

    for (const alpn of [['h2'], ['h2', 'http/1.1'], []])
      for (const name of ['one', 'two'] as const)
        it(`takes HTTP/2 (ALPN ${alpn.join()}) to ${name}`, async () => {
          expect(await http2Request(ports[name], alpn)).to.deep.equal([200, 'hello']);
        });

    it('carries raw bytes both ways, with half-close', async () => {
      const socket = await open(ports.raw, [], { allowHalfOpen: true });
      socket.end('hello');
      let said = '';
      for await (const chunk of socket) said += String(chunk);
      expect(said).to.equal('hello');
    });

    it('says what is missing when the service is not exported', async () => {
      const [status, , body] = await http1(ports.missing, ['http/1.1']);
      expect([status, body]).to.deep.equal([
        404,
        `${service('missing')}:80 is not exported by this cluster\n`,
      ]);
    });

    it('admits nobody without a certificate', async () => {
      const socket = tls.connect({ ...settings(ports.one, []), cert: undefined, key: undefined });
      socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'));
      let said = '';
      socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
      socket.on('error', () => undefined);
      await eventually('the connection ends', () => socket.destroyed);
      expect(said).to.equal('');
    });

    it('answers what is no HTTP with 400', async () => {
      const socket = await open(ports.one);
      socket.write('\x00\x01what\r\n\r\n');
      const [first] = (await once(socket, 'data')) as [Buffer];
      expect(first.toString()).to.match(/^HTTP\/1\.1 400 /);
      socket.destroy();
    });
  });
}
