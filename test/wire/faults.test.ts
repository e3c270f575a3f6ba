import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess, type ServedTarget } from '../support/gateway-process.ts';
import { GRPC_FIELDS } from '../support/grpc.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { grpcOrigin, http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';

const named = (name: string) => `${name}.demo.svc.cluster.local`;
const MARK = 'linkspan-injected-fault';
const KINDS = [
  ['http1', 'one'],
  ['http2', 'two'],
  ['http2', 'one'],
  ['http1', 'two'],
] as const;

/**
 * A drill asks what clients do when a service is slow, fails or breaks off. It must do that and nothing else,
 * show that it was it, hurt no endpoint's name, and be over when it is over, even with the person gone who
 * began it.
 */
for (const runtime of RUNTIMES) {
  describe(`Fault injection on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-faults-'));
    const origins: Origin[] = [];
    let own: Identity;
    let gateway: GatewayProcess;
    let client: MeshClient;
    let identity: Identity;
    let ports: Record<'one' | 'two' | 'grpc' | 'raw', number>;

    const until = (ms = 600_000) => new Date(Date.now() + ms).toISOString();
    const rule = (said: object) => ({ until: until(), ...said });
    const targets = (faults: readonly object[] = [], probe: readonly object[] = []): ServedTarget[] => [
      { name: named('one'), ports: [ports.one], protocol: 'http1', faults },
      { name: named('two'), ports: [ports.two], protocol: 'http2', faults },
      { name: named('grpc'), ports: [ports.grpc], protocol: 'http2', faults },
      { name: named('raw'), ports: [ports.raw], protocol: 'opaque', faults },
      { name: named('calm'), ports: [ports.one], protocol: 'http1' },
      { name: named('probe'), ports: [ports.two], protocol: 'http2', faults: probe },
    ];
    /** Makes these the faults; a status of its own, from a service beside, tells when they are. */
    let round = 400;
    async function inject(...faults: object[]): Promise<void> {
      const current = ++round;
      gateway.serve(targets(faults, [rule({ abort: { status: current } })]));
      await eventually(
        'the drill has begun',
        async () => (await client.request('http2', named('probe'), { path: '/hello' })).status === current,
      );
    }
    const ask = (kind: 'http1' | 'http2', name: string, headers: Record<string, string> = {}) =>
      client.request(kind, named(name), { path: '/hello', headers });
    const metric = async (pattern: RegExp) => Number(pattern.exec(await gateway.metrics())?.[1] ?? 0);
    /** Lines of the access log about a service. */
    const accessed = (name: string, from = 0) =>
      gateway.log
        .slice(from)
        .split('\n')
        .filter((line) => line.includes('"msg":"access"') && line.includes(`"target":"${named(name)}:80"`));
    const start = (flags: string[], grace = '0') =>
      GatewayProcess.start({
        runtime,
        dir,
        identity: own,
        targets: targets(),
        flags: ['--access-log', 'all', '--grace', grace, ...flags],
      });
    const clientOf = (of: GatewayProcess) =>
      new MeshClient({ port: of.port, gatewayIdentity: 'gateway.west', identity });

    before(async function () {
      const issuer = await createIssuer(await createAnchor({}), {});
      own = await issueLeaf(issuer, { identity: 'gateway.west' });
      identity = await issueLeaf(issuer, { identity: 'front.east' });
      const made = [
        await http1Origin(),
        await http2Origin(),
        await grpcOrigin(),
        await rawOrigin('hi'),
      ] as const;
      origins.push(...made);
      ports = { one: made[0].port, two: made[1].port, grpc: made[2].port, raw: made[3].port };
      gateway = await start(['--allow-fault-injection']);
      client = clientOf(gateway);
    });

    after(async () => {
      client.close();
      await gateway.kill();
      for (const origin of origins) origin.close();
      rmSync(dir, { recursive: true, force: true });
    });

    for (const [kind, name] of KINDS)
      it(`aborts ${kind} requests for ${name} with a status, and says that it was a drill`, async () => {
        await inject(rule({ abort: { status: 503 } }));
        const before = origins.map((origin) => origin.count());
        const { status, headers, body } = await ask(kind, name);
        expect([status, headers[MARK]]).to.deep.equal([503, 'abort']);
        expect(headers['l5d-proxy-error']).to.match(/injected fault \(abort\)/);
        expect(body.toString()).to.match(/injected fault \(abort\) of a drill that ends at/);
        expect(origins.map((origin) => origin.count())).to.deep.equal(before);
        expect((await ask(kind, 'calm')).status).to.equal(200);
      });

    it('aborts gRPC requests with a gRPC status', async () => {
      await inject(rule({ abort: { grpc: 10 } }));
      const call = { method: 'POST', path: '/echo', body: [Buffer.from('m')] };
      const answer = await client.request('http2', named('grpc'), {
        ...call,
        headers: GRPC_FIELDS,
      });
      expect([answer.status, answer.headers['grpc-status'], answer.headers[MARK]]).to.deep.equal([
        200,
        '10',
        'abort',
      ]);
    });

    for (const [kind, name] of KINDS)
      it(`delays ${kind} requests for ${name}, and marks their responses`, async () => {
        await inject(rule({ delay: '150ms', jitter: '50ms' }));
        const from = performance.now();
        const { status, headers, body } = await ask(kind, name);
        const took = performance.now() - from;
        expect([status, headers[MARK], body.toString()]).to.deep.equal([200, 'delay', 'hello']);
        expect(took).to.be.above(145);
        await eventually('the access log says so', () =>
          accessed(name).some((line) => line.includes('"status":200') && line.includes('"fault":"delay"')),
        );
      });

    it('delays uploads without losing a byte', async () => {
      await inject(rule({ delay: '100ms' }));
      const body = Array.from({ length: 64 }, (_, at) => Buffer.alloc(8192, at));
      for (const [kind, name] of KINDS) {
        const answer = await client.request(kind, named(name), { method: 'POST', path: '/echo', body });
        expect(answer.body.equals(Buffer.concat(body)), `${kind} to ${name}`).to.equal(true);
      }
    });

    it('breaks HTTP/1 connections and HTTP/2 streams, and nothing beside them', async () => {
      await inject(rule({ headers: { 'x-drill': 'yes' }, reset: true }));
      for (const name of ['one', 'two'] as const) {
        const error = await ask('http1', name, { 'x-drill': 'yes' }).catch(
          (one: unknown) => one as NodeJS.ErrnoException,
        );
        expect(error).to.be.instanceOf(Error);
        const session = await client.session(named(name));
        const stream = session.request({ ':path': '/hello', 'x-drill': 'yes' });
        const [failure] = (await once(stream, 'error').catch((one: unknown) => [one])) as [Error];
        expect(failure.message).to.match(/INTERNAL_ERROR/);
        expect(stream.rstCode).to.equal(http2.constants.NGHTTP2_INTERNAL_ERROR);
        expect(session.closed).to.equal(false);
        expect((await ask('http2', name)).status).to.equal(200);
      }
      expect(
        await metric(/linkspan_injected_faults_total\{[^}]*dst_service="one"[^}]*fault="reset"\} (\d+)/),
      ).to.equal(2);
    });

    it('goes by fields: the first rule that a request meets', async () => {
      await inject(
        rule({ headers: { 'x-drill': 'a' }, abort: { status: 500 } }),
        rule({ headers: { 'X-Drill': 'b' }, abort: { status: 501 } }),
      );
      for (const [kind, name] of KINDS) {
        const of = async (value: string) => (await ask(kind, name, { 'x-drill': value })).status;
        expect([await of('a'), await of('b'), await of('c')]).to.deep.equal([500, 501, 200]);
      }
    });

    it('delays and breaks new raw connections', async () => {
      await inject(rule({ delay: '150ms' }));
      const from = performance.now();
      const delayed = await client.connect(named('raw'), 80, 'opaque');
      delayed.write('early');
      let said = '';
      delayed.on('data', (chunk: Buffer) => (said += chunk.toString()));
      await eventually('greeting and echo', () => said === 'hiearly');
      expect(performance.now() - from).to.be.above(145);
      await inject(rule({ reset: true }));
      const broken = await client.connect(named('raw'), 80, 'opaque');
      await once(broken.resume(), 'end');
      delayed.write('still');
      await eventually('the open one lives', () => said === 'hiearlystill');
      delayed.destroy();
    });

    it('ends at once what its client abandons', async () => {
      await inject(rule({ delay: '60s' }));
      const delays = (name: string) =>
        metric(
          new RegExp(
            `linkspan_injected_faults_total\\{[^}]*dst_service="${name}"[^}]*fault="delay"\\} (\\d+)`,
          ),
        );
      const before = [await delays('one'), await delays('two')];
      const log = gateway.log.length;
      const http1 = await client.connect(named('one'), 80, 'http1');
      http1.write('GET /hello HTTP/1.1\r\nhost: x\r\n\r\n');
      const stream = (await client.session(named('two'))).request({ ':path': '/hello' });
      stream.on('error', () => undefined);
      await eventually('both are held', async () => {
        expect([await delays('one'), await delays('two')]).to.deep.equal(before.map((count) => count + 1));
        return true;
      });
      stream.close(http2.constants.NGHTTP2_CANCEL);
      http1.destroy();
      for (const name of ['one', 'two'] as const)
        await eventually(`the request for ${name} is over`, () => accessed(name, log).length === 1);
    });

    it('never counts against an endpoint', async () => {
      await inject(rule({ headers: { 'x-drill': 'yes' }, abort: { status: 503 } }));
      for (let i = 0; i < 50; i++) await ask('http2', 'one', { 'x-drill': 'yes' });
      for (const [kind, name] of KINDS) expect((await ask(kind, name)).status).to.equal(200);
      expect(
        await metric(
          /outbound_http_balancer_endpoints\{endpoint_state="ready"[^}]*parent_name="one"[^}]*\} (\d+)/,
        ),
      ).to.equal(1);
    });

    it('is over when it is over, without anything being written', async () => {
      let end = '';
      // Whoever stands still for so long misses it, and begins another one.
      await eventually('it goes on', async () => {
        end = until(1500);
        await inject({ until: end, abort: { status: 503 } });
        return (await ask('http2', 'one')).status === 503;
      });
      await eventually('the drill is over', async () => (await ask('http2', 'one')).status === 200);
      expect(Date.now()).to.be.at.least(Date.parse(end));
      expect((await ask('http1', 'one')).headers[MARK]).to.equal(undefined);
    });

    it('refuses a drill that ends too late, and keeps what was', async () => {
      await inject(rule({ abort: { status: 502 } }));
      gateway.serve(targets([{ until: until(30 * 3_600_000), abort: { status: 503 } }]));
      await eventually('it says why', () =>
        /services\[0\]\.faults\[0\]\.until: .* is more than 24 h ahead/.test(gateway.log),
      );
      expect((await ask('http2', 'one')).status).to.equal(502);
    });

    it('injects nothing without --allow-fault-injection, and says so', async () => {
      const other = await start([]);
      const calm = clientOf(other);
      try {
        other.serve(targets([rule({ abort: { status: 503 } })]));
        await eventually('it says why', () => other.log.includes('started without --allow-fault-injection'));
        expect((await calm.request('http2', named('one'), { path: '/hello' })).status).to.equal(200);
      } finally {
        calm.close();
        await other.kill();
      }
    });

    it('does not keep a gateway that is to end', async () => {
      const other = await start(['--allow-fault-injection'], '0.5');
      const waiting = clientOf(other);
      try {
        other.serve(targets([rule({ delay: '60s' })]));
        await eventually('the drill has begun', () => other.log.includes('targets loaded'));
        const request = waiting
          .request('http1', named('one'), { path: '/hello' })
          .catch((error: unknown) => error);
        await eventually('it waits', async () => (await other.metrics()).includes('fault="delay"} 1'));
        const from = performance.now();
        other.terminate();
        await other.ended();
        expect(performance.now() - from, 'the delay was waited for').to.be.below(30_000);
        expect(await request).to.be.instanceOf(Error);
      } finally {
        waiting.close();
        await other.kill();
      }
    });
  });
}
