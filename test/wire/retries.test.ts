import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import type http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess, type ServedTarget } from '../support/gateway-process.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { MeshClient } from '../support/mesh-client.ts';
import type { ClientKind } from '../support/service-client.ts';
import { type ScriptedOrigin, scriptedOrigin, type SeenRequest } from '../support/scripted-origin.ts';

const service = (name: string) => `${name}.demo.svc.cluster.local`;
const PAIRS: readonly (readonly [ClientKind, 'http1' | 'http2'])[] = [
  ['http1', 'http1'],
  ['http1', 'http2'],
  ['http2', 'http2'],
  ['http2', 'http1'],
  ['http1-upgraded', 'http1'],
];
const RETRY = { retry: { http: '5xx', limit: 3, budget: { ratio: 1, minPerSecond: 100, ttl: '10s' } } };
const GRPC_HEAD = { 'content-type': 'application/grpc' };

/** What the origins do, by the first part of the path. */
const pages: Readonly<
  Record<string, (response: http.ServerResponse, request: SeenRequest, nth: number) => void>
> = {
  echo: (response, { body }) => response.end(body),
  /** Twice a failure, then an echo. */
  third: (response, { body }, nth) => {
    response.statusCode = nth < 3 ? 503 : 200;
    response.end(nth < 3 ? 'busy' : body);
  },
  never: (response) => {
    response.statusCode = 503;
    response.end('busy');
  },
  /** Half of an answer, then nothing more. */
  half: (response) => {
    response.setHeader('content-length', '100');
    response.write('half');
  },
  /** Half of an answer, then the connection is gone. */
  cut: (response, request) => {
    response.setHeader('content-length', '100');
    response.write('half', () => setImmediate(() => response.socket?.destroy()));
    request.left = true;
  },
  silence: () => undefined,
  /** Silence first, then an echo. */
  wakes: (response, { body }, nth) => {
    if (nth > 1) response.end(body);
  },
  /** A byte every 50 ms for ever. */
  drip: (response) => {
    const timer = setInterval(() => response.write('.'), 50);
    response.on('close', () => clearInterval(timer));
  },
};

const grpcPages: typeof pages = {
  /** Unavailable twice, in a head without anything else. */
  head: (response, { body }, nth) => {
    if (nth > 2) return grpcAnswer(response, body);
    response.writeHead(200, { ...GRPC_HEAD, 'grpc-status': '14' });
    response.end();
  },
  /** Unavailable twice, after a head that says nothing. */
  trailers: (response, { body }, nth) => {
    if (nth > 2) return grpcAnswer(response, body);
    response.writeHead(200, GRPC_HEAD);
    response.addTrailers({ 'grpc-status': '14' });
    response.end();
  },
  /** Unavailable after a message. */
  late: (response) => {
    response.writeHead(200, GRPC_HEAD);
    response.addTrailers({ 'grpc-status': '14' });
    response.end('message');
  },
  refused: (response) => {
    response.writeHead(200, { ...GRPC_HEAD, 'grpc-status': '7' });
    response.end();
  },
  silence: () => undefined,
};

function grpcAnswer(response: http.ServerResponse, body: Buffer): void {
  response.writeHead(200, GRPC_HEAD);
  response.write(body);
  response.addTrailers({ 'grpc-status': '0' });
  response.end();
}

const script =
  (known: typeof pages): (typeof pages)[string] =>
  (response, request, nth) =>
    known[request.path.split('/')[1] ?? '']?.(response, request, nth);

/**
 * A pod that is being replaced answers 503 for a moment. Whoever asked for retries gets its answer from
 * another pod; and in a bad hour the retries must not become the load that keeps the service down, nor may a
 * request be done twice that was not meant to, nor a client wait for ever.
 */
