import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type http2 from 'node:http2';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { grpcCall } from '../support/grpc.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { grpcOrigin, http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';
import type { ClientKind } from '../support/service-client.ts';

const service = (name: string) => `${name}.demo.svc.cluster.local`;

/** What each client can speak to: the service's name, and what its pods hear. */
const PAIRS: readonly (readonly [ClientKind, string, 'http1' | 'http2'])[] = [
  ['http1', 'plain1', 'http1'],
  ['http1', 'only2', 'http2'],
  ['http2', 'plain2', 'http2'],
  ['http2', 'only1', 'http1'],
  ['http1-upgraded', 'plain1', 'http1'],
  ['http1-upgraded', 'only2', 'http2'],
];

/**
 * Everything that a session may be, on both runtimes: one row that fails here is an application that works in
 * its own cluster and breaks when it is reached from another.
 */
for (const runtime of RUNTIMES) {
  describe(`Conformance on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-conformance-'));
    const origins: Record<string, Origin> = {};
    let gateway: GatewayProcess;
    let client: MeshClient;

    before(async function () {
      const issuer = await createIssuer(await createAnchor({}), {});
      const identity = await issueLeaf(issuer, { identity: 'gateway.west' });
      Object.assign(origins, {
        a1: await http1Origin('a1'),
        b1: await http1Origin('b1'),
        a2: await http2Origin('a2'),
        b2: await http2Origin('b2'),
        grpc: await grpcOrigin(),
        raw: await rawOrigin(),
        greeter: await rawOrigin('220 welcome\r\n'),
      });
      const ports = (...names: string[]) => names.map((name) => origins[name]?.port ?? 0);
      gateway = await GatewayProcess.start({
        runtime,
        dir,
        identity,
        targets: [
          { name: service('plain1'), ports: ports('a1') },
          { name: service('plain2'), ports: ports('a2') },
          { name: service('grpc'), ports: ports('grpc') },
          { name: service('only1'), ports: ports('a1'), protocol: 'http1' },
          { name: service('only2'), ports: ports('a2'), protocol: 'http2' },
          { name: service('two1'), ports: ports('a1', 'b1'), protocol: 'http1' },
          { name: service('two2'), ports: ports('a2', 'b2'), protocol: 'http2' },
          { name: service('raw'), port: 7, ports: ports('raw') },
          { name: service('greeter'), port: 25, ports: ports('greeter') },
          { name: service('empty'), ports: [] },
        ],
      });
      client = new MeshClient({
        port: gateway.port,
        gatewayIdentity: 'gateway.west',
        identity: await issueLeaf(issuer, { identity: 'client.east' }),
      });
    });

    after(async () => {
      client.close();
      await gateway.kill();
      for (const origin of Object.values(origins)) origin.close();
      rmSync(dir, { recursive: true });
    });

    for (const [kind, name, heard] of PAIRS) {
      describe(`${kind} to a target that speaks ${heard}`, () => {
        const ask = (request: Parameters<MeshClient['request']>[2]) =>
          client.request(kind, service(name), request);

        it('a request and its response', async () => {
          const { status, headers, body } = await ask({ path: '/hello' });
          expect([status, String(body), headers['x-origin'], headers['content-length']]).to.deep.equal([
            200,
            'hello',
            heard === 'http1' ? 'a1' : 'a2',
            '5',
          ]);
        });

        it('the client is named, and what it says of itself is not believed', async () => {
          const { body } = await ask({
            path: '/facts/x?y=1',
            headers: { 'l5d-client-id': 'somebody.else', 'x-own': 'kept', forwarded: 'for=me' },
          });
          const facts = JSON.parse(String(body)) as {
            url: string;
            httpVersion: string;
            headers: Record<string, string>;
          };
          expect(facts.url).to.equal('/facts/x?y=1');
          expect(facts.httpVersion).to.equal(heard === 'http1' ? '1.1' : '2.0');
          expect(facts.headers).to.include({ 'l5d-client-id': 'client.east', 'x-own': 'kept' });
          expect(facts.headers['forwarded']).to.match(/^for=me, ?by=gateway\.west;for=client\.east;host=/);
          expect(facts.headers['l5d-orig-proto']).to.equal(undefined);
          const authority = heard === 'http1' ? facts.headers['host'] : facts.headers[':authority'];
          expect(authority).to.equal(service(name));
        });

        it('a body of a megabyte comes back as it went', async () => {
          const sent = Buffer.alloc(1 << 20, 'the quick brown fox ');
          const pieces = [sent.subarray(0, 10), sent.subarray(10, 200_000), sent.subarray(200_000)];
          const { body } = await ask({ method: 'POST', path: '/echo', body: pieces });
          expect(body.equals(sent)).to.equal(true);
        });

        it('a body of known length', async () => {
          const sent = Buffer.from('twelve bytes');
          const headers = { 'content-length': '12' };
          const { body } = await ask({ method: 'PUT', path: '/echo', body: [sent], headers });
          expect(String(body)).to.equal('twelve bytes');
        });

        it('trailers both ways', async () => {
          const { trailers, body } = await ask({
            method: 'POST',
            path: '/echo',
            body: [Buffer.from('abc')],
            trailers: { 'x-sent': 'sum' },
          });
          expect(String(body)).to.equal('abc');
          expect(trailers['x-echoed']).to.equal('sum');
        });

        it('a large response', async () => {
          const { body } = await ask({ path: '/bytes/3000000' });
          expect(body.length).to.equal(3_000_000);
        });

        it('HEAD, whose length is that of a body that does not come', async () => {
          const { status, headers, body } = await ask({ method: 'HEAD', path: '/hello' });
          expect([status, headers['content-length'], body.length]).to.deep.equal([200, '5', 0]);
        });

        for (const status of [204, 304, 404, 500])
          it(`status ${status} without a body`, async () => {
            const response = await ask({ path: `/status/${status}` });
            expect([response.status, response.body.length]).to.deep.equal([status, 0]);
          });

        it('early hints', async () => {
          const { interim, body } = await ask({ path: '/hints' });
          expect([interim, String(body)]).to.deep.equal([[103], 'hinted']);
        });

        it('a response that is cut is not taken for a whole one', async () => {
          const outcome = await ask({ path: '/cut' }).then(
            ({ body }) => `whole: ${body.length}`,
            () => 'cut',
          );
          expect(outcome).to.equal('cut');
        });
      });
    }

    it('Expect: 100-continue is answered by the target', async () => {
      const { interim, body } = await client.request('http1', service('plain1'), {
        method: 'POST',
        path: '/echo',
        headers: { expect: '100-continue' },
        body: [Buffer.from('waited')],
      });
      expect([interim, String(body)]).to.deep.equal([[100], 'waited']);
    });

    for (const [kind] of PAIRS.filter(([, name]) => name.startsWith('plain'))) {
      it(`${kind}: a service that is not exported is 404 and says so`, async () => {
        const { status, body } = await client.request(kind, service('nowhere'), { path: '/' });
        expect(status).to.equal(404);
        expect(String(body)).to.match(/nowhere.* is not exported/);
      });

      it(`${kind}: a service without endpoints is 504 and says so`, async () => {
        const { status, body } = await client.request(kind, service('empty'), { path: '/' });
        expect(status).to.equal(504);
        expect(String(body)).to.match(/no ready endpoints for empty\.demo\S* \(0 known, 0 ready\)/);
      });
    }

    for (const [kind, name, both] of [
      ['http1', 'two1', ['a1', 'b1']],
      ['http2', 'two2', ['a2', 'b2']],
      ['http2', 'two1', ['a1', 'b1']],
      ['http1', 'two2', ['a2', 'b2']],
    ] as const)
      it(`${kind}: requests are spread over the endpoints of ${name}`, async () => {
        const names = new Set<unknown>();
        // One after another may rightly all go to one endpoint, when the other's first answer was slow: more
        // and more at once may not.
        for (let atOnce = 1; atOnce <= 256 && names.size < 2; atOnce *= 2) {
          const ask = () => client.request(kind, service(name), { path: '/hello' });
          const responses = await Promise.all(Array.from({ length: atOnce }, ask));
          for (const { headers } of responses) names.add(headers['x-origin']);
        }
        expect([...names].map(String).sort((a, b) => a.localeCompare(b))).to.deep.equal(both);
      });

    it('HTTP/1: many requests on one connection, pipelined', async () => {
      const socket = await client.connect(service('plain1'), 80, 'http1');
      const request = `GET /hello HTTP/1.1\r\nhost: x\r\n\r\n`;
      socket.write(request.repeat(20));
      let seen = '';
      socket.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')));
      while (seen.split('hello').length <= 20) await once(socket, 'data');
      expect(seen.match(/HTTP\/1\.1 200/g)?.length).to.equal(20);
      socket.destroy();
    });

    it('HTTP/1.0 closes behind its response, and stays open when asked', async () => {
      const ask = async (extra: string) => {
        const socket = await client.connect(service('plain1'), 80, 'http1');
        socket.write(`GET /hello HTTP/1.0\r\n${extra}\r\n`);
        let seen = '';
        socket.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')));
        while (!seen.endsWith('hello')) await once(socket, 'data');
        if (extra === '') {
          if (!socket.readableEnded) await once(socket, 'end');
          return seen;
        }
        socket.destroy();
        return seen;
      };
      expect(await ask('')).to.match(/connection: close/i);
      expect(await ask('connection: keep-alive\r\n')).to.match(/connection: keep-alive/i);
    });

    it('CONNECT is refused', async () => {
      const socket = await client.connect(service('plain1'), 80, 'http1');
      socket.write('CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n');
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      expect(String(chunk)).to.match(/^HTTP\/1\.1 400 /);
      socket.destroy();
    });

    for (const name of ['plain1', 'only1', 'two1'])
      it(`WebSocket and other upgrades, to ${name}`, async () => {
        const socket = await client.connect(service(name), 80, 'http1');
        socket.write('GET /chat HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nfirst');
        await hears(socket, /^HTTP\/1\.1 101 [^]*upgrade: echo[^]*\r\n\r\nfirst$/i);
        socket.write('then this');
        await hears(socket, /then this$/);
        socket.end();
        if (!socket.readableEnded) await once(socket, 'end');
      });

    it('opaque: bytes both ways, and a half-close', async () => {
      const socket = await client.connect(service('raw'), 7, 'opaque');
      const sent = Buffer.alloc(2_000_000, 'opaque ');
      const chunks: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.end(sent);
      await once(socket, 'end');
      expect(Buffer.concat(chunks).equals(sent)).to.equal(true);
    });

    it('opaque: a server that speaks first', async () => {
      const socket = await client.connect(service('greeter'), 25, 'opaque');
      await hears(socket, /^220 welcome\r\n$/);
      socket.write('HELO x\r\n');
      await hears(socket, /HELO x\r\n$/);
      socket.destroy();
    });

    describe('gRPC', () => {
      const call = async (name: string, at: string) => grpcCall(await client.session(service(name)), at);

      it('a unary call, with its trailers', async () => {
        const stream = await call('grpc', '/echo');
        stream.end(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
        const trailers = await ended(stream);
        expect(trailers).to.include({ 'grpc-status': '0', 'x-last': 'yes' });
      });

      it('messages both ways, one after the other', async () => {
        const stream = await call('grpc', '/echo');
        for (let count = 0; count < 10; count++) {
          stream.write(`message ${count}`);
          const [chunk] = (await once(stream, 'data')) as [Buffer];
          expect(String(chunk)).to.equal(`message ${count}`);
        }
        stream.end();
        expect(await ended(stream)).to.include({ 'grpc-status': '0' });
      });

      it('a failure without messages', async () => {
        const stream = await call('grpc', '/fail/13');
        stream.end();
        const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
        expect(headers).to.include({ ':status': 200, 'grpc-status': '13', 'grpc-message': 'as asked' });
        stream.close();
      });

      for (const [name, status, why] of [
        ['nowhere', '5', /is not exported/],
        ['empty', '4', /no ready endpoints for empty/],
      ] as const)
        it(`what the gateway cannot carry is status ${status}`, async () => {
          const stream = await call(name, '/echo');
          stream.end();
          const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
          expect(headers).to.include({ ':status': 200, 'grpc-status': status });
          expect(String(headers['grpc-message'])).to.match(why);
          stream.close();
        });

      it('a call that the client gives up is given up at the target', async () => {
        const stream = await call('grpc', '/echo');
        stream.on('error', () => undefined);
        stream.write('one');
        await once(stream, 'data');
        stream.close(8);
        await once(stream, 'close');
        const { status } = await client.request('http2', service('plain2'), { path: '/hello' });
        expect(status).to.equal(200);
      });
    });

    it('HTTP/2: a stream that nobody reads does not hold up the others', async () => {
      const session = await client.session(service('plain2'));
      const stuck = session.request({ ':path': '/bytes/5000000' });
      stuck.pause();
      await once(stuck, 'response');
      for (let count = 0; count < 5; count++) {
        const { body } = await client.request('http2', service('plain2'), { path: '/bytes/200000' });
        expect(body.length).to.equal(200_000);
      }
      stuck.on('error', () => undefined);
      stuck.close(8);
    });

    it('HTTP/2: hundreds of requests at once', async () => {
      const all = Array.from({ length: 300 }, (_, index) =>
        client.request(index % 2 ? 'http2' : 'http1-upgraded', service(index % 3 ? 'two1' : 'two2'), {
          path: '/bytes/5000',
        }),
      );
      const lengths = new Set((await Promise.all(all)).map(({ body }) => body.length));
      expect([...lengths]).to.deep.equal([5000]);
    });

    describe('at the end', () => {
      it('HTTP/2: nothing is lost when the gateway ends', async () => {
        const session = await client.session(service('grpc'));
        const stream = session.request({
          ':method': 'POST',
          ':path': '/echo',
          'content-type': 'application/grpc',
        });
        stream.write('before');
        await once(stream, 'data');
        const goaway = once(session, 'goaway');
        gateway.terminate();
        await goaway;
        stream.write('after');
        const [chunk] = (await once(stream, 'data')) as [Buffer];
        expect(String(chunk)).to.equal('after');
        stream.end();
        expect(await ended(stream)).to.include({ 'grpc-status': '0' });
        expect(await gateway.ended()).to.equal(0);
      });
    });
  });
}

/** Waits until all that has come so far matches. */
async function hears(socket: Duplex, pattern: RegExp): Promise<void> {
  let seen = '';
  const listen = (chunk: Buffer) => (seen += chunk.toString('latin1'));
  socket.on('data', listen);
  while (!pattern.test(seen)) await once(socket, 'data');
  socket.off('data', listen);
}

/** The trailers of a stream, when it has ended. */
async function ended(stream: http2.ClientHttp2Stream): Promise<http2.IncomingHttpHeaders> {
  let trailers: http2.IncomingHttpHeaders = {};
  stream.on('trailers', (fields) => (trailers = fields));
  stream.resume();
  if (!stream.closed) await once(stream, 'close');
  return trailers;
}
