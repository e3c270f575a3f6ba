import { expect } from 'chai';
import { readFields } from '../../../src/base/protobuf.ts';
import { Exposition, type MetricFamily } from '../../../src/telemetry/exposition.ts';
import { PROTOBUF_TYPE } from '../../../src/telemetry/protobuf-exposition.ts';
import { AdminPages } from '../../../src/telemetry/admin-pages.ts';
import { metricFamilies } from '../../support/protobuf-metrics.ts';
import { Counter, Histogram, Registry } from '../../../src/telemetry/registry.ts';

const hex = (out: Exposition) => Buffer.concat([...out.pieces().protobuf()]).toString('hex');
const text = (value: string) => Buffer.from(value).toString('hex');
const family = (type: MetricFamily['type'], ...labels: string[]): MetricFamily => ({
  name: 'ab',
  help: 'c',
  type,
  labels,
});

const NATIVE = { schema: 3, offset: 0, counts: [1], sum: 17 };

describe("Prometheus' protobuf format", () => {
  // By hand, by client_model's metrics.proto: tags are field * 8 + wire type.
  it('has a counter and a gauge as their messages are', () => {
    const out = new Exposition();
    out.write(family('counter', 'x', 'y'), [[{ x: 'é', z: 1 }, 2]]);
    out.write(family('gauge'), [[{}, -0.5]]);
    out.write(family('gauge'), []);
    const label = `0a070a01${text('x')}1202${text('é')}`;
    const counter = `1a09090000000000000040`;
    const gauge = `120909000000000000e0bf`;
    expect(hex(out)).to.equal(
      [
        `1f0a02${text('ab')}1201${text('c')}18002214${label}${counter}`,
        `160a02${text('ab')}1201${text('c')}1801220b${gauge}`,
      ].join(''),
    );
  });

  it('has a histogram with bounds, and a native one, which is not in the text', () => {
    const out = new Exposition();
    out.writeHistogram(family('histogram', 'le'), [1], [[{}, { buckets: [2, 1], sum: 4 }]]);
    const bounded = out.text;
    out.writeNative(family('histogram'), [[{}, { schema: 3, offset: -2, counts: [1, 0, 300], sum: 4 }]]);
    expect(out.text).to.equal(bounded);
    const double = (value: number) => {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(value);
      return bytes.toString('hex');
    };
    const native = [
      `08ad02`,
      `11${double(4)}`,
      // schema 3, zero threshold and count.
      `2806`,
      `31${double(2 ** -128)}`,
      `3800`,
      // A span: offset -2, length 3; deltas 1, -1, 300.
      `620408031003`,
      `6802`,
      `6801`,
      `68d804`,
    ].join('');
    const classic = [
      `0803`,
      `11${double(4)}`,
      `1a0b080211${double(1)}`,
      `1a0b080311${double(Number.POSITIVE_INFINITY)}`,
    ].join('');
    const length = (bytes: string) => (bytes.length / 2).toString(16).padStart(2, '0');
    const metric = (bytes: string) => {
      const histogram = `3a${length(bytes)}${bytes}`;
      return `22${length(histogram)}${histogram}`;
    };
    const messages = [classic, native].map((bytes) => {
      const message = `0a02${text('ab')}1201${text('c')}1804${metric(bytes)}`;
      return `${length(message)}${message}`;
    });
    expect(hex(out)).to.equal(messages.join(''));
  });

  it('has exemplars: of bounds the newest of each bucket, of a native histogram all', () => {
    const out = new Exposition();
    const of = (trace: string, value: number, at: number) => ({ labels: { trace_id: trace }, value, at });
    const exemplars = [of('b', 1.5, 2001), of('a', 0.5, 1000), of('c', 7, 1000), of('d', 8, 0)];
    const samples = [[{}, { buckets: [1, 1, 2], sum: 17, exemplars }]] as const;
    out.writeHistogram(family('histogram', 'le'), [1, 2], samples);
    out.writeNative(family('histogram'), [[{}, { ...NATIVE, exemplars: exemplars.slice(0, 1) }]]);
    const double = (value: number) => {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(value);
      return bytes.toString('hex');
    };
    const label = (value: string) => `0a0d0a08${text('trace_id')}1201${text(value)}`;
    const [b, a, c] = [
      // 2 s and 1,000,000 ns.
      `${label('b')}11${double(1.5)}1a06080210c0843d`,
      `${label('a')}11${double(0.5)}1a0408011000`,
      `${label('c')}11${double(7)}1a0408011000`,
    ];
    const bytes = hex(out);
    expect(bytes).to.include(`1a2b080111${double(1)}1a1e${a}`);
    expect(bytes).to.include(`1a2d080211${double(2)}1a20${b}`);
    expect(bytes).to.include(`1a2b080411${double(Infinity)}1a1e${c}`);
    expect(bytes.endsWith(`820120${b}`)).to.equal(true);
    expect(out.text).not.to.include('trace_id');
  });

  it('has prom-client’s metrics too, is made in pieces, and is given to whoever asks for it', async () => {
    const registry = new Registry();
    const registers = [registry];
    new Counter({ name: 'one_total', help: 'One.', labelNames: ['a'], registers }).inc({ a: 'b' }, 3);
    const times = new Histogram({ name: 'times', help: 'Times.', buckets: [1, 2], registers });
    for (const time of [0.5, 1.5, 9]) times.observe(time);
    let made = 0;
    registry.addText(() => {
      const out = new Exposition();
      const many = function* (): Generator<readonly [{ nth: number }, number]> {
        for (let nth = 0; nth < 20_000; nth++) {
          made++;
          yield [{ nth }, nth];
        }
      };
      out.write({ name: 'many', type: 'gauge', labels: ['nth'], help: 'Many.' }, many());
      return out.pieces();
    });
    registry.addText(() => '# text alone is in the text alone\n');
    const pieces = (await registry.readProtobuf())[Symbol.iterator]();
    // One for each of prom-client's two, in its head and the rest, and the first of ours.
    for (let taken = 0; taken < 5; taken++) pieces.next();
    expect(made).to.be.within(1, 10_000);

    const pages = new AdminPages({ registry, ready: () => ({ ok: true, reason: '' }) });
    const ask = async (accept?: string) => {
      const request = { method: 'GET', path: '/metrics', acceptEncoding: '', local: true, body: '' };
      const rest = { header: () => undefined, onClose: () => undefined };
      const { headers, body } = await pages.answer({ ...request, ...rest, accept });
      const chunks: Buffer[] = [];
      for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk);
      return { type: headers['content-type'], bytes: Buffer.concat(chunks) };
    };
    // Prometheus 2.42 and 3.
    for (const accept of [
      'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
      PROTOBUF_TYPE,
    ]) {
      const { type, bytes } = await ask(accept);
      expect(type).to.equal(PROTOBUF_TYPE);
      expect([...families(bytes)]).to.deep.equal([
        ['one_total', 1],
        ['times', 1],
        ['many', 20_000],
      ]);
    }
    for (const accept of [undefined, '*/*', 'text/plain', `text/plain,${PROTOBUF_TYPE};q=0.1`])
      expect((await ask(accept)).bytes.toString()).to.match(/^# HELP one_total[^]*text alone/);
  });
});

/** Names of families, and how many metrics each has. */
function* families(bytes: Buffer): Generator<[string, number]> {
  for (const family of metricFamilies(bytes)) {
    const fields = [...readFields(family)];
    const name = fields.find(({ number }) => number === 1)?.bytes?.toString() ?? '';
    yield [name, fields.filter(({ number }) => number === 4).length];
  }
}
