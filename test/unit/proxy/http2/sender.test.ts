import { expect } from 'chai';
import fc from 'fast-check';
import { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { NOBODY } from '../../../../src/proxy/io/connection.ts';
import { SocketConnection } from '../../../../src/proxy/io/socket-connection.ts';
import { Flag, FrameReader, FrameType } from '../../../../src/proxy/http2/frames.ts';
import { Sender } from '../../../../src/proxy/http2/sender.ts';
import { Http2Stream, type StreamOwner } from '../../../../src/proxy/http2/stream.ts';

/** A socket whose kernel takes everything at once. */
class Taken extends Socket {
  readonly chunks: Buffer[] = [];

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.chunks.push(Buffer.from(chunk));
    done();
  }

  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], done: () => void): void {
    for (const { chunk } of chunks) this.chunks.push(Buffer.from(chunk));
    done();
  }
}

/** What a peer makes of the bytes: the payload of each stream, and how often it ended. */
function read(bytes: Buffer): Map<number, { bytes: number; ends: number }> {
  const found = new Map<number, { bytes: number; ends: number }>();
  const of = (id: number) => {
    const stream = found.get(id) ?? { bytes: 0, ends: 0 };
    found.set(id, stream);
    return stream;
  };
  const reader = new FrameReader({
    onFrame(type, flags, id) {
      if (type === FrameType.HEADERS && flags & Flag.END_STREAM) of(id).ends++;
    },
    onDataStart() {},
    onDataBytes(id, chunk) {
      of(id).bytes += chunk.length;
    },
    onDataEnd(id, _, end) {
      if (end) of(id).ends++;
    },
  });
  reader.push(bytes);
  return found;
}

/**
 * Now and then a Go client waited for ever for the end of an answer: END_STREAM was put on a frame of another
 * stream, which lay at the same place of memory that had been used again meanwhile.
 */
describe('what an HTTP/2 connection sends', () => {
  const IDS = [1, 3, 5];
  const writing = fc.record({
    nth: fc.nat(IDS.length - 1),
    // Below and above what is copied beside its header, and one that takes several frames.
    bytes: fc.constantFrom(1, 9, 17, 4096, 4097, 16_384, 40_000),
    end: fc.boolean(),
    control: fc.constantFrom(0, 9, 13, 17),
    turn: fc.boolean(),
  });

  it('gives each stream its bytes, and one end', async () => {
    const story = fc.asyncProperty(fc.array(writing, { maxLength: 12 }), async (steps) => {
      const socket = new Taken();
      const connection = new SocketConnection(socket);
      const sender = new Sender(connection, { onEndSent() {}, onDataSent() {} });
      connection.handler = { ...NOBODY, onDrain: () => sender.drained() };
      const streams = IDS.map((id) => newStream(id));
      const wanted = new Map(IDS.map((id) => [id, 0]));
      sender.grow(1e9);
      const end = (stream: Http2Stream) => {
        if (stream.localEnded) return;
        stream.localEnded = true;
        sender.end(stream);
      };
      for (const { nth, bytes, end: ends, control, turn } of steps) {
        const stream = streams[nth];
        if (control > 0) sender.control(frameOf(control));
        if (stream === undefined || stream.localEnded) continue;
        wanted.set(stream.id, (wanted.get(stream.id) ?? 0) + bytes);
        sender.data(stream, Buffer.alloc(bytes));
        if (turn) await nextTurn();
        if (ends) end(stream);
      }
      for (const stream of streams) end(stream);
      while (streams.some(({ endSent }) => !endSent)) await nextTurn();
      await nextTurn();
      const seen = read(Buffer.concat(socket.chunks));
      for (const id of IDS) expect(seen.get(id)).to.deep.equal({ bytes: wanted.get(id), ends: 1 });
    });
    await fc.assert(story, { numRuns: 300 });
  });

  // Windows count bytes, and each part that waited cost 110 more: an 8 MiB window of a client was 900 MB of
  // the gateway.
  it('waits in few parts, however small they come', async () => {
    const socket = new Taken();
    const sender = new Sender(new SocketConnection(socket), { onEndSent() {}, onDataSent() {} });
    const stream = new Http2Stream({} as StreamOwner, 1, { send: 10, receive: 0 });
    const sent = Buffer.from(Array.from({ length: 20_000 }, (_, at) => at % 251));
    for (let at = 0; at < sent.length; at++) sender.data(stream, sent.subarray(at, at + 1));
    expect(stream.queued).to.equal(sent.length - 10);
    expect(stream.queue?.length).to.be.at.most(sent.length / 256);
    expect(Buffer.concat(stream.queue ?? []).equals(sent.subarray(10))).to.equal(true);
    // None is a part of memory that others use, which would all stay for it.
    for (const part of stream.queue ?? []) expect(part.buffer.byteLength).to.equal(part.length);
    stream.sendWindow += 100_000;
    sender.pump();
    stream.localEnded = true;
    sender.end(stream);
    await nextTurn();
    await nextTurn();
    expect(read(Buffer.concat(socket.chunks)).get(1)).to.deep.equal({ bytes: sent.length, ends: 1 });
  });

  it('never ends a stream by a frame of another at the same place', async () => {
    const socket = new Taken();
    const connection = new SocketConnection(socket);
    const sender = new Sender(connection, { onEndSent() {}, onDataSent() {} });
    const one = newStream(1);
    sender.data(one, Buffer.alloc(5000));
    await nextTurn();
    await nextTurn();
    sender.end(newStream(3));
    sender.end(one);
    await nextTurn();
    const seen = read(Buffer.concat(socket.chunks));
    expect(seen.get(1)).to.deep.equal({ bytes: 5000, ends: 1 });
    expect(seen.get(3)).to.deep.equal({ bytes: 0, ends: 1 });
  });
});

function newStream(id: number): Http2Stream {
  return new Http2Stream({} as StreamOwner, id, { send: 1e9, receive: 0 });
}

/** A frame of an unknown type, which takes so many bytes on the wire. */
function frameOf(bytes: number): Buffer {
  const frame = Buffer.alloc(bytes);
  frame[2] = bytes - 9;
  frame[3] = 0xfe;
  return frame;
}
