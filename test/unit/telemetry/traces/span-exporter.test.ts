import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../../../src/identity/authority/issue.ts';
import { OtlpCollector } from '../../../support/otlp-collector.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { closedIn } from '../../../support/closed-in.ts';
import { eventually } from '../../../support/eventually.ts';
import { freePort } from '../../../support/free-port.ts';
import { systemClock } from '../../../../src/base/clock.ts';
import { bytesField, varintField } from '../../../../src/base/protobuf.ts';
import { readRetryAfter } from '../../../../src/telemetry/traces/otlp-post.ts';
import { otlpSettings, resourceAttributes } from '../../../../src/telemetry/traces/otlp-settings.ts';
import { encodeSpan, type Span, SpanKind } from '../../../../src/telemetry/traces/span.ts';
import { NO_SPANS } from '../../../../src/telemetry/traces/span-counts.ts';
import { SpanExporter } from '../../../../src/telemetry/traces/span-exporter.ts';

const SPAN: Span = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  parentId: 'b7ad6b7169203331',
  remote: true,
  traceState: 'a=1',
  name: 'GET',
  kind: SpanKind.SERVER,
  startMs: 1_790_000_000_000.125,
  endMs: 1_790_000_000_003.5,
  attributes: {
    text: 'größer',
    count: 70_000,
    yes: true,
    no: false,
    absent: undefined,
    long: 'x'.repeat(300),
  },
  error: 'it failed',
};

/** Time in which each wait is as short as a test likes, and of which nothing else is asked. */
const waits: number[] = [];
const hurried = {
  ...systemClock,
  after: (ms: number, fn: () => void) => {
    waits.push(ms);
    return systemClock.after(ms >= 10_000 ? ms : ms / 100, fn, { unref: true });
  },
};

