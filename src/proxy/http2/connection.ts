import type { Clock, Timer } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Connection, ConnectionHandler } from '../connection.ts';
import { type Field, valueOf } from '../field.ts';
import { endGently } from '../linger.ts';
import { AbuseBudget, IDLE_FRAME_LIMIT, RESET_LIMIT } from './abuse.ts';
import { ConnectionError, ErrorCode, StreamError } from './errors.ts';
import {
  DEFAULT_WINDOW,
  Flag,
  frame,
  FrameReader,
  type FrameSink,
  FrameType,
  goAwayFrame,
  MAX_WINDOW,
  numberFrame,
  PREFACE,
  Setting,
  settingsFrame,
} from './frames.ts';
import { HeaderBlock } from './header-block.ts';
import { HpackDecoder, HpackError } from './hpack/decoder.ts';
import { initialPeerSettings, readSettings } from './peer-settings.ts';
import { Sender } from './sender.ts';
import { Http2Stream } from './stream.ts';

/** Who uses a connection. */
export interface Http2User {
  /** Server: a request. */
  onRequest(stream: Http2Stream, fields: readonly Field[], ended: boolean): void;
  /** Server: a request whose header list is larger than allowed; nothing is known of it. */
  onTooLarge(stream: Http2Stream): void;
  /** A stream is over; there may be room for another. */
  onStreamClosed(connection: Http2Connection): void;
  /** The peer takes no more streams on this connection (client), or sends no more (server). */
  onGoAway(connection: Http2Connection): void;
  /** The connection is gone; every stream has been told. */
  onClosed(connection: Http2Connection, error: Error | undefined): void;
}

export interface Http2Options {
  readonly role: 'client' | 'server';
  readonly clock: Clock;
  readonly user: Http2User;
  /** Bytes that the peer may send on a stream before they are consumed; default 65,535 (Linkerd's). */
  readonly streamWindow?: number;
  /** The same for the whole connection; default 1 MiB (Linkerd's). It is given back on arrival, so that unread streams do not stall others. */
  readonly connectionWindow?: number;
  /** Unconsumed bytes of all streams together from which the connection window is no longer given back; default 8 MiB. */
  readonly maxUnconsumed?: number;
  /** Server: streams that a client may have open; default 256. */
  readonly maxStreams?: number;
  /** Silence after which the peer is asked whether it is still there, and how long it may take to answer; default 10 s each (Linkerd's chart: 10 s and 3 s). */
  readonly keepAliveMs?: number;
  readonly keepAliveTimeoutMs?: number;
}

const MAX_HEADER_LIST = 64 * 1024;
const PING_PAYLOAD = Buffer.from('linkspan', 'latin1');
const DRAINING = Buffer.from('draining', 'latin1');

/**
 * One HTTP/2 connection at frame level, either end of it (RFC 9113). It keeps the peer to the protocol and within limits; what streams are for is their
 * handlers' business.
 */
export class Http2Connection implements ConnectionHandler, FrameSink {
  readonly #bytes: Connection;
  readonly #options: Http2Options;
  readonly #sender: Sender;
  readonly #reader = new FrameReader(this);
  readonly #decoder = new HpackDecoder(4096, MAX_HEADER_LIST);
  readonly #block = new HeaderBlock();
  readonly #streams = new Map<number, Http2Stream>();
  readonly #resets: AbuseBudget;
  readonly #idleFrames: AbuseBudget;
  readonly #peer = initialPeerSettings();
  readonly #streamWindow: number;
  readonly #connectionWindow: number;
  /** Bytes of the preface that have come. */
  #preface = 0;
  #settingsCame = false;
  /** Highest id that the peer, or we, have used. */
  #lastPeerId = 0;
  #nextId = 1;
  #receiveWindow: number;
  #credit = 0;
  #unconsumed = 0;
  #heard = true;
  #pinged = false;
  #timer: Timer | undefined;
  #goingAway = false;
  #peerGone = false;
  #failed = false;
  #closed = false;
  /** The stream whose DATA frame is being read; undefined when it is to be thrown away. */
  #dataStream: Http2Stream | undefined;
  #dataTaken = 0;

