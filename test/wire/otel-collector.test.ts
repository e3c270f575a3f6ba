import { expect } from 'chai';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { closedIn } from '../support/closed-in.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { http1Origin } from '../support/origins.ts';
import { Prometheus } from '../support/prometheus.ts';
import { binaries } from '../testbed/binaries.ts';

const WEB = 'web.demo.svc.cluster.local';
const GONE = 'gone.demo.svc.cluster.local';
const GATEWAY = 'gateway.linkerd.serviceaccount.identity.linkerd.west.example';
const EGRESS = 'egress.linkspan.serviceaccount.identity.linkerd.west.example';
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';

/** OpenTelemetry's own collector, which prints what it takes. */
class RealCollector {
  readonly endpoint: string;
  readonly #child: ChildProcess;
  #said = '';

  constructor(dir: string, port: number) {
    this.endpoint = `http://127.0.0.1:${port}`;
    const config = path.join(dir, 'collector.json');
    // JSON is YAML.
    const settings = {
      receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
      exporters: { debug: { verbosity: 'detailed' } },
      service: {
        telemetry: { metrics: { level: 'none' } },
        pipelines: { traces: { receivers: ['otlp'], exporters: ['debug'] } },
      },
    };
    writeFileSync(config, JSON.stringify(settings));
    this.#child = spawn(binaries(['otel-collector'])['otel-collector'], ['--config', config]);
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.#said += chunk.toString()));
  }

  get said(): string {
    return this.#said;
  }

  /** Spans as it prints them: what is left of the colon, and right of it. */
  get spans(): Readonly<Record<string, string>>[] {
    return this.#said
      .split(/^Span #\d+$/m)
      .slice(1)
      .map((text) =>
        Object.fromEntries(
          [...text.matchAll(/^ +(?:-> )?(\S[^:\n]*?) *: (.*)$/gm)].map(([, name = '', value = '']) => [
            name,
            value,
          ]),
        ),
      );
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'close');
  }
}

