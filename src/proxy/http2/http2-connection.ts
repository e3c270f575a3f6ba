import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { type Boundary, NO_BOUNDARY } from '../http/failure-boundary.ts';
import type { Connection, ConnectionHandler } from '../io/connection.ts';
import type { Field } from '../http/fields.ts';
import { closeGracefully } from '../io/graceful-close.ts';
import { type AbuseLimit, PeerAbuseBudget } from './abuse.ts';
import { ConnectionError, Http2ErrorCode } from './errors.ts';
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
import { KeepAlive } from './keep-alive.ts';
import { initialRemoteSettings, readSettings } from './remote-settings.ts';
import { Sender } from './sender.ts';
import type { Http2Stream, StreamHandler } from './stream.ts';
import { connectionWindowOf, StreamTable } from './stream-table.ts';

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
  /** Client: the peer's SETTINGS have come; it takes so many streams at a time. */
  onSettings?(connection: Http2Connection, maxStreams: number): void;
  /** The connection is gone; every stream has been told. */
  onClosed(connection: Http2Connection, error: Error | undefined): void;
}

export interface Http2Options {
  readonly role: 'client' | 'server';
  readonly clock: Clock;
  readonly user: Http2User;
  /** Takes what the users of streams throw, each of which loses its own; default none: it breaks the connection. */
  readonly boundary?: Boundary;
  /** Bytes that the peer may send on a stream before they are consumed; default 65,535 (Linkerd's). */
  readonly streamWindow?: number;
  /** The same for the whole connection; default 1 MiB (Linkerd's). It is given back on arrival, so that unread streams do not stall others. */
  readonly connectionWindow?: number;
  /** Unconsumed bytes of all streams together from which the connection window is no longer given back; default 8 MiB. */
  readonly maxUnconsumed?: number;
  /** Server: streams that a client may have open; default 256. */
  readonly maxStreams?: number;
  /** Server: streams that a client may reset before they are done; default `RESET_LIMIT`. */
  readonly resetLimit?: AbuseLimit;
  /**
   * Client: the peer has agreed that streams say on whose behalf they are (stream mode, ADR 0031); default
   * false.
   */
  readonly namesClients?: boolean;
  /** Client: streams to open at a time, if the peer allows as many; default 100. */
  readonly maxOpened?: number;
  /** Client: streams to open before the peer's SETTINGS have come, which may allow fewer (RFC 9113 section 5.1.2); default 100. */
  readonly trustedStreams?: number;
  /**
   * Silence after which the peer is asked by PING whether it is still there, and how long it may take to answer; default 10 s each
   * (Linkerd's chart: 10 s and 3 s). `off` towards applications: gRPC's servers end the connections of those who ask more often than
   * every five minutes (gRPC's keepalive guide, server enforcement); there TCP's keep-alive notices.
   */
  readonly keepAliveMs?: number | 'off';
  readonly keepAliveTimeoutMs?: number;
}

const MAX_HEADER_LIST = 64 * 1024;
const PING_PAYLOAD = Buffer.from('linkspan', 'latin1');
const DRAINING = Buffer.from('draining', 'latin1');
/** How long a client that is told of the end has to answer. */
const DRAIN_MS = 1000;
/** Streams on one connection to an endpoint; what its peer allows may be less. */
const MAX_OPENED = 100;

/**
 * One HTTP/2 connection at frame level, either end of it (RFC 9113). It keeps the peer to the protocol and within limits; what streams are for is their
 * handlers' business.
 */
export class Http2Connection implements ConnectionHandler, FrameSink {
  /** Client: streams may say on whose behalf they are. */
  readonly namesClients: boolean;
  readonly #bytes: Connection;
  readonly #options: Http2Options;
  readonly #boundary: Boundary;
  readonly #budget: PeerAbuseBudget;
  readonly #sender: Sender;
  readonly #streams: StreamTable;
  readonly #reader = new FrameReader(this);
  readonly #decoder = new HpackDecoder(4096, MAX_HEADER_LIST);
  readonly #block = new HeaderBlock();
  readonly #peer = initialRemoteSettings();
  readonly #streamWindow: number;
  readonly #connectionWindow: number;
  readonly #maxStreams: number;
  /** Client: streams that may be open at a time, for all that we know of the peer. */
  #room: number;
  /** Client: streams that may be open at a time as long as SETTINGS have not come. */
  #trusted: number;
  /** Client: streams that somebody is about to open. */
  #reserved = 0;
  #keepAlive: KeepAlive | undefined;
  /** Bytes of the preface that have come. */
  #preface = 0;
  #settingsCame = false;
  #goingAway = false;
  /** No new streams: the peer has said so, or we have. */
  #last = false;
  #failed = false;
  #verdict: ConnectionError | undefined;
  #closed = false;