  constructor(bytes: Connection, options: Http2Options) {
    this.#bytes = bytes;
    this.#options = options;
    this.#resets = new AbuseBudget(RESET_LIMIT, options.clock);
    this.#idleFrames = new AbuseBudget(IDLE_FRAME_LIMIT, options.clock);
    this.#streamWindow = options.streamWindow ?? DEFAULT_WINDOW;
    this.#connectionWindow = Math.max(DEFAULT_WINDOW, options.connectionWindow ?? 1024 * 1024);
    this.#receiveWindow = this.#connectionWindow;
    this.#sender = new Sender(bytes, {
      onEndSent: (stream) => this.#maybeOver(stream),
      onDataSent: () => this.#idleFrames.earn(),
    });
  }

  /** Streams that are open. */
  get active(): number {
    return this.#streams.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Client: grows with each stream. */
  get opened(): number {
    return this.#nextId;
  }

  /** Client: may another stream be opened? */
  get available(): boolean {
    const full = this.#streams.size >= Math.min(this.#peer.maxConcurrentStreams, 100);
    return !this.#closed && !this.#failed && !this.#peerGone && !full && this.#nextId < MAX_WINDOW;
  }

  /** Client: nothing new can ever be sent here. */
  get spent(): boolean {
    return this.#closed || this.#failed || this.#peerGone || this.#nextId >= MAX_WINDOW;
  }

  /** @param first bytes that have been read already */
  start(first: Buffer): void {
    const { role, maxStreams = 256 } = this.#options;
    this.#bytes.handler = this;
    if (role === 'client') this.#bytes.send(PREFACE);
    const shared = [
      [Setting.INITIAL_WINDOW_SIZE, this.#streamWindow],
      [Setting.MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST],
    ] as const;
    const own =
      role === 'client'
        ? ([Setting.ENABLE_PUSH, 0] as const)
        : ([Setting.MAX_CONCURRENT_STREAMS, maxStreams] as const);
    this.#bytes.send(settingsFrame([own, ...shared]));
    const more = this.#connectionWindow - DEFAULT_WINDOW;
    if (more > 0) this.#bytes.send(numberFrame(FrameType.WINDOW_UPDATE, 0, more));
    this.#keepAlive();
    this.#bytes.resume();
    if (this.#bytes.closed) this.onClose(this.#bytes, undefined);
    else if (first.length > 0) this.onData(this.#bytes, first);
  }

  /** Client: opens a stream with a request's head. Only when `available`. */
  open(fields: readonly Field[], end: boolean, handler: Http2Stream['handler']): Http2Stream {
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = this.#add(id);
    stream.handler = handler;
    stream.head(fields, end);
    return stream;
  }

  /** Server: takes no new streams; ends when those under way are done (RFC 9113 section 6.8: first a warning, then the last id). */
  goAway(): void {
    if (this.#goingAway || this.#failed || this.#closed) return;
    this.#goingAway = true;
    this.#safely(() => {
      this.#sender.control(goAwayFrame(MAX_WINDOW, ErrorCode.NO_ERROR, 'shutting down'));
      // Its answer says that the client has seen the warning: what it sent before has arrived then.
      this.#sender.control(frame(FrameType.PING, 0, 0, DRAINING));
    });
  }

  /** Ends the connection at once. */
  destroy(error?: Error): void {
    this.#bytes.destroy(error);
  }

  // --- what streams ask for

  sendHead(stream: Http2Stream, fields: readonly Field[], end: boolean): void {
    this.#safely(() => this.#sender.head(stream, fields, end));
  }

  sendData(stream: Http2Stream, chunk: Buffer): number {
    return this.#sender.data(stream, chunk);
  }

  sendEnd(stream: Http2Stream): void {
    this.#safely(() => this.#sender.end(stream));
  }

  resetStream(stream: Http2Stream, code: number): void {
    stream.release();
    this.#safely(() => this.#sender.control(numberFrame(FrameType.RST_STREAM, stream.id, code)));
    this.#over(stream);
  }

  consumed(stream: Http2Stream, bytes: number): void {
    if (bytes === 0 || stream.closed) return;
    stream.unconsumed -= bytes;
    this.#unconsumed -= bytes;
    if (!stream.closed && !stream.remoteEnded) {
      stream.credit += bytes;
      if (stream.credit >= this.#streamWindow / 2) {
        stream.receiveWindow += stream.credit;
        const update = numberFrame(FrameType.WINDOW_UPDATE, stream.id, stream.credit);
        stream.credit = 0;
        this.#safely(() => this.#sender.control(update));
      }
    }
    this.#returnCredit();
  }

  // --- what the socket tells

  onData(_: Connection, chunk: Buffer): void {
    if (this.#failed) return;
    this.#heard = true;
    this.#safely(() => {
      const rest = this.#options.role === 'server' ? this.#afterPreface(chunk) : chunk;
      if (rest.length > 0) this.#reader.push(rest);
    });
  }

  onEnd(): void {
    // HTTP/2 has no half-close: whoever sends no more is gone.
    this.#bytes.end();
    this.#bytes.destroy();
  }

  onDrain(): void {
    this.#safely(() => this.#sender.drained());
  }

  onClose(_: Connection, error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    for (const stream of this.#streams.values()) this.#lose(stream, ErrorCode.CANCEL, false);
    this.#options.user.onClosed(this, error);
  }

  // --- what the frame reader finds

  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (!this.#settingsCame && (type !== FrameType.SETTINGS || flags & Flag.ACK))
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'the first frame is not SETTINGS');
    if (this.#block.open && type !== FrameType.CONTINUATION)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a header block is interrupted');
    switch (type) {
      case FrameType.HEADERS:
        return this.#headers(streamId, this.#block.begin(streamId, flags, payload));
      case FrameType.CONTINUATION:
        return this.#headers(streamId, this.#block.continue(streamId, flags, payload));
      case FrameType.RST_STREAM:
        return this.#reset(streamId, payload);
      case FrameType.SETTINGS:
        return this.#settings(flags, streamId, payload);
      case FrameType.PING:
        return this.#ping(flags, streamId, payload);
      case FrameType.GOAWAY:
        return this.#goAway(streamId, payload);
      case FrameType.WINDOW_UPDATE:
        return this.#windowUpdate(streamId, payload);
      case FrameType.PUSH_PROMISE:
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'nothing may be pushed');
      case FrameType.PRIORITY:
        if (payload.length !== 5 || streamId === 0)
          throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'a PRIORITY frame is malformed');
        return this.#idleFrame();
      default:
        // Unknown types are ignored (RFC 9113 section 4.1).
        return this.#idleFrame();
    }
  }

  onDataStart(streamId: number, length: number): void {
    if (!this.#settingsCame || this.#block.open || streamId === 0)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a DATA frame stands where none may');
    this.#assertNotIdle(streamId);
    this.#receiveWindow -= length;
    if (this.#receiveWindow < 0)
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'more came than the connection window allows');
    this.#dataTaken = 0;
    const stream = this.#streams.get(streamId);
    this.#dataStream = stream;
    if (length === 0) this.#idleFrame();
    else this.#idleFrames.earn();
    // A frame of a stream that we have reset was under way.
    if (stream === undefined) return this.#idleFrame();
    if (stream.remoteEnded || !stream.headCame) {
      this.#fail(stream, new StreamError(ErrorCode.STREAM_CLOSED, 'DATA came where none may'));
    } else {
      stream.receiveWindow -= length;
      if (stream.receiveWindow < 0)
        this.#fail(stream, new StreamError(ErrorCode.FLOW_CONTROL_ERROR, 'more came than the window allows'));
    }
  }

  onDataBytes(_: number, chunk: Buffer): void {
    const stream = this.#dataStream;
    if (stream === undefined || stream.closed) return;
    this.#dataTaken += chunk.length;
    stream.received += chunk.length;
    if (stream.expected !== undefined && stream.received > stream.expected) {
      this.#fail(
        stream,
        new StreamError(ErrorCode.PROTOCOL_ERROR, 'the body is longer than its Content-Length'),
      );
      return;
    }
    stream.unconsumed += chunk.length;
    this.#unconsumed += chunk.length;
    stream.handler.onData(stream, chunk);
  }

  onDataEnd(_: number, length: number, endStream: boolean): void {
    const stream = this.#dataStream;
    this.#dataStream = undefined;
    this.#credit += length;
    this.#returnCredit();
    if (stream === undefined || stream.closed) return;
    const padding = length - this.#dataTaken;
    // Padding is consumed as it comes.
    if (padding > 0) {
      stream.unconsumed += padding;
      this.#unconsumed += padding;
      this.consumed(stream, padding);
    }
    if (endStream) this.#remoteEnd(stream, undefined);
  }

  // --- frames

  #afterPreface(chunk: Buffer): Buffer {
    if (this.#preface === PREFACE.length) return chunk;
    const length = Math.min(PREFACE.length - this.#preface, chunk.length);
    if (PREFACE.compare(chunk, 0, length, this.#preface, this.#preface + length) !== 0)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'the connection preface is missing');
    this.#preface += length;
    return chunk.subarray(length);
  }

  #headers(streamId: number, block: Buffer | undefined): void {
    if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'HEADERS have no stream');
    if (block === undefined) return;
    const end = this.#block.endStream;
    const decoded = this.#decoder.decode(block);
    const stream = this.#streams.get(streamId) ?? this.#begin(streamId);
    if (stream === undefined) return this.#idleFrame();
    this.#idleFrames.earn();
    if (decoded.malformed !== undefined) {
      this.#fail(stream, new StreamError(ErrorCode.PROTOCOL_ERROR, decoded.malformed));
    } else if (stream.remoteEnded) {
      this.#fail(stream, new StreamError(ErrorCode.STREAM_CLOSED, 'HEADERS came behind the end'));
    } else if (decoded.tooLarge) {
      this.#tooLarge(stream, end);
    } else if (stream.headCame) {
      this.#trailers(stream, decoded.fields, end);
    } else {
      this.#head(stream, decoded.fields, end);
    }
  }

  /** Server: a stream that the client begins; undefined for one that is over or not wanted. */
  #begin(id: number): Http2Stream | undefined {
    if (this.#options.role === 'client' || id % 2 === 0) {
      // A response to a stream that we have given up.
      if (this.#options.role === 'client' && id % 2 === 1 && id < this.#nextId) return undefined;
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `stream ${id} cannot begin here`);
    }
    if (id <= this.#lastPeerId) return undefined;
    this.#lastPeerId = id;
    if (this.#goingAway && this.#failed) return undefined;
    if (this.#streams.size >= (this.#options.maxStreams ?? 256)) {
      this.#spendReset();
      this.#sender.control(numberFrame(FrameType.RST_STREAM, id, ErrorCode.REFUSED_STREAM));
      return undefined;
    }
    return this.#add(id);
  }

  #add(id: number): Http2Stream {
    const stream = new Http2Stream(this, id, {
      send: this.#peer.initialWindow,
      receive: this.#streamWindow,
    });
    this.#streams.set(id, stream);
    return stream;
  }

  #tooLarge(stream: Http2Stream, end: boolean): void {
    if (this.#options.role === 'client' || stream.headCame) {
      this.#fail(stream, new StreamError(ErrorCode.ENHANCE_YOUR_CALM, 'the header list is too large'));
      return;
    }
    stream.headCame = true;
    stream.remoteEnded = end;
    this.#options.user.onTooLarge(stream);
  }

  #head(stream: Http2Stream, fields: readonly Field[], end: boolean): void {
    if (this.#options.role === 'server') {
      stream.headCame = true;
      stream.expected = end ? undefined : lengthOf(fields);
      stream.remoteEnded = end;
      this.#options.user.onRequest(stream, fields, end);
      if (end) this.#maybeOver(stream);
      return;
    }
    const status = valueOf(fields, ':status') ?? '';
    if (status.startsWith('1') && status.length === 3) {
      this.#idleFrame();
      if (end) this.#fail(stream, new StreamError(ErrorCode.PROTOCOL_ERROR, 'an interim response ends'));
      else stream.handler.onInterim(stream, fields);
      return;
    }
    stream.headCame = true;
    stream.expected = end ? undefined : lengthOf(fields);
    stream.remoteEnded = end;
    stream.handler.onHead(stream, fields, end);
    if (end) this.#maybeOver(stream);
  }

  #trailers(stream: Http2Stream, fields: readonly Field[], end: boolean): void {
    if (!end || fields.some(({ lower }) => lower.startsWith(':'))) {
      this.#fail(stream, new StreamError(ErrorCode.PROTOCOL_ERROR, 'trailers are malformed'));
      return;
    }
    this.#remoteEnd(stream, fields);
  }

  #remoteEnd(stream: Http2Stream, trailers: readonly Field[] | undefined): void {
    if (stream.expected !== undefined && stream.received !== stream.expected) {
      this.#fail(
        stream,
        new StreamError(ErrorCode.PROTOCOL_ERROR, 'the body is shorter than its Content-Length'),
      );
      return;
    }
    stream.remoteEnded = true;
    stream.handler.onEnd(stream, trailers);
    this.#maybeOver(stream);
  }

  #reset(streamId: number, payload: Buffer): void {
    if (payload.length !== 4)
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'RST_STREAM is malformed');
    if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'RST_STREAM has no stream');
    this.#assertNotIdle(streamId);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#idleFrame();
    this.#spendReset();
    const code = payload.readUInt32BE(0);
    this.#lose(stream, code, code === ErrorCode.REFUSED_STREAM);
  }

  #settings(flags: number, streamId: number, payload: Buffer): void {
    if (streamId !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'SETTINGS have a stream');
    if (flags & Flag.ACK) {
      if (payload.length > 0) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'an ACK has a payload');
      return;
    }
    this.#settingsCame = true;
    this.#idleFrame();
    const before = this.#peer.initialWindow;
    readSettings(payload, this.#peer, this.#options.role);
    this.#sender.encoder.setMaxCapacity(this.#peer.headerTableSize);
    const growth = this.#peer.initialWindow - before;
    for (const stream of growth === 0 ? [] : this.#streams.values()) {
      stream.sendWindow += growth;
      if (stream.sendWindow > MAX_WINDOW)
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'a window becomes too large');
    }
    this.#sender.control(frame(FrameType.SETTINGS, Flag.ACK, 0));
    if (growth > 0) this.#sender.pump();
  }

  #ping(flags: number, streamId: number, payload: Buffer): void {
    if (streamId !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'PING has a stream');
    if (payload.length !== 8) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'PING is malformed');
    this.#idleFrame();
    if ((flags & Flag.ACK) === 0) {
      this.#sender.control(frame(FrameType.PING, Flag.ACK, 0, payload));
    } else if (this.#goingAway && payload.equals(DRAINING)) {
      this.#lastWord();
    }
  }

  #goAway(streamId: number, payload: Buffer): void {
    if (streamId !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'GOAWAY has a stream');
    if (payload.length < 8) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'GOAWAY is cut short');
    this.#peerGone = true;
    const last = payload.readUInt32BE(0) & 0x7fffffff;
    if (this.#options.role === 'client') {
      for (const stream of this.#streams.values())
        if (stream.id > last) this.#lose(stream, ErrorCode.REFUSED_STREAM, true);
    }
    this.#options.user.onGoAway(this);
    this.#endWhenIdle();
  }

  #windowUpdate(streamId: number, payload: Buffer): void {
    if (payload.length !== 4)
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'WINDOW_UPDATE is malformed');
    this.#idleFrame();
    const increment = payload.readUInt32BE(0) & 0x7fffffff;
    if (streamId === 0) {
      if (increment === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a window grows by nothing');
      this.#sender.grow(increment);
      return;
    }
    this.#assertNotIdle(streamId);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    stream.sendWindow += increment;
    if (increment === 0) {
      this.#fail(stream, new StreamError(ErrorCode.PROTOCOL_ERROR, 'a window grows by nothing'));
    } else if (stream.sendWindow > MAX_WINDOW) {
      this.#fail(stream, new StreamError(ErrorCode.FLOW_CONTROL_ERROR, 'a window becomes too large'));
    } else {
      this.#sender.pump();
    }
  }

  // --- the rest

  #assertNotIdle(streamId: number): void {
    const own = this.#options.role === 'client' ? streamId % 2 === 1 : false;
    const idle = own
      ? streamId >= this.#nextId
      : this.#options.role === 'client' || streamId % 2 === 0 || streamId > this.#lastPeerId;
    if (idle) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `stream ${streamId} has not begun`);
  }

  #idleFrame(): void {
    if (!this.#idleFrames.spend())
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many frames that carry nothing');
  }

  #spendReset(): void {
    if (this.#options.role === 'server' && !this.#resets.spend())
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many streams are given up');
  }

  #returnCredit(): void {
    const { maxUnconsumed = 8 * 1024 * 1024 } = this.#options;
    if (this.#credit < this.#connectionWindow / 2 || this.#unconsumed > maxUnconsumed) return;
    const update = numberFrame(FrameType.WINDOW_UPDATE, 0, this.#credit);
    this.#receiveWindow += this.#credit;
    this.#credit = 0;
    this.#safely(() => this.#sender.control(update));
  }

  /** The peer broke the rules on one stream. */
  #fail(stream: Http2Stream, error: StreamError): void {
    const { handler } = stream;
    this.#spendReset();
    this.resetStream(stream, error.code);
    handler.onReset(stream, error.code, false);
  }

  /** A stream ends without us having ended it. */
  #lose(stream: Http2Stream, code: number, unprocessed: boolean): void {
    const { handler } = stream;
    stream.release();
    this.#over(stream);
    handler.onReset(stream, code, unprocessed);
  }

  #maybeOver(stream: Http2Stream): void {
    if (stream.endSent && stream.remoteEnded) this.#over(stream);
  }

  #over(stream: Http2Stream): void {
    if (stream.closed) return;
    stream.closed = true;
    this.#sender.forget(stream);
    this.#streams.delete(stream.id);
    if (this.#dataStream === stream) this.#dataStream = undefined;
    this.#unconsumed -= stream.unconsumed;
    stream.unconsumed = 0;
    if (this.#closed) return;
    this.#returnCredit();
    this.#options.user.onStreamClosed(this);
    this.#endWhenIdle();
  }

  /** The last GOAWAY, with the last stream that was taken. */
  #lastWord(): void {
    this.#sender.control(goAwayFrame(this.#lastPeerId, ErrorCode.NO_ERROR, 'shutting down'));
    this.#peerGone = true;
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    if (this.#peerGone && this.#streams.size === 0 && !this.#failed) this.#finish();
  }

  #finish(): void {
    this.#timer?.cancel();
    endGently(this.#bytes, this.#options.clock);
  }

  /** Runs what may find the peer guilty, or unwilling to read. */
  #safely(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#break(error);
    }
  }

  #break(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#reader.stop();
    const code =
      error instanceof ConnectionError
        ? error.code
        : error instanceof HpackError
          ? ErrorCode.COMPRESSION_ERROR
          : ErrorCode.INTERNAL_ERROR;
    this.#bytes.send(goAwayFrame(this.#lastPeerId, code, messageOf(error)));
    const cause = error instanceof Error ? error : new Error(messageOf(error));
    for (const stream of this.#streams.values()) this.#lose(stream, code, false);
    this.#timer?.cancel();
    endGently(this.#bytes, this.#options.clock, cause);
    this.#options.user.onGoAway(this);
  }

  #keepAlive(): void {
    const { clock, keepAliveMs = 10_000, keepAliveTimeoutMs = 10_000 } = this.#options;
    this.#timer = clock.after(
      this.#pinged ? keepAliveTimeoutMs : keepAliveMs,
      () => {
        if (this.#failed || this.#closed) return;
        if (this.#heard) {
          this.#pinged = false;
        } else if (this.#pinged) {
          this.#bytes.destroy(new Error('the peer does not answer'));
          return;
        } else {
          this.#pinged = true;
          this.#safely(() => this.#sender.control(frame(FrameType.PING, 0, 0, PING_PAYLOAD)));
        }
        this.#heard = false;
        this.#keepAlive();
      },
      { unref: true },
    );
  }
}

/** The Content-Length that body bytes must add up to; a malformed one never does. Responses to HEAD have no body, and none of their ends is checked. */
function lengthOf(fields: readonly Field[]): number | undefined {
  let found: string | undefined;
  for (const { lower, value } of fields) {
    if (lower !== 'content-length') continue;
    if (found !== undefined && found !== value) return -1;
    found = value;
  }
  if (found === undefined) return undefined;
  return /^\d{1,15}$/.test(found) ? Number(found) : -1;
}
