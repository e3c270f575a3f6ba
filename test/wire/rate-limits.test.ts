import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { GatewayProcess, type ServedTarget } from '../support/gateway-process.ts';
import { GRPC_FIELDS } from '../support/grpc.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { MeshClient } from '../support/mesh-client.ts';
import type { ClientKind, Response } from '../support/service-client.ts';
import { grpcOrigin, http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';

const named = (name: string) => `${name}.demo.svc.cluster.local`;
/** So slow that nothing is earned back while a test runs. */
const FOUR = '1/h burst 4';

/**
 * One cluster's batch job asks a thousand times a second and takes a service down for everybody else's
 * clusters: each client must have its own limit, hear when to come again, and cost the service nothing.
 */
for (const runtime of RUNTIMES) {
  describe(`Rate limits on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-limits-'));
    const origins: Record<'one' | 'two' | 'grpc' | 'raw', Origin | undefined> = {
      one: undefined,
      two: undefined,
      grpc: undefined,
      raw: undefined,
    };
    let gateway: GatewayProcess;
    let greedy: MeshClient;
    let modest: MeshClient;
    let own: Identity;
    let front: Identity;
    const clientOf = (at: number, identity: Identity) =>
      new MeshClient({ port: at, gatewayIdentity: 'gateway.west', identity });
    const port = (of: keyof typeof origins) => origins[of]?.port ?? 0;

    const targets = (perClient: string): ServedTarget[] => [
      { name: named('one'), ports: [port('one')], protocol: 'http1', rateLimit: { perClient } },
      { name: named('two'), ports: [port('two')], protocol: 'http2', rateLimit: { perClient } },
      { name: named('mixed'), ports: [port('two')], protocol: 'http2', rateLimit: { total: perClient } },
      { name: named('grpc'), ports: [port('grpc')], protocol: 'http2', rateLimit: { perClient } },
      { name: named('raw'), ports: [port('raw')], protocol: 'opaque', rateLimit: { total: perClient } },
      {
        name: named('named'),
        ports: [port('one')],
        protocol: 'http1',
        rateLimit: { perClient, clients: { '*.shop.east': '1/h burst 2' } },
      },
      { name: named('back'), ports: [port('one')], protocol: 'http1', rateLimit: { total: '2/s burst 1' } },
      { name: named('free'), ports: [port('one')] },
    ];

    before(async function () {
      const issuer = await createIssuer(await createAnchor({}), {});
      origins.one = await http1Origin();
      origins.two = await http2Origin();
      origins.grpc = await grpcOrigin();
      origins.raw = await rawOrigin('hi');
      const gatewayLeaf = await issueLeaf(issuer, { identity: 'gateway.west' });
      gateway = await GatewayProcess.start({
        runtime,
        dir,
        identity: gatewayLeaf,
        targets: targets(FOUR),
      });
      own = gatewayLeaf;
      front = await issueLeaf(issuer, { identity: 'greedy.shop.east' });
      greedy = clientOf(gateway.port, front);
      modest = clientOf(gateway.port, await issueLeaf(issuer, { identity: 'modest.east' }));
    });

    after(async () => {
      greedy.close();
      modest.close();
      await gateway.kill();
      for (const origin of Object.values(origins)) origin?.close();
      rmSync(dir, { recursive: true, force: true });
    });

    async function ask(
      client: MeshClient,
      kind: ClientKind,
      name: string,
      times: number,
    ): Promise<Response[]> {
      const answers: Response[] = [];
      for (let i = 0; i < times; i++)
        answers.push(
          await client.request(kind, named(name), { path: '/hello', headers: { te: 'trailers' } }),
        );
      return answers;
    }
    const statuses = (answers: readonly Response[]) => answers.map(({ status }) => status);

    for (const [kind, name] of [
      ['http1', 'one'],
      ['http2', 'two'],
    ] as const)
      it(`lets each ${kind} client have its own, and says when to come again`, async () => {
        const before = origins[name]?.count() ?? 0;
        const answers = await ask(greedy, kind, name, 6);
        expect(statuses(answers)).to.deep.equal([200, 200, 200, 200, 429, 429]);
        const last = answers.at(-1);
        expect(Number(last?.headers['retry-after'])).to.be.within(3590, 3600);
        expect(last?.headers['l5d-proxy-error']).to.match(
          /over the rate limit of file\/target\/.* for each client/,
        );
        expect(last?.body.toString()).to.equal(`${String(last?.headers['l5d-proxy-error'])}\n`);
        expect(statuses(await ask(modest, kind, name, 4))).to.deep.equal([200, 200, 200, 200]);
        expect((origins[name]?.count() ?? 0) - before, 'what the service saw').to.equal(8);
      });

    it('counts HTTP/1 and HTTP/2 requests of all clients for one service together', async () => {
      const answers = [
        ...(await ask(greedy, 'http1', 'mixed', 2)),
        ...(await ask(modest, 'http2', 'mixed', 2)),
        ...(await ask(modest, 'http1-upgraded', 'mixed', 1)),
        ...(await ask(greedy, 'http1', 'mixed', 1)),
      ];
      expect(statuses(answers)).to.deep.equal([200, 200, 200, 200, 429, 429]);
    });

    it('tells gRPC clients in their own words', async () => {
      const answers: Response[] = [];
      for (let i = 0; i < 5; i++)
        answers.push(
          await greedy.request('http2', named('grpc'), {
            method: 'POST',
            path: '/echo',
            headers: GRPC_FIELDS,
            body: [Buffer.from('message')],
          }),
        );
      const last = answers.at(-1);
      expect([last?.status, last?.headers['grpc-status']]).to.deep.equal([200, '8']);
      expect(last?.headers['grpc-message']).to.match(/over the rate limit/);
      expect(Number(last?.headers['retry-after'])).to.be.above(0);
      expect(answers[3]?.trailers['grpc-status']).to.equal('0');
    });

    it('refuses new raw connections, and leaves those alone that are open', async () => {
      const open = [];
      for (let i = 0; i < 4; i++) {
        const socket = await greedy.connect(named('raw'), 80, 'opaque');
        await once(socket, 'data');
        open.push(socket);
      }
      const refused = await greedy.connect(named('raw'), 80, 'opaque');
      let said = '';
      refused.on('data', (chunk: Buffer) => (said += chunk.toString()));
      await once(refused, 'end');
      expect(said).to.equal('');
      expect(origins.raw?.count()).to.equal(4);
      for (const socket of open) {
        socket.write('ping');
        expect(String((await once(socket, 'data'))[0])).to.equal('ping');
        socket.destroy();
      }
    });

    it('limits those that are named by what is said for them', async () => {
      expect(statuses(await ask(greedy, 'http2', 'named', 3))).to.deep.equal([200, 200, 429]);
      expect(statuses(await ask(modest, 'http2', 'named', 5))).to.deep.equal([200, 200, 200, 200, 429]);
    });

    it('lets in again who comes when it was told to', async () => {
      const [first, second] = await ask(modest, 'http2', 'back', 2);
      expect([first?.status, second?.status, second?.headers['retry-after']]).to.deep.equal([200, 429, '1']);
      await eventually(
        'it is let in',
        async () => (await ask(modest, 'http2', 'back', 1))[0]?.status === 200,
      );
    });

    it('keeps an HTTP/1 connection for what comes behind a refused request', async () => {
      const socket = await greedy.connect(named('one'), 80, 'http1');
      socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(3));
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      await eventually('three answers', () => text.split('HTTP/1.1 429 ').length === 4);
      expect(text).not.to.include('connection: close');
      socket.destroy();
    });

    it("counts under Linkerd's names", async () => {
      const text = await gateway.metrics();
      expect(text).to.match(
        /inbound_http_local_ratelimit_total\{authority="one\.demo\.svc\.cluster\.local:80",dst_service="one",dst_namespace="demo",[^}]*ratelimit_group="file",ratelimit_kind="target",ratelimit_name="one\.demo\.svc\.cluster\.local:80",ratelimit_scope="identity"\} 5\n/,
      );
      expect(text).to.match(/inbound_http_errors_total\{error="rate limited"\} \d/);
      expect(text).to.include('inbound_tcp_errors_total{error="rate limited"} 1');
      expect(text).to.match(/response_total\{[^}]*authority="one\.demo[^}]*status_code="429"[^}]*\} 5/);
      expect(gateway.log).to.match(/"failure":"rate limited"/);
    });

    it('holds for all workers of a gateway together', async () => {
      const shared = await freePort();
      const several = await GatewayProcess.start({
        runtime,
        dir: mkdtempSync(path.join(dir, 'workers-')),
        identity: own,
        targets: targets(FOUR),
        flags: ['--listen', `127.0.0.1:${shared}`, '--workers', '2'],
      });
      const client = clientOf(shared, front);
      try {
        // Each request has a connection of its own, and the kernel gives it to one of the two.
        await eventually('both have let through their part', async () => {
          await Promise.allSettled(Array.from({ length: 10 }, () => ask(client, 'http1', 'mixed', 1)));
          return /response_total\{[^}]*authority="mixed[^}]*status_code="200"[^}]*\} 4\n/.test(
            await several.metrics(),
          );
        });
        const last = await ask(client, 'http1', 'mixed', 20);
        expect(statuses(last).every((status) => status === 429)).to.equal(true);
        expect(last[0]?.body.toString()).to.include('(1 an hour, 4 at once)');
      } finally {
        client.close();
        several.terminate();
        await several.ended();
      }
    });

    it('follows what is said now, from the next request on', async () => {
      gateway.serve(targets('1/h burst 7'));
      await eventually(
        'the new limit',
        async () => (await ask(greedy, 'http2', 'two', 1))[0]?.status === 200,
      );
      expect(statuses(await ask(greedy, 'http2', 'two', 7))).to.deep.equal([
        200, 200, 200, 200, 200, 200, 429,
      ]);
      gateway.serve([{ name: named('two'), ports: [port('two')], protocol: 'http2' }]);
      await eventually('no limit', async () => (await ask(greedy, 'http2', 'two', 1))[0]?.status === 200);
      expect(statuses(await ask(greedy, 'http2', 'two', 20)).every((status) => status === 200)).to.equal(
        true,
      );
    });
  });
}
