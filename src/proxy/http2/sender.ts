import { appendChunk } from '../../base/gathered-bytes.ts';
import type { Connection } from '../io/connection.ts';
import type { WriteBuffer } from '../io/write-buffer.ts';
import type { Field } from '../http/fields.ts';
import { ConnectionError, Http2ErrorCode } from './errors.ts';
import {
  DEFAULT_WINDOW,
  Flag,
  frame,
  FRAME_HEADER,
  FrameType,
  headerFrames,
  MAX_FRAME,
  MAX_WINDOW,
  writeFrameHeader,
} from './frames.ts';
import { HpackEncoder } from './hpack/encoder.ts';
import type { Http2Stream } from './stream.ts';

/** Unsent bytes at which a peer that makes us answer and does not read is given up. */
export const MAX_UNREAD = 4 * 1024 * 1024;
/** A DATA frame below this, because the peer's window allows no more, is dribble. */
const TINY = 128;

export interface SenderEvents {
  /** All of our message is on the wire. */
  onEndSent(stream: Http2Stream): void;
  /** @param dribbled the peer's window, not what there was to send, made the frame tiny */
  onDataSent(bytes: number, dribbled: boolean): void;
}

/**
 * The sending half of an HTTP/2 connection: flow control per stream and connection (RFC 9113 section 5.2),
 * and back pressure of the socket. Streams that have to wait take turns, a frame each.
 */
export class Sender {
  readonly encoder = new HpackEncoder();
  readonly #bytes: Connection;
  readonly #events: SenderEvents;
  /** Bytes that the connection may send. */
  #window = DEFAULT_WINDOW;
  #congested = false;
  #waiting = new Set<Http2Stream>();
  /**
   * Where the header of the DATA frame is that was written last, and how many bytes had been written behind
   * it.
   */
  #last: WriteBuffer | undefined;
  #lastAt = 0;
  #lastEnd = 0;
  #lastStream: Http2Stream | undefined;

  constructor(bytes: Connection, events: SenderEvents) {
    this.#bytes = bytes;
    this.#events = events;
  }

  /**
   * Sends what flow control does not count.
   * @throws ConnectionError ENHANCE_YOUR_CALM when the peer reads nothing
   */
  control(bytes: Buffer): void {
    this.#written(this.#bytes.send(bytes));
  }

  /** @throws ConnectionError as `control` */
  head(stream: Http2Stream, fields: readonly Field[], end: boolean): void {
    this.#headers(stream.id, fields, end);
    if (end) this.#ended(stream);
  }

  /** @returns how many bytes went out; the others are queued */
  data(stream: Http2Stream, chunk: Buffer): number {
    let sent = 0;
    if (stream.queued === 0) {
      while (sent < chunk.length) {
        const size = this.#allowed(stream, chunk.length - sent);
        if (size === 0) break;
        const piece = sent === 0 && size === chunk.length ? chunk : chunk.subarray(sent, sent + size);
        this.#frame(stream, piece, sent + size < chunk.length);
        sent += size;
      }
      if (sent === chunk.length) return sent;
    }
    appendChunk((stream.queue ??= []), sent === 0 ? chunk : chunk.subarray(sent));
    stream.queued += chunk.length - sent;
    this.#waiting.add(stream);
    return sent;
  }

