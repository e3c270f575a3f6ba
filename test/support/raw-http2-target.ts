import { once } from 'node:events';
import net from 'node:net';
import { makeField } from '../../src/proxy/field.ts';
import {
  Flag,
  FrameReader,
  FrameType,
  headerFrames,
  PREFACE,
  settingsFrame,
} from '../../src/proxy/http2/frames.ts';
import { HpackDecoder } from '../../src/proxy/http2/hpack/decoder.ts';
import { HpackEncoder } from '../../src/proxy/http2/hpack/encoder.ts';

/** A request that came, and how to answer it frame by frame. */
export interface RawRequest {
  readonly streamId: number;
  readonly path: string;
  /** HEADERS of these fields. */
  readonly head: (end: boolean, ...fields: readonly (readonly [string, string])[]) => Buffer;
  readonly socket: net.Socket;
}

export interface RawTarget {
  readonly port: number;
  /** Codes of RST_STREAMs that came, by stream. */
  readonly resets: Map<number, number>;
  /** Streams that were begun. */
  readonly streams: () => number;
  close(): void;
}

/** An HTTP/2 application that answers each request with the frames that `script` gives; it never follows a rule that it is not told to. */
export async function rawHttp2Target(script: (request: RawRequest) => readonly Buffer[]): Promise<RawTarget> {
  const resets = new Map<number, number>();
  const sockets = new Set<net.Socket>();
  let streams = 0;
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    const decoder = new HpackDecoder();
    const encoder = new HpackEncoder();
    let preface = PREFACE.length;
    const reader = new FrameReader({
      // oxlint-disable-next-line max-params -- as FrameSink says
      onFrame: (type, flags, streamId, bytes, start, end) => {
        const payload = bytes.subarray(start, end);
        if (type === FrameType.RST_STREAM) resets.set(streamId, payload.readUInt32BE(0));
        if (type === FrameType.SETTINGS && (flags & Flag.ACK) === 0)
          socket.write(Buffer.from([0, 0, 0, 4, 1, 0, 0, 0, 0]));
        if (type !== FrameType.HEADERS) return;
        const { fields } = decoder.decode(payload);
        if (!fields.some(({ name }) => name === ':path')) return;
        streams++;
        const head: RawRequest['head'] = (ended, ...list) => {
          const encoded = list.map(([name, value]) => makeField(name, value));
          const block = Buffer.alloc(encoder.bound(encoded));
          return headerFrames(streamId, block.subarray(0, encoder.encode(encoded, block, 0)), ended);
        };
        const path = fields.find(({ name }) => name === ':path')?.value ?? '';
        socket.write(Buffer.concat(script({ streamId, path, head, socket })));
      },
      onDataStart: () => undefined,
      onDataBytes: () => undefined,
      onDataEnd: () => undefined,
    });
    socket.write(settingsFrame([]));
    socket.on('data', (chunk: Buffer) => {
      const skip = Math.min(preface, chunk.length);
      preface -= skip;
      reader.push(chunk.subarray(skip));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    resets,
    streams: () => streams,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