// Our own stub decodes what our own encoder makes; only somebody else's code can say that it is OTLP.
describe("OpenTelemetry's collector", () => {
  const closed = closedIn(after);
  let collector: RealCollector;
  let egress: EgressProcess;
  let gateway: GatewayProcess;
  let dir: string;

  before(async () => {
    dir = closed(mkdtempSync(path.join(tmpdir(), 'linkspan-collector-')), (one) =>
      rmSync(one, { recursive: true }),
    );
    collector = closed(new RealCollector(dir, await freePort()), (one) => one.close());
    await eventually('the collector listens', () => collector.said.includes('Everything is ready'));
    const issuer = await createIssuer(await createAnchor({}), {});
    const origin = closed(await http1Origin(), (one) => one.close());
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
      OTEL_BSP_SCHEDULE_DELAY: '20',
      OTEL_RESOURCE_ATTRIBUTES: 'k8s.cluster.name=west',
    };
    gateway = closed(
      await GatewayProcess.start({
        runtime: 'node',
        dir: mkdtempSync(path.join(dir, 'gateway-')),
        identity: await issueLeaf(issuer, { identity: GATEWAY }),
        targets: [
          { name: WEB, ports: [origin.port], protocol: 'http1' },
          { name: GONE, ports: [await freePort()], protocol: 'http1' },
        ],
        env,
      }),
      (one) => one.kill(),
    );
    egress = closed(
      await EgressProcess.start({
        runtime: 'node',
        dir: mkdtempSync(path.join(dir, 'egress-')),
        identity: await issueLeaf(issuer, { identity: EGRESS }),
        gateway: { addresses: ['127.0.0.1'], port: gateway.port, identity: GATEWAY },
        services: [{ name: WEB }, { name: GONE }],
        env,
      }),
      (one) => one.kill(),
    );
  });

  const treeOf = (trace: string) =>
    eventually(`four spans of ${trace}`, () => {
      const found = collector.spans.filter((span) => span['Trace ID'] === trace);
      return found.length >= 4 ? found : undefined;
    });
  const ask = (name: string, trace: string) =>
    egress.client.request('http1', name, {
      path: '/hello?secret=1',
      headers: { traceparent: `00-${trace}-${PARENT}-01`, tracestate: 'a=1' },
    });

  it('takes our spans and shows the tree that we meant', async () => {
    await ask(WEB, TRACE);
    const spans = await treeOf(TRACE);
    const kinds: unknown[] = [];
    for (let parent: string | undefined = PARENT; parent !== undefined; ) {
      const span = spans.find((one) => one['Parent ID'] === parent);
      if (span !== undefined) kinds.push([span['Kind'], span['Name'], span['Status code']]);
      parent = span?.['ID'];
    }
    expect(kinds).to.deep.equal([
      ['Server', 'GET', 'Unset'],
      ['Client', 'GET', 'Unset'],
      ['Server', 'GET', 'Unset'],
      ['Client', 'GET', 'Unset'],
    ]);
    for (const span of spans) {
      expect(span).to.include({
        'url.path': 'Str(/hello)',
        'http.response.status_code': 'Int(200)',
        TraceState: 'a=1',
      });
      const [start = Number.NaN, end = Number.NaN] = ['Start time', 'End time'].map((name) =>
        Date.parse(span[name]?.replace(' +0000 UTC', 'Z') ?? ''),
      );
      expect(end).to.be.at.least(start);
      expect(Math.abs(Date.now() - end)).to.be.below(3_600_000);
    }
    expect(collector.said).to.include('-> service.name: Str(linkspan-gateway)');
    expect(collector.said).to.include('-> k8s.cluster.name: Str(west)');
    expect(collector.said).to.include('schemas/1.45.0');
    expect(collector.said).not.to.include('secret');
  });

  it('shows where a request has failed', async () => {
    const trace = TRACE.replace('4bf9', 'fa11');
    await ask(GONE, trace);
    const spans = await treeOf(trace);
    const failed = spans.filter((span) => span['Status code'] === 'Error');
    expect(failed.length).to.be.at.least(4);
    expect(failed.some((span) => span['error.type'] === 'Str(connection failed)')).to.equal(true);
  });

  it('has the traces that a Prometheus finds as exemplars of latencies', async () => {
    const folder = path.join(dir, 'prometheus');
    mkdirSync(folder);
    const scraped = [
      { port: gateway.admin, component: 'gateway', pod: 'one' },
      { port: egress.admin, component: 'egress', pod: 'two' },
    ];
    // Only with native histograms does it ask for protobuf.
    const features = ['exemplar-storage', 'native-histograms'];
    const prometheus = closed(await Prometheus.start(folder, 'linkspan', scraped, features), (one) =>
      one.stop(),
    );
    for (const [component, status, trace] of [
      ['gateway', 200, TRACE.replace('4bf9', '900d')],
      ['egress', 200, TRACE.replace('4bf9', 'e900')],
      ['gateway', 502, TRACE.replace('4bf9', 'bad0')],
    ] as const) {
      await ask(status === 200 ? WEB : GONE, trace);
      const series = `response_latency_ms_bucket{component="${component}",status_code="${status}"}`;
      const found = await eventually(`${series} has it`, async () =>
        (await prometheus.exemplars(series)).find(({ labels }) => labels['trace_id'] === trace),
      );
      const span = (await treeOf(trace)).find((one) => one['ID'] === found.labels['span_id']);
      expect(span?.['Kind']).to.equal('Server');
      expect(Math.abs(found.timestamp - Date.now() / 1000)).to.be.below(3600);
    }
    expect(await prometheus.query('histogram_count(linkspan_response_latency_ms)')).not.to.deep.equal([]);
  });

  it('has lost nothing', async () => {
    expect(await egress.metrics()).to.match(/linkspan_spans_total\{result="exported"\} [1-9]/);
    for (const result of ['failed', 'rejected', 'queue_full', 'capped'])
      expect(await egress.metrics()).to.include(`linkspan_spans_total{result="${result}"} 0`);
  });

  it('costs nothing but spans once it is gone', async () => {
    await collector.close();
    for (let nth = 0; nth < 20; nth++) {
      const { status } = await ask(WEB, TRACE.replace('4bf9', `dea${(nth % 10).toString()}`));
      expect(status).to.equal(200);
    }
    const ended = [egress, gateway].map((one) => {
      one.terminate();
      return one.ended();
    });
    expect(await Promise.all(ended)).to.deep.equal([0, 0]);
    for (const { log } of [egress, gateway])
      expect(log.split('spans cannot be exported, they are dropped')).to.have.length(2);
  });
});