describe('SpanExporter', () => {
  const closed = closedIn(afterEach);
  let collector: OtlpCollector;
  let lines: ReturnType<typeof captureLog>['lines'];

  beforeEach(async () => {
    collector = closed(await OtlpCollector.start(), (one) => one.close());
    waits.length = 0;
  });

  const exporterTo = (endpoint: string, env: Readonly<Record<string, string>> = {}) => {
    const settings = otlpSettings(endpoint, env);
    if (settings === undefined) throw new Error('there is nothing to send to');
    const captured = captureLog();
    lines = captured.lines;
    const resource = { attributes: { 'service.name': 'test' }, version: '1' };
    return new SpanExporter({ settings, resource, clock: hurried, random: () => 0.5, log: captured.log });
  };
  const fill = (exporter: SpanExporter, count: number, span = encodeSpan(SPAN)) => {
    for (let n = 0; n < count; n++) exporter.add(span);
  };
  const counted = (exporter: SpanExporter, counts: Partial<typeof NO_SPANS>) =>
    eventually('it is counted so', () => {
      expect(exporter.counts).to.deep.equal({ ...NO_SPANS, ...counts });
      return true;
    });

  it('sends what a collector can read', async () => {
    const exporter = exporterTo(`${collector.endpoint}/otlp`);
    exporter.add(encodeSpan(SPAN));
    const [received] = await collector.until('it came', (spans) => (spans.length > 0 ? spans : undefined));
    expect(received).to.deep.equal({
      traceId: SPAN.traceId,
      spanId: SPAN.spanId,
      parentId: SPAN.parentId,
      traceState: 'a=1',
      name: 'GET',
      kind: 2,
      startNs: 1_790_000_000_000_125_000n,
      endNs: 1_790_000_000_003_500_000n,
      attributes: { text: 'größer', count: 70_000, yes: true, no: false, long: 'x'.repeat(300) },
      status: 2,
      message: 'it failed',
      flags: 0x301,
      resource: { 'service.name': 'test' },
    });
    expect(collector.requests[0]?.url).to.equal('/otlp/v1/traces');
    expect(collector.requests[0]?.headers['content-type']).to.equal('application/x-protobuf');
    await counted(exporter, { exported: 1 });
  });

  it('sends batches of 512, and drops and counts what is too much while the collector is slow', async () => {
    collector.answer = () => undefined;
    const exporter = exporterTo(collector.endpoint);
    fill(exporter, 5000);
    await counted(exporter, { queue_full: 5000 - 2048 });
    fill(exporter, 10, Buffer.alloc(300_000));
    await counted(exporter, { queue_full: 5000 - 2048 + 10 });
    await exporter.close(50);
    expect(exporter.counts).to.include({ failed: 2048, exported: 0 });
    fill(exporter, 1);
    await counted(exporter, { queue_full: 5000 - 2048 + 10, failed: 2049 });
  });

  it('holds no more than 2 MiB', async () => {
    collector.answer = () => undefined;
    const exporter = exporterTo(collector.endpoint);
    fill(exporter, 100, Buffer.alloc(256 * 1024));
    await counted(exporter, { queue_full: 92 });
    await exporter.close(50);
  });

  it('costs drops and one line of the log where there is no collector, and says when there is one', async () => {
    const port = await freePort();
    const exporter = exporterTo(`http://127.0.0.1:${port}`);
    fill(exporter, 600);
    await counted(exporter, { failed: 512 });
    fill(exporter, 1000);
    await counted(exporter, { failed: 512 + 1024 });
    await exporter.close(1000);
    expect(exporter.counts).to.deep.equal({ ...NO_SPANS, failed: 1600 });
    expect(lines.map(({ msg }) => msg)).to.deep.equal(['spans cannot be exported, they are dropped']);
  });

  for (const status of [429, 502, 503, 504])
    it(`tries again after ${status}, as late as it is asked to`, async () => {
      collector.answer = (nth) => (nth === 1 ? { status, headers: { 'retry-after': '7' } } : { status: 200 });
      const exporter = exporterTo(collector.endpoint);
      fill(exporter, 512);
      await counted(exporter, { exported: 512 });
      expect(waits).to.include(7000);
      expect(collector.spans).to.have.length(512);
    });

  it('waits for an answer no longer than it is told to, and sends the batch again', async () => {
    collector.answer = (nth) => (nth === 1 ? undefined : { status: 200 });
    const exporter = exporterTo(collector.endpoint, { OTEL_EXPORTER_OTLP_TIMEOUT: '9000' });
    fill(exporter, 512);
    await counted(exporter, { exported: 512 });
    expect(waits).to.include(9000);
    expect(collector.requests).to.have.length(2);
  });

  it('waits a minute at most, and gives a batch up after five tries', async () => {
    collector.answer = (nth) => ({ status: 503, headers: { 'retry-after': nth === 1 ? '2' : '0' } });
    const exporter = exporterTo(collector.endpoint);
    fill(exporter, 512);
    await counted(exporter, { failed: 512 });
    expect(collector.requests).to.have.length(5);
    // Delays of 1, 2, 4 and 8 s, less a quarter.
    expect(waits.filter((ms) => ms < 10_000)).to.deep.equal([5000, 2000, 1500, 3000, 6000]);
    collector.answer = () => ({ status: 503, headers: { 'retry-after': '86400' } });
    fill(exporter, 512);
    await eventually('it waits', () => waits.includes(60_000));
    await exporter.close(1000);
    expect(exporter.counts).to.deep.equal({ ...NO_SPANS, failed: 1024 });
  });

  it('gives up at once what will not be better', async () => {
    collector.answer = () => ({ status: 400 });
    const exporter = exporterTo(collector.endpoint);
    fill(exporter, 512);
    await counted(exporter, { failed: 512 });
    expect(collector.requests).to.have.length(1);
    collector.answer = () => ({ status: 200 });
    fill(exporter, 512);
    await counted(exporter, { failed: 512, exported: 512 });
    expect(lines.map(({ msg }) => msg)).to.deep.equal([
      'spans cannot be exported, they are dropped',
      'spans are exported again',
    ]);
  });

  it('counts what the collector has not taken, and says so once', async () => {
    const partial = Buffer.concat([varintField(1, 12n), bytesField(2, 'too old')]);
    collector.answer = () => ({ status: 200, body: bytesField(1, partial) });
    const exporter = exporterTo(collector.endpoint);
    fill(exporter, 512);
    await counted(exporter, { exported: 500, rejected: 12 });
    collector.answer = () => ({ status: 200, body: Buffer.from('<html>') });
    fill(exporter, 512);
    await counted(exporter, { exported: 1012, rejected: 12 });
    expect(lines.map(({ reason }) => reason)).to.deep.equal(['too old']);
  });

  it('sends what waits when it is closed, in the time that it has', async () => {
    const exporter = exporterTo(collector.endpoint, { OTEL_BSP_SCHEDULE_DELAY: '9999999' });
    fill(exporter, 700);
    await exporter.close(10_000);
    expect(collector.spans).to.have.length(700);
    expect(exporter.counts).to.deep.equal({ ...NO_SPANS, exported: 700 });
  });

  it('trusts whom a file names, and nobody else, over TLS', async () => {
    const leaf = await issueLeaf(await createIssuer(await createAnchor({}), {}), { identity: 'localhost' });
    const secure = closed(await OtlpCollector.start(leaf), (one) => one.close());
    const dir = closed(mkdtempSync(path.join(tmpdir(), 'linkspan-otlp-')), (one) =>
      rmSync(one, { recursive: true }),
    );
    const file = path.join(dir, 'ca.pem');
    writeFileSync(file, leaf.ca);
    const exporter = exporterTo(secure.endpoint, { OTEL_EXPORTER_OTLP_CERTIFICATE: file });
    fill(exporter, 1);
    await exporter.close(10_000);
    expect(exporter.counts).to.include({ exported: 1 });
    const distrustful = exporterTo(secure.endpoint);
    fill(distrustful, 1);
    await distrustful.close(10_000);
    expect(distrustful.counts).to.include({ exported: 0, failed: 1 });
  });
});

