import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { eventually } from './eventually.ts';

/** A span as a collector has it. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly traceState: string;
  readonly name: string;
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** Code of the status; 2: an error. */
  readonly status: number;
  readonly message: string;
  readonly flags: number;
  /** Of its resource. */
  readonly resource: Readonly<Record<string, string | number | boolean>>;
}

/** How a stub answers a batch. */
export interface StubAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/**
 * A stub of a collector: takes OTLP over HTTP and decodes it by itself, by the field numbers of
 * opentelemetry-proto, so that a mistake of our encoder is not made a second time.
 */
export class OtlpCollector {
  readonly spans: ReceivedSpan[] = [];
  /** Fields of the requests that came. */
  readonly requests: { readonly url: string | undefined; readonly headers: http.IncomingHttpHeaders }[] = [];
  /** What it answers; undefined: nothing, for ever. */
  answer: (nth: number) => StubAnswer | undefined = () => ({ status: 200 });
  readonly #server: http.Server;
  readonly #at: string;

  private constructor(server: http.Server, at: string) {
    this.#server = server;
    this.#at = at;
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { url, headers } = request;
        this.requests.push({ url, headers });
        const answer = this.answer(this.requests.length);
        if (answer === undefined) return;
        const sent = Buffer.concat(chunks);
        const body = headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
        if (answer.status === 200) this.spans.push(...decodeExport(body));
        response.writeHead(answer.status, answer.headers).end(answer.body);
      });
    });
  }

  /** @param tls its certificate, for `localhost`; default: it is spoken to without TLS */
  static async start(tls?: https.ServerOptions): Promise<OtlpCollector> {
    const server = tls === undefined ? http.createServer() : https.createServer(tls);
    const stub = new OtlpCollector(server, tls === undefined ? 'http://127.0.0.1' : 'https://localhost');
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return stub;
  }

  get endpoint(): string {
    return `${this.#at}:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Waits for spans that `found` makes of all that came. */
  until<T>(what: string, found: (spans: readonly ReceivedSpan[]) => T): Promise<NonNullable<T>> {
    return eventually(what, () => found(this.spans));
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

type Value = bigint | Buffer;
/** The fields of a message, by number. */
type Message = ReadonlyMap<number, readonly Value[]>;

function decode(bytes: Buffer): Message {
  const fields = new Map<number, Value[]>();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 63n) throw new Error('a varint is cut short or too long');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const [number, type] = [tag >> 3, tag & 7];
    let value: Value;
    if (type === 0) value = varint();
    else if (type === 1) value = bytes.readBigUInt64LE((at += 8) - 8);
    else if (type === 5) value = BigInt(bytes.readUInt32LE((at += 4) - 4));
    else if (type === 2) {
      const length = Number(varint());
      if (at + length > bytes.length) throw new Error(`field ${number} is cut short`);
      value = bytes.subarray(at, (at += length));
    } else throw new Error(`wire type ${type} of field ${number}`);
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}

const bytesAt = (message: Message, number: number) => (message.get(number) ?? []) as readonly Buffer[];
const messagesAt = (message: Message, number: number) => bytesAt(message, number).map(decode);
const textAt = (message: Message, number: number) => bytesAt(message, number)[0]?.toString('utf8') ?? '';
const hexAt = (message: Message, number: number) => bytesAt(message, number)[0]?.toString('hex') ?? '';
const numberAt = (message: Message, number: number) => (message.get(number)?.[0] ?? 0n) as bigint;

function attributesAt(message: Message, number: number): Record<string, string | number | boolean> {
  return Object.fromEntries(
    messagesAt(message, number).map((pair) => {
      const [value = new Map() as Message] = messagesAt(pair, 2);
      if (value.has(1)) return [textAt(pair, 1), textAt(value, 1)];
      if (value.has(2)) return [textAt(pair, 1), numberAt(value, 2) === 1n];
      return [textAt(pair, 1), Number(numberAt(value, 3))];
    }),
  );
}

/** The spans of an `ExportTraceServiceRequest`. */
export function decodeExport(bytes: Buffer): ReceivedSpan[] {
  return messagesAt(decode(bytes), 1).flatMap((ofResource) => {
    const resource = messagesAt(ofResource, 1).map((one) => attributesAt(one, 1))[0] ?? {};
    return messagesAt(ofResource, 2).flatMap((ofScope) =>
      messagesAt(ofScope, 2).map((span) => {
        const [status = new Map() as Message] = messagesAt(span, 15);
        return {
          traceId: hexAt(span, 1),
          spanId: hexAt(span, 2),
          traceState: textAt(span, 3),
          parentId: hexAt(span, 4),
          name: textAt(span, 5),
          kind: Number(numberAt(span, 6)),
          startNs: numberAt(span, 7),
          endNs: numberAt(span, 8),
          attributes: attributesAt(span, 9),
          message: textAt(status, 2),
          status: Number(numberAt(status, 3)),
          flags: Number(numberAt(span, 16)),
          resource,
        };
      }),
    );
  });
}
