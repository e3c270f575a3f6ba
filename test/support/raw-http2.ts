import type { Duplex } from 'node:stream';
import { makeField } from '../../src/proxy/http/fields.ts';
import { errorName } from '../../src/proxy/http2/errors.ts';
import {
  Flag,
  frame,
  FrameReader,
  type FrameSink,
  FrameType,
  headerFrames,
  numberFrame,
  PREFACE,
  settingsFrame,
} from '../../src/proxy/http2/frames.ts';
import { HpackDecoder } from '../../src/proxy/http2/hpack/decoder.ts';
import { HpackEncoder } from '../../src/proxy/http2/hpack/encoder.ts';
import { eventually, type Patience } from './eventually.ts';

const GET: readonly (readonly [string, string])[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/hello'],
  [':authority', 'x'],
];

/** An HTTP/2 client that may do everything that a well-behaved one never does. */
export class RawHttp2 implements FrameSink {
  /**
   * What came: `HEADERS 1 200`, `RST 1 CANCEL`, `GOAWAY 3 PROTOCOL_ERROR`, `DATA 1 5 end`, `SETTINGS`,
   * `PING ack`, …
   */
  readonly heard: string[] = [];
  dataBytes = 0;
  closed = false;
  readonly socket: Duplex;
  readonly #reader = new FrameReader(this);
  readonly #decoder = new HpackDecoder();
  readonly #encoder = new HpackEncoder();
  readonly #news: Patience;

  /** @param settings of ours; by default none */
  constructor(socket: Duplex, settings: readonly (readonly [number, number])[] = []) {
    this.socket = socket;
    this.#news = { source: socket, events: ['data', 'close'] };
    socket.on('data', (chunk: Buffer) => this.#reader.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => (this.closed = true));
    socket.on('end', () => socket.end());
    socket.write(PREFACE);
    socket.write(settingsFrame(settings));
  }

  send(...frames: readonly Buffer[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(frames));
  }

  /** A request's head; `fields` replaces the default GET. */
  head(streamId: number, end = true, fields: readonly (readonly [string, string])[] = GET): Buffer {
    return headerFrames(streamId, this.block(fields), end);
  }

  block(fields: readonly (readonly [string, string])[]): Buffer {
    const list = fields.map(([name, value]) => makeField(name, value));
    const block = Buffer.alloc(this.#encoder.bound(list));
    return block.subarray(0, this.#encoder.encode(list, block, 0));
  }

  static get(extra: readonly (readonly [string, string])[] = []): readonly (readonly [string, string])[] {
    return [...GET, ...extra];
  }

  /** Waits until something that matches has come. */
  async hears(pattern: RegExp): Promise<string> {
    try {
      return await eventually(
        String(pattern),
        () => this.heard.find((line) => pattern.test(line)),
        this.#news,
      );
    } catch (error) {
      throw new Error(`did not hear ${pattern}: ${this.heard.slice(-20).join(', ')}`, { cause: error });
    }
  }

  async ends(): Promise<void> {
    await eventually('the connection ends', () => this.closed, this.#news);
  }

  // oxlint-disable-next-line max-params -- as FrameSink says
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const payload = bytes.subarray(start, end);
    this.heard.push(this.#describe(type, flags, streamId, payload));
  }

  onDataStart(): void {
    // Its bytes and its end say all.
  }

  onDataBytes(_: number, chunk: Buffer): void {
    this.dataBytes += chunk.length;
  }

  onDataEnd(streamId: number, length: number, endStream: boolean): void {
    this.heard.push(`DATA ${streamId} ${length}${endStream ? ' end' : ''}`);
  }

  #describe(type: number, flags: number, streamId: number, payload: Buffer): string {
    switch (type) {
      case FrameType.HEADERS: {
        const { fields } = this.#decoder.decode(payload);
        const status = fields.find(({ name }) => name === ':status')?.value ?? 'trailers';
        return `HEADERS ${streamId} ${status}${flags & Flag.END_STREAM ? ' end' : ''}`;
      }
      case FrameType.RST_STREAM:
        return `RST ${streamId} ${errorName(payload.readUInt32BE(0))}`;
      case FrameType.GOAWAY:
        return `GOAWAY ${payload.readUInt32BE(0)} ${errorName(payload.readUInt32BE(4))} ${payload.toString('latin1', 8)}`;
      case FrameType.SETTINGS:
        return flags & Flag.ACK ? 'SETTINGS ack' : 'SETTINGS';
      case FrameType.PING:
        return flags & Flag.ACK ? 'PING ack' : 'PING';
      case FrameType.WINDOW_UPDATE:
        return `WINDOW_UPDATE ${streamId} ${payload.readUInt32BE(0)}`;
      default:
        return `frame ${type}`;
    }
  }
}

/** Frames that tests put together by hand. */
export const raw = {
  data: (streamId: number, payload: string | Buffer, end = false) =>
    frame(FrameType.DATA, end ? Flag.END_STREAM : 0, streamId, Buffer.from(payload)),
  reset: (streamId: number, code = 8) => numberFrame(FrameType.RST_STREAM, streamId, code),
  window: (streamId: number, increment: number) => numberFrame(FrameType.WINDOW_UPDATE, streamId, increment),
  ping: () => frame(FrameType.PING, 0, 0, Buffer.alloc(8)),
  settings: settingsFrame,
  frame,
} as const;
