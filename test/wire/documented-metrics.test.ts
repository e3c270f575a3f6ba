import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { type Authority, createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { STATS_PAGE, type StatsReport } from '../../src/api/answers/stats-report.ts';
import { failures } from '../../src/proxy/http/failures.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { GatewayProcess, type ServedTarget } from '../support/gateway-process.ts';
import { GRPC_FIELDS } from '../support/grpc.ts';
import { pod } from '../support/listed-clients.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { differences, documentedMetrics, scrapedMetrics } from '../support/metrics-page.ts';
import { grpcOrigin, http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';
import { protobufMetrics } from '../support/protobuf-metrics.ts';
import type { PlainClient } from '../support/plain-client.ts';
import { echoOf } from '../support/raw-echo.ts';
import type { ServiceClient } from '../support/service-client.ts';
import { RUNTIMES } from '../support/runtime-process.ts';

const service = (name: string) => `${name}.demo.svc.cluster.local`;
const EAST = 'serviceaccount.identity.linkerd.east.example';
const GATEWAY = 'gateway.linkerd.serviceaccount.identity.linkerd.west.example';
const WEB = `web.shop.${EAST}`;
const POD = '127.0.0.11';
const STRANGER = '127.0.0.12';
const HTTP_503 = { abort: { status: 503 }, until: new Date(Date.now() + 3_600_000).toISOString() };
const LATE = { delay: '1ms', until: HTTP_503.until };
const RESET = { reset: true, until: HTTP_503.until };

// The page promised dst_service, live bytes and tcp_close_total of endpoints, and a test that raised the
// counters itself was green, while no process had ever shown one of them.
for (const runtime of RUNTIMES)
  describe(`docs/reference/metrics.md against gateway and egress on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-metrics-'));
    const origins: Origin[] = [];
    const processes: (GatewayProcess | EgressProcess)[] = [];
    let issuer: Authority;
    let gateway: GatewayProcess;
    let egress: EgressProcess;
    const clients: (MeshClient | PlainClient)[] = [];

    const meshClient = async (identity: string) => {
      const leaf = await issueLeaf(issuer, { identity });
      const client = new MeshClient({ port: gateway.port, gatewayIdentity: GATEWAY, identity: leaf });
      clients.push(client);
      return client;
    };

    before(async function () {
      issuer = await createIssuer(await createAnchor({}), {});
      const [h1, h2, grpc, raw] = [
        await http1Origin(),
        await http2Origin(),
        await grpcOrigin(),
        await rawOrigin(),
      ];
      origins.push(h1, h2, grpc, raw);
      const closed = [await freePort()];
      const targets: ServedTarget[] = [
        { name: service('one'), ports: [h1.port], protocol: 'http1' },
        { name: service('two'), ports: [h2.port], protocol: 'http2' },
        { name: service('grpc'), ports: [grpc.port], protocol: 'http2' },
        { name: service('raw'), ports: [raw.port], protocol: 'opaque' },
        { name: service('refusing'), ports: closed, protocol: 'http1' },
        { name: service('refusing-raw'), ports: closed, protocol: 'opaque' },
        { name: service('locked'), ports: [h1.port], protocol: 'http1', rules: { allow: ['nobody.east'] } },
        { name: service('locked-raw'), ports: [raw.port], protocol: 'opaque', rules: { allow: ['x.east'] } },
        {
          name: service('limited'),
          ports: [h1.port],
          protocol: 'http1',
          rateLimit: { total: '1/h burst 1' },
        },
        { name: service('late'), ports: [h1.port], protocol: 'http1', faults: [LATE] },
        { name: service('failing'), ports: [h1.port], protocol: 'http1', faults: [HTTP_503] },
        { name: service('resetting'), ports: [h1.port], protocol: 'http1', faults: [RESET] },
        {
          name: service('retried'),
          ports: [grpc.port],
          protocol: 'http2',
          rules: { retry: { grpc: 'unavailable', limit: 1 }, timeout: { request: '5s' } },
        },
        {
          name: service('routes'),
          ports: [h1.port],
          protocol: 'http1',
          rules: {
            profile: {
              routes: [
                { name: 'status', condition: { pathRegex: '/status/.*' }, isRetryable: true },
                { name: 'silence', condition: { pathRegex: '/silence' }, timeout: '50ms' },
              ],
              retryBudget: { retryRatio: 0.1, minRetriesPerSecond: 1, ttl: '10s' },
            },
          },
        },
      ];
      gateway = await GatewayProcess.start({
        runtime,
        dir: path.join(dir, 'gateway'),
        identity: await issueLeaf(issuer, { identity: GATEWAY }),
        targets,
        flags: ['--allow-trust-domain', 'east.example', '--allow-fault-injection'],
      });
      processes.push(gateway);
      // One that cannot be connected to is known to be lost before anybody asks.
      const empty = await GatewayProcess.start({
        runtime,
        dir: path.join(dir, 'north'),
        identity: await issueLeaf(issuer, { identity: GATEWAY }),
        targets: [{ name: service('two'), ports: [], protocol: 'http2' }],
        flags: ['--allow-trust-domain', 'east.example'],
      });
      processes.push(empty);
      const closedToUs = { namespace: 'mine', allowedNamespaces: ['shop'] };
      const own = { addresses: ['127.0.0.1'], port: gateway.port, identity: GATEWAY };
      egress = await EgressProcess.start({
        runtime,
        dir: path.join(dir, 'egress'),
        identity: await issueLeaf(issuer, { identity: `linkspan-egress.linkerd.${EAST}` }),
        gateway: own,
        cluster: 'east',
        pods: { [POD]: [pod('other', 'web')] },
        services: [
          { name: service('one') },
          { name: service('raw'), protocol: 'opaque' },
          { name: service('locked-raw'), protocol: 'opaque' },
          { name: service('limited'), ...closedToUs },
          { name: service('two'), members: { west: own, north: { ...own, port: empty.port } } },
        ],
      });
      processes.unshift(egress);
    });

    after(async () => {
      for (const client of clients) client.close();
      for (const one of processes) await one.kill();
      for (const origin of origins) origin.close();
      rmSync(dir, { recursive: true });
    });

    /** The status of an answer, or that there was none. */
    const status = (client: ServiceClient, kind: 'http1' | 'http2', name: string, at = '/hello') =>
      client.request(kind, service(name), { path: at }).then(
        (answer) => answer.status,
        () => 'none',
      );
    const call = (client: ServiceClient, name: string, at: string) =>
      client.request('http2', service(name), {
        method: 'POST',
        path: at,
        headers: GRPC_FIELDS,
        body: [Buffer.from('message')],
      });
    const echo = (client: ServiceClient, name: string) => echoOf(client.connect(service(name), 80, 'opaque'));

    it('every metric of the page is in a scrape, and every metric of a scrape on the page', async () => {
      const client = await meshClient(WEB);
      const stranger = await meshClient('web.shop.serviceaccount.identity.linkerd.north.example');
      for (const [kind, name, at, expected] of [
        ['http1', 'one', '/hello', 200],
        ['http2', 'one', '/hello', 200],
        ['http2', 'two', '/status/404', 404],
        ['http1', 'refusing', '/hello', 502],
        ['http1', 'locked', '/hello', 403],
        ['http1', 'limited', '/hello', 200],
        ['http1', 'limited', '/hello', 429],
        ['http1', 'late', '/hello', 200],
        ['http1', 'failing', '/hello', 503],
        ['http1', 'resetting', '/hello', 'none'],
        ['http1', 'nobody', '/hello', 404],
        ['http1', 'routes', '/status/503', 503],
        ['http1', 'routes', '/silence', 504],
      ] as const)
        expect(await status(client, kind, name, at), name).to.equal(expected);
      expect(await status(stranger, 'http1', 'one')).to.equal(403);
      expect((await call(client, 'grpc', '/echo')).trailers['grpc-status']).to.equal('0');
      expect((await call(client, 'retried', '/fail/14')).headers['grpc-status']).to.equal('14');
      expect(await echo(client, 'raw')).to.equal('echo');
      for (const name of ['refusing-raw', 'locked-raw']) expect(await echo(client, name)).to.equal('closed');
      const unknown = tls.connect({ host: '127.0.0.1', port: gateway.port, rejectUnauthorized: false });
      unknown.on('error', () => undefined);
      await new Promise((resolve) => unknown.once('close', resolve));
      const pods = [egress.clientAt(POD), egress.clientAt(STRANGER)];
      for (const one of pods) {
        expect(await status(one, 'http1', 'one')).to.equal(200);
        expect(await status(one, 'http1', 'limited')).to.equal(403);
        await eventually('a request was sent to another cluster', async () => {
          expect(await status(one, 'http2', 'two')).to.equal(200);
          return /^outbound_group_moved_total/m.test(await egress.metrics());
        });
        expect(await echo(one, 'raw')).to.equal('echo');
        expect(await echo(one, 'locked-raw')).to.equal('closed');
      }
      client.close();
      const page = documentedMetrics('Gateway', 'Identity');
      await eventually('all connections are counted as closed', async () =>
        [await gateway.metrics(), await egress.metrics()].every((text) => /^tcp_close_total\{/m.test(text)),
      );
      const texts = await Promise.all([gateway.metrics(), egress.metrics()]);
      const messages = await Promise.all([gateway, egress].map(({ admin }) => protobufMetrics(admin)));
      const scraped = scrapedMetrics(...texts, ...messages);
      // In protobuf all is as in the text.
      const natives = page.filter(({ name }) => name !== 'linkspan_response_latency_ms');
      expect(differences(natives, scrapedMetrics(...texts))).to.deep.equal([]);
      expect(differences(page, scrapedMetrics(...messages))).to.deep.equal([]);
      expect(differences(page, scraped)).to.deep.equal([]);
    });

    it('GET /stats says the same of both, and what has happened lately', async () => {
      for (const client of [await meshClient(WEB), egress.clientAt(POD)])
        expect(await status(client, 'http1', 'one')).to.equal(200);
      for (const [one, name] of [
        [gateway, 'gateway'],
        [egress, 'egress'],
      ] as const) {
        const asked = async (query: string) => {
          const answer = await fetch(`http://127.0.0.1:${one.admin}/stats${query}`);
          return STATS_PAGE.read(await answer.json());
        };
        const [all, lately] = [await asked(''), await asked('?window=30m&since=')];
        expect(all).to.include({ process: name, workers: 1 });
        expect(all.windowMs).to.equal(undefined);
        expect(lately).to.include({ complete: false });
        // The process is younger than the window: all is in it.
        const numbers = ({ targets }: StatsReport) =>
          targets.map(({ label, requests, responses, failures, errors, latency }) => ({
            label,
            numbers: [requests, responses, failures, errors],
            timed: latency.counts,
          }));
        expect(numbers(lately)).to.have.deep.members(numbers(all)).and.to.not.have.length(0);
        const sources = lately.flows.map(({ from }) => from && `${from.cluster} ${from.proven}`);
        // Its client without a cluster is no egress of ours.
        expect([...new Set(sources)]).to.have.members(
          name === 'gateway' ? ['east true', undefined] : [undefined],
        );
        expect(lately.points).to.be.an('array');
        const { identity, notAfter = 0, anchorsNotAfter = 0 } = all.certificate ?? {};
        expect(identity).to.equal(name === 'gateway' ? GATEWAY : `linkspan-egress.linkerd.${EAST}`);
        expect(notAfter).to.be.above(all.at);
        expect(anchorsNotAfter).to.be.above(notAfter);
        const trunks = all.gateways.map(({ mode, cluster, connections = 0 }) => [
          mode,
          cluster,
          connections > 0,
        ]);
        if (name === 'gateway') expect(trunks).to.deep.equal([]);
        else expect(trunks).to.deep.include(['streams', 'west', true]);
        expect((await fetch(`http://127.0.0.1:${one.admin}/stats?window=5m`)).status).to.equal(400);
      }
    });

    it('every kind of failure is on the page', () => {
      const said = (which: string) =>
        documentedMetrics('Gateway')
          .filter(({ name }) => name.endsWith(which))
          .map(({ meaning }) => meaning)
          .join();
      for (const which of ['bound_http_errors_total', 'linkspan_failures_total'])
        expect(Object.keys(failures).filter((kind) => !said(which).includes(`\`${kind}\``))).to.deep.equal(
          [],
        );
    });

    /** The numbers of one series. @param labels those that matter, in order */
    const numbersOf = (text: string, labels: string): Record<string, number> =>
      Object.fromEntries(
        [...text.matchAll(/^(tcp_\w+)\{(.*)\} (\d+)$/gm)]
          .filter(([, , said = '']) => said.startsWith(labels))
          .map(([, name = '', said = '', count]) => [
            name + (/errno="[^"]*"/.exec(said)?.[0] ?? ''),
            Number(count),
          ]),
      );

    it('connections to the endpoints of a service are told by service, with bytes while they are open', async () => {
      const client = await meshClient(WEB);
      const socket = await client.connect(service('raw'), 80, 'opaque');
      const of =
        'direction="outbound",peer="dst",authority="raw.demo.svc.cluster.local:80",dst_service="raw",dst_namespace="demo"';
      const before = numbersOf(await gateway.metrics(), of);
      socket.write('12345678');
      await once(socket, 'data');
      const open = numbersOf(await gateway.metrics(), of);
      const change = (name: string, now: Record<string, number>) => (now[name] ?? 0) - (before[name] ?? 0);
      expect(open['tcp_open_connections']).to.equal(1);
      expect([change('tcp_write_bytes_total', open), change('tcp_read_bytes_total', open)]).to.deep.equal([
        8, 8,
      ]);
      socket.end();
      const closed = await eventually('it is counted as closed', async () => {
        const now = numbersOf(await gateway.metrics(), of);
        return change('tcp_close_totalerrno=""', now) === 1 ? now : undefined;
      });
      expect(closed['tcp_open_connections']).to.equal(0);
      expect(change('tcp_write_bytes_total', closed)).to.equal(8);
    });

    it("an egress' clients are told with bytes while they are open, and how they ended", async () => {
      const client = egress.clientAt(POD);
      const socket = await client.connect(service('raw'));
      const of = 'direction="outbound",peer="src"';
      const before = numbersOf(await egress.metrics(), of);
      socket.write('12345678');
      await once(socket, 'data');
      const open = numbersOf(await egress.metrics(), of);
      expect((open['tcp_read_bytes_total'] ?? 0) - (before['tcp_read_bytes_total'] ?? 0)).to.equal(8);
      socket.resetAndDestroy();
      await eventually(
        'its end is told',
        async () => numbersOf(await egress.metrics(), of)['tcp_close_totalerrno="ECONNRESET"'],
      );
    });
  });
