import type { TraceContext } from './trace-context.ts';

/** Base64 of 29 bytes or more, padded or not. */
const BASE64 = /^[A-Za-z0-9+/]{39,}={0,2}$/;
/** Version 0; fields 0 (16 bytes of trace), 1 (8 bytes of span) and 2 (a byte of options), in this order. */
const BYTES = 29;
/** Of their base64, without padding. */
const CHARACTERS = 39;
const VERSION = 0;
const AT = { trace: 1, span: 18, options: 27 } as const;
const SAMPLED = 0x01;

/** Reads OpenCensus' `grpc-trace-bin`; undefined: there is none, or it is malformed. */
export function readGrpcTrace(value: string | undefined): TraceContext | undefined {
  if (value === undefined || !BASE64.test(value)) return undefined;
  const bytes = Buffer.from(value, 'base64');
  if (bytes.length < BYTES || bytes[0] !== VERSION) return undefined;
  if (bytes[AT.trace] !== 0 || bytes[AT.span] !== 1 || bytes[AT.options] !== 2) return undefined;
  const traceId = bytes.toString('hex', AT.trace + 1, AT.span);
  const parentId = bytes.toString('hex', AT.span + 1, AT.options);
  if (/^0+$/.test(traceId) || /^0+$/.test(parentId)) return undefined;
  const options = bytes[AT.options + 1] ?? 0;
  const sampled = (options & SAMPLED) !== 0;
  return { form: 'grpc-trace-bin', traceId, parentId, sampled, debug: false, flags: options };
}

/** A `grpc-trace-bin` of ours, without padding as gRPC sends it. */
export function grpcTrace(traceId: string, spanId: string): string {
  const bytes = Buffer.alloc(BYTES);
  bytes.write(traceId, AT.trace + 1, 'hex');
  bytes[AT.span] = 1;
  bytes.write(spanId, AT.span + 1, 'hex');
  bytes[AT.options] = 2;
  bytes[AT.options + 1] = SAMPLED;
  return bytes.toString('base64').slice(0, CHARACTERS);
}
