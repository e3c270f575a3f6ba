import type { FloodProtection } from './flood-protection.ts';
import { Http2ErrorCode, StreamError } from './errors.ts';
import { FrameType, numberFrame } from './frames.ts';
import { ReceiveWindow } from './receive-window.ts';
import type { StreamIds } from './stream-ids.ts';
import type { StreamMap } from './stream-map.ts';
import type { Http2Stream } from './stream.ts';

/** What a connection's DATA frames are checked against, and who hears of them. */
export interface DataReceiverOptions {
  readonly ids: StreamIds;
  readonly streams: StreamMap<Http2Stream>;
  readonly budget: FloodProtection;
  /** Bytes that the peer may have sent on a stream that are not consumed yet. */
  readonly streamWindow: number;
  /** The same for the whole connection. */
  readonly connectionWindow: number;
  /** Unconsumed bytes of all streams together from which the connection window is no longer given back. */
  readonly maxUnconsumed: number;
  /** Sends a WINDOW_UPDATE. */
  readonly onUpdate: (frame: Buffer) => void;
  /** The peer broke the rules on one stream. */
  readonly onBreach: (stream: Http2Stream, error: StreamError) => void;
  /** The peer's message is complete, without trailers. */
  readonly onEnd: (stream: Http2Stream) => void;
}

/**
 * The receiving half of an HTTP/2 connection's flow control (RFC 9113 section 5.2): checks DATA frames
 * against both windows, and sends the WINDOW_UPDATEs that let the peer go on.
 */
export class DataReceiver {
  readonly #options: DataReceiverOptions;
  readonly #streams: StreamMap<Http2Stream>;
  readonly #budget: FloodProtection;
  /** What the peer may send on the connection. */
  readonly #window: ReceiveWindow;
  /** The stream whose DATA frame is being read; undefined: the frame is thrown away. */
  #reading: Http2Stream | undefined;
  /** Bytes of the frame's data so far; the rest of the frame is padding. */
  #dataTaken = 0;

  constructor(options: DataReceiverOptions) {
    const { onUpdate } = options;
    this.#options = options;
    this.#streams = options.streams;
    this.#budget = options.budget;
    this.#window = new ReceiveWindow({
      size: options.connectionWindow,
      maxUnconsumed: options.maxUnconsumed,
      onUpdate: (increment) => onUpdate(numberFrame(FrameType.WINDOW_UPDATE, 0, increment)),
    });
  }

  /** A DATA frame begins. @param length of its payload, padding included @throws ConnectionError */
  start(streamId: number, length: number): void {
    this.#options.ids.assertNotIdle(streamId);
    this.#window.take(length);
    this.#dataTaken = 0;
    const stream = this.#streams.get(streamId);
    this.#reading = stream;
    if (length === 0) this.#budget.spendIdleFrame();
    else this.#budget.earn();
    // It was on its way when we reset the stream.
    if (stream === undefined) return this.#budget.spendIdleFrame();
    if (stream.remoteEnded || !stream.headCame) {
      this.#breach(stream, Http2ErrorCode.STREAM_CLOSED, 'DATA came where none may');
      return;
    }
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0)
      this.#breach(stream, Http2ErrorCode.FLOW_CONTROL_ERROR, 'more came than the window allows');
  }

  /** Bytes of that frame, as they came. */
  bytes(chunk: Buffer): void {
    const stream = this.#reading;
    if (stream === undefined || stream.closed) return;
    this.#dataTaken += chunk.length;
    if (!stream.takes(chunk.length)) {
      this.#breach(stream, Http2ErrorCode.PROTOCOL_ERROR, 'the body is longer than its Content-Length');
      return;
    }
    stream.unconsumed += chunk.length;
    this.#window.hold(chunk.length);
    stream.notifyData(chunk);
  }

  /** All of the frame has come. @param length as `start` was given */
  end(length: number, endStream: boolean): void {
    const stream = this.#reading;
    this.#reading = undefined;
    this.#window.came(length);
    if (stream === undefined || stream.closed) return;
    const padding = length - this.#dataTaken;
    // Padding counts in the windows; nobody else consumes it.
    if (padding > 0) {
      stream.unconsumed += padding;
      this.#window.hold(padding);
      this.consumed(stream, padding);
    }
    if (endStream) this.#options.onEnd(stream);
  }

  /** So many bytes of a stream have been dealt with: the peer may send as many more. */
  consumed(stream: Http2Stream, bytes: number): void {
    if (bytes === 0 || stream.closed) return;
    stream.unconsumed -= bytes;
    if (!stream.remoteEnded) {
      stream.credit += bytes;
      if (stream.credit >= this.#options.streamWindow / 2) {
        const update = numberFrame(FrameType.WINDOW_UPDATE, stream.id, stream.credit);
        stream.receiveWindow += stream.credit;
        stream.credit = 0;
        this.#options.onUpdate(update);
      }
    }
    this.#window.release(bytes);
  }

  /** A stream is over: what came of it and was not consumed no longer counts. */
  forget(stream: Http2Stream): void {
    if (this.#reading === stream) this.#reading = undefined;
    const { unconsumed } = stream;
    stream.unconsumed = 0;
    this.#window.release(unconsumed);
  }

  #breach(stream: Http2Stream, code: number, text: string): void {
    this.#options.onBreach(stream, new StreamError(code, text));
  }
}