for (const runtime of RUNTIMES) {
  describe(`Retries and timeouts on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-retries-'));
    const origins: ScriptedOrigin[] = [];
    let gateway: GatewayProcess;
    let client: MeshClient;
    const by: Record<string, ScriptedOrigin> = {};
    const origin = (name: string): ScriptedOrigin => {
      const found = by[name];
      if (found === undefined) throw new Error(`no origin ${name}`);
      return found;
    };

    before(async function () {
      const issuer = await createIssuer(await createAnchor({}), {});
      const identity = await issueLeaf(issuer, { identity: 'gateway.west' });
      const targets: ServedTarget[] = [];
      for (const kind of ['http1', 'http2'] as const) {
        by[`bad-${kind}`] = await scriptedOrigin(kind, (response) => {
          response.statusCode = 503;
          response.end('bad');
        });
        by[`good-${kind}`] = await scriptedOrigin(kind, script(pages));
        by[`one-${kind}`] = await scriptedOrigin(kind, script(pages), (response, { path: asked }) => {
          if (!asked.startsWith('/early')) return false;
          response.statusCode = 503;
          response.end('too early');
          return true;
        });
        const one = { ports: [origin(`one-${kind}`).port], protocol: kind };
        targets.push(
          // One for each client: endpoints that fail are shut, and would not be asked any more.
          ...PAIRS.filter(([, heard]) => heard === kind).map(([from]) => ({
            name: service(`two-${from}-${kind}`),
            ports: [origin(`bad-${kind}`).port, origin(`good-${kind}`).port],
            protocol: kind,
            rules: RETRY,
          })),
          { name: service(`one-${kind}`), ...one, rules: RETRY },
          {
            name: service(`storm-${kind}`),
            ...one,
            rules: { retry: { http: '5xx', limit: 3, budget: { ratio: 0.2, minPerSecond: 0, ttl: '60s' } } },
          },
          { name: service(`request-${kind}`), ...one, rules: { timeout: { request: '150ms' } } },
          { name: service(`response-${kind}`), ...one, rules: { timeout: { response: '150ms' } } },
          { name: service(`idle-${kind}`), ...one, rules: { timeout: { idle: '150ms' } } },
          { name: service(`try-${kind}`), ...one, rules: { retry: { timeout: '100ms', limit: 2 } } },
          {
            name: service(`routes-${kind}`),
            ...one,
            rules: {
              retry: { http: '5xx', limit: 3 },
              profile: {
                routes: [
                  {
                    name: 'GET /third/{x}',
                    condition: { method: 'GET', pathRegex: '/third/[^/]+' },
                    isRetryable: true,
                  },
                  { name: 'slow', condition: { pathRegex: '/silence.*' }, timeout: '150ms' },
                ],
                retryBudget: { retryRatio: 1, minRetriesPerSecond: 100, ttl: '10s' },
              },
            },
          },
        );
      }
      by['grpc'] = await scriptedOrigin('http2', script(grpcPages));
      targets.push({
        name: service('grpc'),
        ports: [origin('grpc').port],
        rules: { retry: { grpc: 'unavailable', limit: 2 }, timeout: { request: '500ms' } },
      });
      origins.push(...Object.values(by));
      gateway = await GatewayProcess.start({
        runtime,
        dir,
        identity,
        targets,
        flags: ['--access-log', 'all'],
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
      for (const one of origins) one.close();
      rmSync(dir, { recursive: true });
    });

    for (const [kind, heard] of PAIRS) {
      describe(`${kind} to a target that speaks ${heard}`, () => {
        const ask = (name: string, request: Parameters<MeshClient['request']>[2]) =>
          client.request(kind, service(`${name}-${heard}`), request);
        /** The same page under a path that nobody else asks for. */
        const own = (page: string) => `/${page}/${kind}-${heard}`;
        const one = () => origin(`one-${heard}`);

        it('a 503 of one pod is an answer of the other', async () => {
          const before = origin(`bad-${heard}`).seen.length;
          // Together, while nothing is known of either.
          const answers = await Promise.all(
            Array.from({ length: 20 }, (_, nth) =>
              ask(`two-${kind}`, { method: 'POST', path: own('echo'), body: [Buffer.from(`ok ${nth}`)] }),
            ),
          );
          expect(answers.map(({ status, body }) => `${status} ${body.toString()}`)).to.deep.equal(
            Array.from({ length: 20 }, (_, nth) => `200 ok ${nth}`),
          );
          expect(origin(`bad-${heard}`).seen.length, 'the bad one was asked, too').to.be.greaterThan(before);
        });

        it('a small body goes out again as it came, byte for byte', async () => {
          const sent = randomBytes(60_000);
          const pieces = [sent.subarray(0, 1), sent.subarray(1, 20_000), sent.subarray(20_000)];
          const { status, body } = await ask('one', { method: 'POST', path: own('third'), body: pieces });
          expect(status).to.equal(200);
          expect(body.equals(sent)).to.equal(true);
          const bodies = one().seen.filter(({ path: at }) => at === own('third'));
          expect(bodies.map((request) => request.body.equals(sent))).to.deep.equal([true, true, true]);
        });

        it('a large body is not sent again', async () => {
          const body = [Buffer.alloc(70_000, 'x')];
          const { status } = await ask('one', { method: 'POST', path: own('never'), body });
          expect([status, one().count(own('never'))]).to.deep.equal([503, 1]);
        });

        it('there are no more tries than may be, and then the last answer', async () => {
          const { status, body } = await ask('one', { path: `${own('never')}/limit` });
          expect([status, String(body), one().count(`${own('never')}/limit`)]).to.deep.equal([
            503,
            'busy',
            4,
          ]);
        });

        it('an answer that has begun is not asked for again', async () => {
          const cut = await ask('one', { path: own('cut') }).then(
            () => false,
            () => true,
          );
          expect([cut, one().count(own('cut'))]).to.deep.equal([true, 1]);
        });

        it('the budget ends a storm', async () => {
          const path503 = `${own('never')}/storm`;
          for (let count = 0; count < 50; count++) await ask('storm', { path: path503 });
          expect(one().count(path503)).to.be.within(55, 60);
        });

        it('a request that takes too long is answered 504, and left at the target', async () => {
          const { status, body } = await ask('request', { path: own('silence') });
          expect([status, String(body)]).to.deep.equal([
            504,
            `${service(`request-${heard}`)}:80: no complete response within 150 ms\n`,
          ]);
          await left(one(), own('silence'));
        });

        it('a response that does not end is broken off', async () => {
          const cut = await ask('request', { path: own('drip') }).catch((error: Error) => error);
          expect(cut).to.be.instanceOf(Error);
          await left(one(), own('drip'));
        });

        it('a response that has not come by its time', async () => {
          const { status, body } = await ask('response', { path: `${own('silence')}/response` });
          expect([status, String(body)]).to.deep.equal([
            504,
            `${service(`response-${heard}`)}:80: no end of the response within 150 ms\n`,
          ]);
          await left(one(), `${own('silence')}/response`);
        });

        it('silence in the middle of a response', async () => {
          const cut = await ask('idle', { path: own('half') }).catch((error: Error) => error);
          expect(cut).to.be.instanceOf(Error);
          await left(one(), own('half'));
        });

        it('a try that takes too long is repeated', async () => {
          const body = [Buffer.from('again')];
          const response = await ask('try', { method: 'POST', path: own('wakes'), body });
          expect([response.status, String(response.body)]).to.deep.equal([200, 'again']);
          // More often where the machine stood still for longer than a try may take.
          expect(one().count(own('wakes'))).to.be.at.least(2);
          await left(one(), own('wakes'));
        });

        it('routes of a ServiceProfile, and nothing else', async () => {
          const third = await ask('routes', { path: `${own('third')}?x=/` });
          expect([third.status, one().count(`${own('third')}?x=/`)]).to.deep.equal([200, 3]);
          const never = await ask('routes', { path: `${own('never')}/none` });
          expect([never.status, one().count(`${own('never')}/none`)]).to.deep.equal([503, 1]);
          expect((await ask('routes', { path: `${own('silence')}/route` })).status).to.equal(504);
        });
      });
    }

    it('a request that is answered before it is complete is not sent again', async () => {
      const session = await client.session(service('one-http2'));
      const stream = session.request({ ':method': 'POST', ':path': '/early' }, { endStream: false });
      stream.on('error', () => undefined);
      stream.write('something');
      const status = await new Promise((resolve) =>
        stream.once('response', (head) => resolve(head[':status'])),
      );
      stream.destroy();
      expect([status, origin('one-http2').count('/early')]).to.deep.equal([503, 1]);
    });

    for (const page of ['head', 'trailers'])
      it(`gRPC: unavailable in the ${page} is asked for again`, async () => {
        const { body, trailers } = await client.request('http2', service('grpc'), {
          method: 'POST',
          path: `/${page}/x`,
          headers: GRPC_HEAD,
          body: [Buffer.from('message')],
        });
        expect([String(body), trailers['grpc-status']]).to.deep.equal(['message', '0']);
        expect(origin('grpc').count(`/${page}/x`)).to.equal(3);
      });

    it('gRPC: not after a message, nor for another status', async () => {
      const call = (page: string) =>
        client.request('http2', service('grpc'), {
          method: 'POST',
          path: `/${page}/x`,
          headers: GRPC_HEAD,
          body: [Buffer.from('message')],
        });
      const late = await call('late');
      expect([
        String(late.body),
        late.trailers['grpc-status'],
        origin('grpc').count('/late/x'),
      ]).to.deep.equal(['message', '14', 1]);
      const refused = await call('refused');
      expect([refused.headers['grpc-status'], origin('grpc').count('/refused/x')]).to.deep.equal(['7', 1]);
    });

    it('gRPC: a timeout is status 4', async () => {
      const request = { method: 'POST', path: '/silence', headers: GRPC_HEAD, body: [Buffer.from('m')] };
      const { status, headers } = await client.request('http2', service('grpc'), request);
      expect([status, headers['grpc-status']]).to.deep.equal([200, '4']);
    });

    it('a client that leaves ends the tries', async () => {
      const session = await client.session(service('try-http2'));
      const stream = session.request({ ':path': '/silence/leaves' });
      stream.on('error', () => undefined);
      await eventually('a second try', () =>
        Promise.resolve(origin('one-http2').count('/silence/leaves') === 2),
      );
      stream.destroy();
      await eventually('all tries are left', () =>
        Promise.resolve(
          origin('one-http2')
            .seen.filter(({ path: at }) => at === '/silence/leaves')
            .every(({ left: gone }) => gone),
        ),
      );
      expect(origin('one-http2').count('/silence/leaves')).to.equal(2);
    });

    it('the access log says how many tries', async () => {
      await client.request('http1', service('one-http1'), { path: '/third/log' });
      await eventually('the lines', () =>
        Promise.resolve(
          gateway.log.split('\n').some((line) => line.includes('"/third/log"') && line.includes('"tries":3')),
        ),
      );
    });

    async function left(one: ScriptedOrigin, at: string): Promise<void> {
      await eventually(`${at} is left`, () =>
        Promise.resolve(one.seen.some((request) => request.path === at && request.left)),
      );
    }
  });
}
