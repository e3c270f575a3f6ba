import { bytesOf, ProtobufWriter, readFields, varintOf } from '../../base/protobuf.ts';
import { type Attributes, writeAttributes } from './span.ts';

/** The version of OpenTelemetry's semantic conventions that names of attributes are of. */
export const SCHEMA_URL = 'https://opentelemetry.io/schemas/1.45.0';

/** Whose spans are exported. */
export interface TraceResource {
  readonly attributes: Attributes;
  readonly version: string;
}

/**
 * A batch as OTLP's `ExportTraceServiceRequest`.
 * @param spans as `encodeSpan` makes them
 */
export function exportRequest({ attributes, version }: TraceResource, spans: readonly Uint8Array[]): Buffer {
  const to = new ProtobufWriter();
  to.message(1, () => {
    to.message(1, () => writeAttributes(to, 1, attributes));
    to.message(2, () => {
      to.message(1, () => {
        to.string(1, 'linkspan');
        to.string(2, version);
      });
      for (const span of spans) to.bytes(2, span);
      to.string(3, SCHEMA_URL);
    });
    to.string(3, SCHEMA_URL);
  });
  return to.take();
}

/** What a collector has not taken of a batch that it has answered with 200. */
export interface PartialSuccess {
  readonly rejected: number;
  readonly message: string;
}

/**
 * Reads an `ExportTraceServiceResponse`; undefined: all spans were taken.
 * @throws ProtobufError
 */
export function readExportResponse(bytes: Buffer): PartialSuccess | undefined {
  let found: PartialSuccess | undefined;
  for (const field of readFields(bytes)) if (field.number === 1) found = readPartial(bytesOf(field));
  return found === undefined || (found.rejected === 0 && found.message === '') ? undefined : found;
}

function readPartial(bytes: Buffer): PartialSuccess {
  let [rejected, message] = [0, ''];
  for (const field of readFields(bytes)) {
    if (field.number === 1) rejected = Number(BigInt.asIntN(64, varintOf(field)));
    if (field.number === 2) message = bytesOf(field).toString('utf8');
  }
  return { rejected, message };
}
