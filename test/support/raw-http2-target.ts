import { once } from 'node:events';
import net from 'node:net';
import { makeField } from '../../src/proxy/http/fields.ts';
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
  /** Of a request that was waited for: what came of it. */
  readonly body: string;
  readonly trailers: readonly string[];
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

/**
 * An HTTP/2 application that answers each request with the frames that `script` gives; it never follows a
 * rule that it is not told to.
 * @param waits each is answered when all of it is there, not at its head
 */
export async function rawHttp2Target(
  script: (request: RawRequest) => readonly Buffer[],
  waits = false,
): Promise<RawTarget> {
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
        if (!fields.some(({ name }) => name === ':path')) {
          const trailers = fields.map(({ name, value }) => `${name}: ${value}`);
          return answer(streamId, { trailers });
        }
        streams++;
        const head: RawRequest['head'] = (ended, ...list) => {
          const encoded = list.map(([name, value]) => makeField(name, value));
          const block = Buffer.alloc(encoder.bound(encoded));
          return headerFrames(streamId, block.subarray(0, encoder.encode(encoded, block, 0)), ended);
        };
        const path = fields.find(({ name }) => name === ':path')?.value ?? '';
        open.set(streamId, { streamId, path, head, socket, body: '', trailers: [] });
        if (!waits || flags & Flag.END_STREAM) answer(streamId, {});
      },
      onDataStart: () => undefined,
      onDataBytes: (streamId, chunk) => {
        const request = open.get(streamId);
        if (request !== undefined)
          open.set(streamId, { ...request, body: request.body + chunk.toString('latin1') });
      },
      onDataEnd: (streamId, _, ended) => {
        if (ended) answer(streamId, {});
      },
    });
    const open = new Map<number, RawRequest>();
    const answer = (streamId: number, rest: Partial<RawRequest>) => {
      const request = open.get(streamId);
      open.delete(streamId);
      if (request !== undefined) socket.write(Buffer.concat(script({ ...request, ...rest })));
    };
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
