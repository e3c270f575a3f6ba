import { ProtobufWriter } from '../../base/protobuf.ts';

/** OTLP's `Span.SpanKind`. */
export const SpanKind = { SERVER: 2, CLIENT: 3 } as const;

export type AttributeValue = string | number | boolean | undefined;

/** Names as OpenTelemetry's semantic conventions have them; one that is undefined is left out. */
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** A span that has ended. */
export interface Span {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits, as that of the parent. */
  readonly spanId: string;
  /** Undefined: it begins the trace. */
  readonly parentId: string | undefined;
  /** Whether the parent is of another process. */
  readonly remote: boolean;
  /** As it came; empty: none. */
  readonly traceState: string;
  readonly name: string;
  readonly kind: (typeof SpanKind)[keyof typeof SpanKind];
  /** Milliseconds since the epoch, with their parts. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  /** Why it failed; undefined: it did not, or that is not for us to say. */
  readonly error: string | undefined;
}

/** Bits of OTLP's `Span.flags`: sampled, it is known whether the parent is remote, it is. */
const SAMPLED = 0x01;
const REMOTE_KNOWN = 0x100;
const REMOTE = 0x200;
const STATUS_ERROR = 2;

const writer = new ProtobufWriter();

/** A span as OTLP's `Span`. */
export function encodeSpan(span: Span): Buffer {
  const { traceId, spanId, parentId, traceState, name, kind, startMs, endMs, attributes, error } = span;
  writer.bytes(1, Buffer.from(traceId, 'hex'));
  writer.bytes(2, Buffer.from(spanId, 'hex'));
  if (traceState !== '') writer.string(3, traceState);
  if (parentId !== undefined) writer.bytes(4, Buffer.from(parentId, 'hex'));
  writer.string(5, name);
  writer.uint(6, kind);
  writer.fixed64(7, nanoseconds(startMs));
  writer.fixed64(8, nanoseconds(Math.max(startMs, endMs)));
  writeAttributes(writer, 9, attributes);
  if (error !== undefined)
    writer.message(15, () => {
      writer.string(2, error);
      writer.uint(3, STATUS_ERROR);
    });
  writer.fixed32(16, SAMPLED | REMOTE_KNOWN | (span.remote ? REMOTE : 0));
  return writer.take();
}

/** Writes attributes as repeated `KeyValue`. */
export function writeAttributes(to: ProtobufWriter, field: number, attributes: Attributes): void {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined) continue;
    to.message(field, () => {
      to.string(1, key);
      to.message(2, () => {
        if (typeof value === 'string') to.string(1, value);
        else if (typeof value === 'boolean') to.uint(2, Number(value));
        else to.uint(3, value);
      });
    });
  }
}

function nanoseconds(ms: number): bigint {
  const whole = Math.floor(ms);
  return BigInt(whole) * 1_000_000n + BigInt(Math.floor((ms - whole) * 1_000_000));
}
