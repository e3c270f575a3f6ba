import type { Connection } from '../connection.ts';
import type { Field } from '../field.ts';
import { ConnectionError, ErrorCode } from './errors.ts';
import {
  DEFAULT_WINDOW,
  Flag,
  frame,
  frameHeader,
  FrameType,
  headerFrames,
  MAX_FRAME,
  MAX_WINDOW,
} from './frames.ts';
import { HpackEncoder } from './hpack/encoder.ts';
import type { Http2Stream } from './stream.ts';

/** Unsent bytes at which a peer that makes us answer and does not read is given up. */
const MAX_UNREAD = 4 * 1024 * 1024;

export interface SenderEvents {
  /** All of our message is on the wire. */
  onEndSent(stream: Http2Stream): void;
  onDataSent(): void;
}

/**
 * The sending half of an HTTP/2 connection: flow control per stream and connection (RFC 9113 section 5.2), and back pressure of the socket.
 * Streams that have to wait take turns, a frame each.
 */
export class Sender {
  readonly encoder = new HpackEncoder();
  readonly #bytes: Connection;
  readonly #events: SenderEvents;
  /** Bytes that the connection may send. */
  #window = DEFAULT_WINDOW;
  #congested = false;
  #waiting = new Set<Http2Stream>();

  constructor(bytes: Connection, events: SenderEvents) {
    this.#bytes = bytes;
    this.#events = events;
  }

  /** Sends what flow control does not count. @throws ConnectionError ENHANCE_YOUR_CALM when the peer reads nothing */
  control(bytes: Buffer): void {
    if (!this.#bytes.send(bytes)) this.#congested = true;
    if (this.#bytes.buffered > MAX_UNREAD)
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'the peer does not read what it asks for');
  }

  head(stream: Http2Stream, fields: readonly Field[], end: boolean): void {
    this.control(headerFrames(stream.id, this.encoder.encode(fields), end));
    if (end) this.#ended(stream);
  }

  /** @returns how many bytes went out; the others are queued */
  data(stream: Http2Stream, chunk: Buffer): number {
    let sent = 0;
    if (stream.queued === 0) {
      while (sent < chunk.length) {
        const size = this.#allowed(stream, chunk.length - sent);
        if (size === 0) break;
        this.#frame(stream, sent === 0 && size === chunk.length ? chunk : chunk.subarray(sent, sent + size));
        sent += size;
      }
      if (sent === chunk.length) return sent;
    }
    stream.queue.push(sent === 0 ? chunk : chunk.subarray(sent));
    stream.queued += chunk.length - sent;
    this.#waiting.add(stream);
    return sent;
  }

  /** Ends our message when its queue is out. */
  end(stream: Http2Stream): void {
    if (stream.queued > 0) return;
    if (stream.ending === undefined) this.control(frame(FrameType.DATA, Flag.END_STREAM, stream.id));
    else this.control(headerFrames(stream.id, this.encoder.encode(stream.ending), true));
    this.#ended(stream);
  }

  /** Drops what a stream still had to send. */
  forget(stream: Http2Stream): void {
    this.#waiting.delete(stream);
    stream.queue.length = 0;
    stream.queued = 0;
  }

  /** WINDOW_UPDATE for the connection. @throws ConnectionError when the window becomes too large */
  grow(increment: number): void {
    this.#window += increment;
    if (this.#window > MAX_WINDOW)
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'the connection window is too large');
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
        stream.handler.onSent(stream, sent);
      }
    }
  }

  /** One frame of a waiting stream. */
  #step(stream: Http2Stream): number {
    const chunk = stream.queue[0];
    if (chunk === undefined) return 0;
    const size = this.#allowed(stream, chunk.length);
    if (size === 0) return 0;
    if (size === chunk.length) stream.queue.shift();
    else stream.queue[0] = chunk.subarray(size);
    stream.queued -= size;
    this.#frame(stream, size === chunk.length ? chunk : chunk.subarray(0, size));
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

  #frame(stream: Http2Stream, chunk: Buffer): void {
    stream.sendWindow -= chunk.length;
    this.#window -= chunk.length;
    this.#bytes.send(frameHeader(chunk.length, FrameType.DATA, 0, stream.id));
    if (!this.#bytes.send(chunk)) this.#congested = true;
    this.#events.onDataSent();
  }

  #ended(stream: Http2Stream): void {
    stream.endSent = true;
    this.#events.onEndSent(stream);
  }
}