describe('settings of traces', () => {
  const cases: Readonly<
    Record<string, readonly [endpoint: string | undefined, env: Record<string, string>, url: unknown]>
  > = {
    nothing: [undefined, {}, undefined],
    'an empty one': [undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: '' }, undefined],
    'the environment': [
      undefined,
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://a:4318/' },
      'http://a:4318/v1/traces',
    ],
    'that of traces, as it is': [
      undefined,
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://a', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://b/x' },
      'https://b/x',
    ],
    'the flag first': [
      'http://c/base',
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://b' },
      'http://c/base/v1/traces',
    ],
    'off by the environment': ['http://c', { OTEL_SDK_DISABLED: 'TRUE' }, undefined],
  };
  for (const [what, [endpoint, env, url]] of Object.entries(cases))
    it(`say where to send spans: ${what}`, () => {
      expect(otlpSettings(endpoint, env)?.url.href).to.equal(url);
    });

  it('are those of the environment', () => {
    const settings = otlpSettings('http://a', {
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20x%3D, x-b = 2,',
      OTEL_EXPORTER_OTLP_TIMEOUT: '250',
      OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: '300',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
      OTEL_EXPORTER_OTLP_CERTIFICATE: '/etc/ca.pem',
    });
    expect(settings).to.deep.include({
      headers: { authorization: 'Bearer x=', 'x-b': '2' },
      timeoutMs: 300,
      gzip: true,
      files: { ca: '/etc/ca.pem', cert: undefined, key: undefined },
    });
    expect(
      resourceAttributes({ OTEL_RESOURCE_ATTRIBUTES: 'a=b%2Cc,empty=', OTEL_SERVICE_NAME: 'x' }),
    ).to.deep.equal({
      a: 'b,c',
      'service.name': 'x',
    });
  });

  const wrong: readonly (readonly [name: string, value: string])[] = [
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
    ['OTEL_EXPORTER_OTLP_COMPRESSION', 'zstd'],
    ['OTEL_EXPORTER_OTLP_TIMEOUT', '10s'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'authorization Bearer-s3cret'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'authorization=s3cret%0d%0ax: y'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'a=s3cret%'],
    ['OTEL_BSP_SCHEDULE_DELAY', '-1'],
  ];
  for (const [name, value] of wrong)
    it(`refuse ${name}=${value}, and tell no secret`, () => {
      const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://a', [name]: value };
      expect(() => otlpSettings(undefined, env))
        .to.throw(name)
        .and.to.have.property('code', 'CONFIG_INVALID');
      expect(() => otlpSettings(undefined, env)).not.to.throw(/s3cret/);
    });

  it('read a Retry-After of seconds and of dates', () => {
    const now = Date.UTC(2026, 0, 1);
    expect(readRetryAfter('120', now)).to.equal(120_000);
    expect(readRetryAfter('Thu, 01 Jan 2026 00:00:30 GMT', now)).to.equal(30_000);
    expect(readRetryAfter('Wed, 31 Dec 2025 00:00:30 GMT', now)).to.equal(0);
    expect([readRetryAfter('soon', now), readRetryAfter(undefined, now)]).to.deep.equal([
      undefined,
      undefined,
    ]);
  });
});