  constructor(bytes: Connection, options: Http2Options) {
    const { user } = options;
    this.namesClients = options.namesClients === true;
    this.#bytes = bytes;
    this.#options = options;
    this.#boundary = options.boundary ?? NO_BOUNDARY;
    this.#budget = new PeerAbuseBudget(options.clock, options.resetLimit);
    this.#streamWindow = options.streamWindow ?? DEFAULT_WINDOW;
    this.#connectionWindow = connectionWindowOf(options.connectionWindow ?? 1024 * 1024);
    this.#maxStreams = options.maxStreams ?? 256;
    this.#room = options.maxOpened ?? MAX_OPENED;
    this.#trusted = options.trustedStreams ?? Math.min(this.#room, MAX_OPENED);
    this.#sender = new Sender(bytes, {
      onEndSent: (stream) => this.#streams.endSent(stream),
      onDataSent: (bytes, dribbled) => this.#budget.sentData(bytes, dribbled),
    });
    this.#streams = new StreamTable({
      role: options.role,
      sender: this.#sender,
      budget: this.#budget,
      streamWindow: this.#streamWindow,
      connectionWindow: this.#connectionWindow,
      maxUnconsumed: options.maxUnconsumed ?? 8 * 1024 * 1024,
      maxStreams: this.#maxStreams,
      peerWindow: () => this.#peer.initialWindow,
      refusing: () => this.#last,
      onBroken: (error) => this.#break(error),
      onRequest: (stream, fields, ended) => user.onRequest(stream, fields, ended),
      onTooLarge: (stream) => user.onTooLarge(stream),
      onOver: () => this.#streamOver(),
      now: () => options.clock.monotonic(),
      later: (ms, call) => options.clock.after(ms, call, { unref: true }),
      boundary: this.#boundary,
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
    return this.#streams.nextId;
  }

  /** Client: may another stream be opened? */
  get available(): boolean {
    const allowed = this.#settingsCame ? this.#peer.maxConcurrentStreams : this.#trusted;
    return !this.spent && this.#streams.size + this.#reserved < Math.min(allowed, this.#room);
  }

  /** Client: has the peer said how many streams it takes? */
  get settled(): boolean {
    return this.#settingsCame || this.#trusted >= this.#room;
  }

  /** The peer's breach of the protocol, where we have ended the connection for one. */
  get verdict(): ConnectionError | undefined {
    return this.#verdict;
  }

  /** Client: keeps a place for a stream that is opened next. Only when `available`. */
  reserve(): void {
    this.#reserved++;
  }

  /** Client: waits no longer for SETTINGS. */
  trust(): void {
    this.#trusted = this.#room;
  }

  /** Client: nothing new can ever be sent here. */
  get spent(): boolean {
    return this.#closed || this.#failed || this.#last || this.#streams.nextId >= MAX_WINDOW;
  }

  /** @param first bytes that have been read already */
  start(first: Buffer): void {
    const { role, clock, keepAliveMs = 10_000, keepAliveTimeoutMs = 10_000 } = this.#options;
    this.#bytes.handler = this;
    if (role === 'client') this.#bytes.send(PREFACE);
    const shared = [
      [Setting.INITIAL_WINDOW_SIZE, this.#streamWindow],
      [Setting.MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST],
    ] as const;
    const own =
      role === 'client'
        ? ([Setting.ENABLE_PUSH, 0] as const)
        : ([Setting.MAX_CONCURRENT_STREAMS, this.#maxStreams] as const);
    this.#bytes.send(settingsFrame([own, ...shared]));
    const more = this.#connectionWindow - DEFAULT_WINDOW;
    if (more > 0) this.#bytes.send(numberFrame(FrameType.WINDOW_UPDATE, 0, more));
    if (keepAliveMs !== 'off')
      this.#keepAlive = new KeepAlive({
        clock,
        periodMs: keepAliveMs,
        timeoutMs: keepAliveTimeoutMs,
        ask: () => this.#safely(() => this.#sender.control(frame(FrameType.PING, 0, 0, PING_PAYLOAD))),
        onDead: () => this.#bytes.destroy(new Error('the peer does not answer')),
      });
    this.#bytes.resume();
    if (this.#bytes.closed) this.onClose(this.#bytes, undefined);
    else if (first.length > 0) this.onData(this.#bytes, first);
  }

  /** Client: opens a stream with a request's head. Only when `available`. */
  open(fields: readonly Field[], end: boolean, handler: StreamHandler): Http2Stream {
    if (this.#reserved > 0) this.#reserved--;
    return this.#streams.open(fields, end, handler);
  }

  /** Server: takes no new streams; ends when those under way are done (RFC 9113 section 6.8: first a warning, then the last id). */
  goAway(): void {
    if (this.#goingAway || this.#failed || this.#closed) return;
    this.#goingAway = true;
    this.#safely(() => {
      this.#sender.control(goAwayFrame(MAX_WINDOW, Http2ErrorCode.NO_ERROR, 'shutting down'));
      // Its answer says that the client has seen the warning: what it sent before has arrived then.
      this.#sender.control(frame(FrameType.PING, 0, 0, DRAINING));
    });
    // A client that answers no PING has had the time that its requests need to arrive.
    this.#options.clock.after(DRAIN_MS, () => this.#safely(() => this.#lastWord()), { unref: true });
  }

  /** Client: opens no more streams; the connection ends when those under way are done. */
  retire(): void {
    this.#last = true;
    this.#endWhenIdle();
  }

  onRetire(): void {
    if (this.#options.role === 'server') this.goAway();
    else this.retire();
  }

  /** Ends the connection at once. */
  destroy(error?: Error): void {
    this.#bytes.destroy(error);
  }

  // --- what the socket tells

  onData(_: Connection, chunk: Buffer): void {
    if (this.#failed) return;
    this.#keepAlive?.heard();
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
    this.#keepAlive?.stop();
    this.#streams.loseAbove(0, Http2ErrorCode.CANCEL, false);
    this.#options.user.onClosed(this, error);
  }

  // --- what the frame reader finds

  // oxlint-disable-next-line max-params -- as FrameSink says
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (!this.#settingsCame && (type !== FrameType.SETTINGS || flags & Flag.ACK))
      throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'the first frame is not SETTINGS');
    if (this.#block.open && type !== FrameType.CONTINUATION)
      throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'a header block is interrupted');
    if (type === FrameType.HEADERS) {
      this.#headers(streamId, this.#block.begin(streamId, flags, bytes, start, end));
      return;
    }
    const payload = bytes.subarray(start, end);
    if (type === FrameType.CONTINUATION)
      this.#headers(streamId, this.#block.continue(streamId, flags, payload));
    else this.#control(type, flags, streamId, payload);
  }

  onDataStart(streamId: number, length: number): void {
    if (!this.#settingsCame || this.#block.open || streamId === 0)
      throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'a DATA frame stands where none may');
    this.#streams.dataStart(streamId, length);
  }

  onDataBytes(_: number, chunk: Buffer): void {
    this.#streams.dataBytes(chunk);
  }

  onDataEnd(_: number, length: number, endStream: boolean): void {
    this.#streams.dataEnd(length, endStream);
  }

  // --- frames

  #afterPreface(chunk: Buffer): Buffer {
    if (this.#preface === PREFACE.length) return chunk;
    const length = Math.min(PREFACE.length - this.#preface, chunk.length);
    if (PREFACE.compare(chunk, 0, length, this.#preface, this.#preface + length) !== 0)
      throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'the connection preface is missing');
    this.#preface += length;
    return chunk.subarray(length);
  }

  #headers(streamId: number, whole: boolean): void {
    if (streamId === 0) throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'HEADERS have no stream');
    if (!whole) return;
    // Decoded even when nobody wants it: the tables of both ends must stay in step.
    const { bytes, start, end, endStream } = this.#block;
    this.#streams.headers(streamId, this.#decoder.decode(bytes, start, end), endStream);
  }

  #control(type: number, flags: number, streamId: number, payload: Buffer): void {
    switch (type) {
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
        throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'nothing may be pushed');
      case FrameType.PRIORITY:
        if (payload.length !== 5 || streamId === 0)
          throw new ConnectionError(Http2ErrorCode.FRAME_SIZE_ERROR, 'a PRIORITY frame is malformed');
        return this.#budget.spendIdleFrame();
      default:
        // Unknown types are ignored (RFC 9113 section 4.1).
        return this.#budget.spendIdleFrame();
    }
  }

  #reset(streamId: number, payload: Buffer): void {
    if (payload.length !== 4)
      throw new ConnectionError(Http2ErrorCode.FRAME_SIZE_ERROR, 'RST_STREAM is malformed');
    if (streamId === 0) throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'RST_STREAM has no stream');
    const code = payload.readUInt32BE(0);
    // A peer that refuses a stream has as many as it wants, whatever its settings say.
    if (code === Http2ErrorCode.REFUSED_STREAM)
      this.#room = Math.max(1, Math.min(this.#room, this.#streams.size - 1));
    this.#streams.reset(streamId, code);
  }

  #settings(flags: number, streamId: number, payload: Buffer): void {
    if (streamId !== 0) throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'SETTINGS have a stream');
    if (flags & Flag.ACK) {
      if (payload.length > 0)
        throw new ConnectionError(Http2ErrorCode.FRAME_SIZE_ERROR, 'an ACK has a payload');
      return;
    }
    this.#settingsCame = true;
    this.#budget.spendIdleFrame();
    const before = this.#peer.initialWindow;
    readSettings(payload, this.#peer, this.#options.role);
    this.#sender.encoder.setMaxCapacity(this.#peer.headerTableSize, this.#peer.leastHeaderTableSize);
    this.#sender.control(frame(FrameType.SETTINGS, Flag.ACK, 0));
    this.#streams.growWindows(this.#peer.initialWindow - before);
    if (this.#options.role === 'client')
      this.#options.user.onSettings?.(this, Math.min(this.#peer.maxConcurrentStreams, this.#room));
  }

  #ping(flags: number, streamId: number, payload: Buffer): void {
    if (streamId !== 0) throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'PING has a stream');
    if (payload.length !== 8) throw new ConnectionError(Http2ErrorCode.FRAME_SIZE_ERROR, 'PING is malformed');
    this.#budget.spendIdleFrame();
    if ((flags & Flag.ACK) === 0) {
      this.#sender.control(frame(FrameType.PING, Flag.ACK, 0, payload));
    } else if (this.#goingAway && payload.equals(DRAINING)) {
      this.#lastWord();
    }
  }

  #goAway(streamId: number, payload: Buffer): void {
    if (streamId !== 0) throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'GOAWAY has a stream');
    if (payload.length < 8) throw new ConnectionError(Http2ErrorCode.FRAME_SIZE_ERROR, 'GOAWAY is cut short');
    this.#budget.spendIdleFrame();
    this.#last = true;
    if (this.#options.role === 'client')
      this.#streams.loseAbove(payload.readUInt32BE(0) & 0x7fffffff, Http2ErrorCode.REFUSED_STREAM, true);
    this.#options.user.onGoAway(this);
    this.#endWhenIdle();
  }

  #windowUpdate(streamId: number, payload: Buffer): void {
    if (payload.length !== 4)
      throw new ConnectionError(Http2ErrorCode.FRAME_SIZE_ERROR, 'WINDOW_UPDATE is malformed');
    this.#budget.spendWindowUpdate();
    const increment = payload.readUInt32BE(0) & 0x7fffffff;
    if (streamId !== 0) this.#streams.windowUpdate(streamId, increment);
    else if (increment === 0)
      throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'a window grows by nothing');
    else this.#sender.grow(increment);
  }

  // --- the end

  #streamOver(): void {
    if (this.#closed) return;
    try {
      this.#options.user.onStreamClosed(this);
    } catch (error) {
      this.#boundary.caught(error);
    }
    this.#endWhenIdle();
  }

  /** The last GOAWAY, with the last stream that was taken. */
  #lastWord(): void {
    if (this.#last || this.#closed) return;
    this.#sender.control(goAwayFrame(this.#streams.lastPeerId, Http2ErrorCode.NO_ERROR, 'shutting down'));
    this.#last = true;
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    if (!this.#last || this.#streams.size > 0 || this.#failed) return;
    this.#keepAlive?.stop();
    closeGracefully(this.#bytes, this.#options.clock);
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
    const verdict = this.#verdictOf(error);
    if (error instanceof ConnectionError || verdict.code === Http2ErrorCode.INTERNAL_ERROR)
      this.#verdict = verdict;
    const { code, message } = verdict;
    this.#bytes.send(goAwayFrame(this.#streams.lastPeerId, code, message));
    this.#streams.loseAbove(0, code, false);
    this.#keepAlive?.stop();
    closeGracefully(this.#bytes, this.#options.clock, verdict);
    this.#options.user.onGoAway(this);
  }

  /**
   * The error with which the connection ends: the peer's breach of the protocol, or a mistake of ours, of
   * which the peer is told no more than that.
   */
  #verdictOf(error: unknown): ConnectionError {
    if (error instanceof ConnectionError) return error;
    if (error instanceof HpackError)
      return new ConnectionError(Http2ErrorCode.COMPRESSION_ERROR, messageOf(error));
    return new ConnectionError(Http2ErrorCode.INTERNAL_ERROR, this.#boundary.caught(error).message);
  }
}
