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

/**
 * Unsent bytes above which a peer is given up that makes us send frames that flow control does not count: it
 * asks and does not read.
 */
export const MAX_UNREAD = 4 * 1024 * 1024;
/** A DATA frame with fewer bytes is tiny; see `FloodProtection.sentData`. */
const TINY = 128;

/** Who hears what has been sent. */
export interface SenderEvents {
  /** Our message on that stream has been sent, END_STREAM included. */
  onEndSent(stream: Http2Stream): void;
  /** A DATA frame has been sent. @param dribbled it is tiny because of the peer's window, not of the data */
  onDataSent(bytes: number, dribbled: boolean): void;
}

/**
 * The sending half of an HTTP/2 connection: flow control of streams and connection (RFC 9113 section 5.2),
 * and the socket's back pressure. Streams that have to wait take turns, a frame each.
 */
export class Sender {
  readonly encoder = new HpackEncoder();
  readonly #bytes: Connection;
  readonly #events: SenderEvents;
  /** Bytes that may be sent on the connection. */
  #window = DEFAULT_WINDOW;
  /** The socket is full: no DATA is sent until it drains. */
  #congested = false;
  /** Streams with queued data, in the order of their turns. */
  #waiting = new Set<Http2Stream>();
  /**
   * The last DATA frame: the buffer and offset of its header, the connection's `bytesWritten` behind the
   * frame, and its stream.
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
   * Sends frames that flow control does not count.
   * @throws ConnectionError ENHANCE_YOUR_CALM when the peer reads nothing
   */
  control(bytes: Buffer): void {
    this.#written(this.#bytes.send(bytes));
  }

  /** Sends a message head. @param end it has no body @throws ConnectionError as `control` */
  head(stream: Http2Stream, fields: readonly Field[], end: boolean): void {
    this.#headers(stream.id, fields, end);
    if (end) this.#ended(stream);
  }

  /** Sends data as flow control allows. @returns how many bytes were sent; the others are queued */
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

  /**
   * Ends our message, with `stream.ending` as trailers; where data is queued, that happens when it has been
   * sent.
   */
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

  /**
   * A WINDOW_UPDATE for the connection has come.
   * @throws ConnectionError when the window becomes too large
   */
  grow(increment: number): void {
    this.#window += increment;
    if (this.#window > MAX_WINDOW)
      throw new ConnectionError(Http2ErrorCode.FLOW_CONTROL_ERROR, 'the connection window is too large');
    this.pump();
  }

  /** Whether DATA waits for the socket. */
  get congested(): boolean {
    return this.#congested;
  }

  /** The socket takes bytes again. */
  drained(): void {
    this.#congested = false;
    this.pump();
  }

  /** Sends queued data as flow control and socket allow. */
  pump(): void {
    let progress = true;
    while (progress && this.#waiting.size > 0) {
      progress = false;
      // One round: a frame of each stream. Those that cannot send keep their place for the next one.
      for (const stream of Array.from(this.#waiting)) {
        if (!this.#waiting.has(stream)) continue;
        const sent = this.#step(stream);
        if (sent === 0) continue;
        progress = true;
        stream.notifySent(sent);
      }
    }
  }

  /** Sends one frame of a waiting stream. @returns how many bytes of data it had */
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

  /** How many of the wanted bytes one frame may have now. */
  #allowed(stream: Http2Stream, wanted: number): number {
    if (this.#congested) return 0;
    return Math.max(0, Math.min(wanted, stream.sendWindow, this.#window, MAX_FRAME));
  }

  /**
   * Sends a DATA frame.
   * @param more whether there was more to send, which the window or frame size did not allow
   */
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
   * Sets END_STREAM in the DATA frame that was written last, if it is this stream's and has not left: that
   * saves an empty frame. Whether anything was written since is told by the connection's count of bytes,
   * because a write buffer is used again, and another frame may stand at the same offset.
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

  /** Sends HEADERS, written in place where they fit into one frame. @throws ConnectionError as `control` */
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

  /** @param open what `send` or `sent` of the connection returned */
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