  /** Ends our message when its queue is out. */
  end(stream: Http2Stream): void {
    if (stream.queued > 0) return;
    if (stream.ending !== undefined) this.#headers(stream.id, stream.ending, true);
    else if (!this.#endLast(stream)) this.control(frame(FrameType.DATA, Flag.END_STREAM, stream.id));
    this.#ended(stream);
  }

  /** Drops what a stream still had to send. */
  forget(stream: Http2Stream): void {
    if (this.#lastStream === stream) this.#lastStream = undefined;
    if (stream.queue === undefined) return;
    this.#waiting.delete(stream);
    stream.queue = undefined;
    stream.queued = 0;
  }

  /** WINDOW_UPDATE for the connection. @throws ConnectionError when the window becomes too large */
  grow(increment: number): void {
    this.#window += increment;
    if (this.#window > MAX_WINDOW)
      throw new ConnectionError(Http2ErrorCode.FLOW_CONTROL_ERROR, 'the connection window is too large');
    this.pump();
  }

  /** The socket takes bytes again. */
  drained(): void {
    this.#congested = false;
    this.pump();
  }

  /** Sends what waits, as far as it may go. */
  pump(): void {
    let progress = true;
    while (progress && this.#waiting.size > 0) {
      progress = false;
      // A round: those that cannot go on keep their place for the next.
      for (const stream of Array.from(this.#waiting)) {
        if (!this.#waiting.has(stream)) continue;
        const sent = this.#step(stream);
        if (sent === 0) continue;
        progress = true;
        stream.notifySent(sent);
      }
    }
  }

  /** One frame of a waiting stream. */
  #step(stream: Http2Stream): number {
    const { queue } = stream;
    const chunk = queue?.[0];
    if (queue === undefined || chunk === undefined) return 0;
    const size = this.#allowed(stream, chunk.length);
    if (size === 0) return 0;
    if (size === chunk.length) queue.shift();
    else queue[0] = chunk.subarray(size);
    stream.queued -= size;
    this.#frame(stream, size === chunk.length ? chunk : chunk.subarray(0, size), size < chunk.length);
    if (stream.queued === 0) {
      this.#waiting.delete(stream);
      if (stream.localEnded && !stream.endSent) this.end(stream);
    }
    return size;
  }

  #allowed(stream: Http2Stream, wanted: number): number {
    if (this.#congested) return 0;
    return Math.max(0, Math.min(wanted, stream.sendWindow, this.#window, MAX_FRAME));
  }

  /** @param more the chunk is a part: flow control allowed no more */
  #frame(stream: Http2Stream, chunk: Buffer, more: boolean): void {
    stream.sendWindow -= chunk.length;
    this.#window -= chunk.length;
    const header = this.#bytes.room(FRAME_HEADER);
    const { at } = header;
    writeFrameHeader(header.bytes, at, chunk.length, FrameType.DATA, 0, stream.id);
    this.#bytes.sent(FRAME_HEADER);
    if (!this.#bytes.send(chunk)) this.#congested = true;
    this.#last = header;
    this.#lastAt = at;
    this.#lastEnd = this.#bytes.bytesWritten;
    this.#lastStream = stream;
    this.#events.onDataSent(chunk.length, more && chunk.length < TINY);
  }

  /**
   * Makes the frame that was written last, if it is this stream's and still here, the end of the stream. That
   * nothing was written since is told by the count of bytes: a write buffer is used again, for other frames
   * at the same places.
   */
  #endLast(stream: Http2Stream): boolean {
    const writeBuffer = this.#last;
    if (writeBuffer === undefined || this.#lastStream !== stream) return false;
    if (this.#bytes.bytesWritten !== this.#lastEnd || !this.#bytes.isUnsent(writeBuffer, this.#lastAt))
      return false;
    writeBuffer.bytes[this.#lastAt + 4] = Flag.END_STREAM;
    this.#last = undefined;
    return true;
  }

  /** HEADERS, written in place where they fit into one frame. @throws ConnectionError as `control` */
  #headers(streamId: number, fields: readonly Field[], end: boolean): void {
    const bound = this.encoder.bound(fields);
    if (bound > MAX_FRAME) {
      const block = Buffer.allocUnsafe(bound);
      this.control(headerFrames(streamId, block.subarray(0, this.encoder.encode(fields, block, 0)), end));
      return;
    }
    const writeBuffer = this.#bytes.room(FRAME_HEADER + bound);
    const { at, bytes } = writeBuffer;
    const behind = this.encoder.encode(fields, bytes, at + FRAME_HEADER);
    const flags = end ? Flag.END_HEADERS | Flag.END_STREAM : Flag.END_HEADERS;
    writeFrameHeader(bytes, at, behind - at - FRAME_HEADER, FrameType.HEADERS, flags, streamId);
    this.#written(this.#bytes.sent(behind - at));
  }

  #written(open: boolean): void {
    if (!open) this.#congested = true;
    if (this.#bytes.buffered > MAX_UNREAD)
      throw new ConnectionError(Http2ErrorCode.ENHANCE_YOUR_CALM, 'the peer does not read what it asks for');
  }

  #ended(stream: Http2Stream): void {
    stream.endSent = true;
    this.#events.onEndSent(stream);
  }
}
