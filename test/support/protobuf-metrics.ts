import { bytesOf, readFields, varintOf } from '../../src/base/protobuf.ts';
import { PROTOBUF_TYPE } from '../../src/telemetry/protobuf-exposition.ts';

const TYPES = ['counter', 'gauge', 'summary', 'untyped', 'histogram'];

/** Families of an answer in Prometheus' protobuf format, one message after the other. */
export function* metricFamilies(bytes: Buffer): Generator<Buffer> {
  let at = 0;
  while (at < bytes.length) {
    let [length, unit] = [0, 1];
    for (let more = true; more; unit *= 128) {
      const byte = bytes[at++] ?? 0;
      length += (byte & 0x7f) * unit;
      more = byte >= 0x80;
    }
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

/** What a process answers in protobuf, as lines of the text format, whose values are left out. */
export async function protobufMetrics(admin: number): Promise<string> {
  const headers = { accept: PROTOBUF_TYPE };
  const answer = await fetch(`http://127.0.0.1:${admin}/metrics`, { headers });
  if (answer.headers.get('content-type') !== PROTOBUF_TYPE) throw new Error('it is not protobuf');
  const bytes = Buffer.from(await answer.arrayBuffer());
  return [...metricFamilies(bytes)].flatMap((family) => [...linesOf(family)]).join('\n');
}

function* linesOf(family: Buffer): Generator<string> {
  let name = '';
  for (const field of readFields(family)) {
    if (field.number === 1) name = bytesOf(field).toString();
    if (field.number === 3) yield `# TYPE ${name} ${TYPES[Number(varintOf(field))] ?? ''}`;
    if (field.number === 4) yield metricLine(name, bytesOf(field));
  }
}

function metricLine(name: string, metric: Buffer): string {
  const labels: string[] = [];
  let suffix = '';
  for (const field of readFields(metric)) {
    if (field.number === 1) {
      const [key = '', value = ''] = [...readFields(bytesOf(field))].map((one) => bytesOf(one).toString());
      labels.push(`${key}="${value}"`);
    }
    if (field.number !== 7) continue;
    suffix = '_count';
    // With bounds: what the text has a label for.
    if ([...readFields(bytesOf(field))].some(({ number }) => number === 3)) labels.push('le="1"');
  }
  return `${name}${suffix}{${labels.join(',')}} 0`;
}
