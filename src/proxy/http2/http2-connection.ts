import { type Boundary, NO_BOUNDARY } from '../http/failure-boundary.ts';
import type { Connection, ConnectionHandler } from '../io/connection.ts';
import type { Field } from '../http/fields.ts';
import { eventLoopTurn } from '../io/event-loop-turn.ts';
import { closeGracefully } from '../io/graceful-close.ts';
import { FloodProtection } from './flood-protection.ts';
import { assertControlFrame, assertOrder, greeting, PrefaceReader } from './control-frames.ts';
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
} from './frames.ts';
import { GracefulShutdown } from './graceful-shutdown.ts';
import { HeaderBlock } from './header-block.ts';
import { CLIENT_STREAMS, type Http2Options, MAX_HEADER_LIST, SERVER_STREAMS } from './http2-options.ts';
import { HpackDecoder } from './hpack/decoder.ts';
import { KeepAlive, PING } from './keep-alive.ts';
import { connectionWindowOf } from './receive-window.ts';
import { initialRemoteSettings, readSettings } from './remote-settings.ts';
import { Sender } from './sender.ts';
import type { Http2Stream, StreamHandler } from './stream.ts';
import { StreamRoom } from './stream-room.ts';
import { StreamTable } from './stream-table.ts';
import { verdictOf } from './verdict.ts';

/**
 * One HTTP/2 connection at frame level, either end of it (RFC 9113). It holds the peer to the protocol and to
 * limits; what streams are for is up to their handlers.
 */
export class Http2Connection implements ConnectionHandler, FrameSink {
  /** Client: whether streams may name the client on whose behalf they are (stream mode, ADR 0031). */
  readonly namesClients: boolean;
  readonly #bytes: Connection;
  readonly #options: Http2Options<Http2Connection>;
  readonly #boundary: Boundary;
  readonly #budget: FloodProtection;
  readonly #sender: Sender;
  readonly #streams: StreamTable;
  readonly #reader = new FrameReader(this);
  readonly #decoder = new HpackDecoder(4096, MAX_HEADER_LIST);
  readonly #block = new HeaderBlock();
  readonly #peer = initialRemoteSettings();
  readonly #streamWindow: number;
  readonly #connectionWindow: number;
  readonly #maxStreams: number;
  readonly #room: StreamRoom;
  #keepAlive: KeepAlive | undefined;
  readonly #preface = new PrefaceReader();
  #settingsCame = false;
  readonly #shutdown: GracefulShutdown;
  /** We have ended the connection because of an error: nothing more is read. */
  #failed = false;
  #verdict: ConnectionError | undefined;
  /** It is about to close, which takes a turn of the event loop: nothing new may be begun on it. */
  #ending = false;
  #closed = false;

  constructor(bytes: Connection, options: Http2Options<Http2Connection>) {
    const { user } = options;
    this.namesClients = options.namesClients === true;
    this.#bytes = bytes;
    this.#options = options;
    this.#boundary = options.boundary ?? NO_BOUNDARY;
    this.#budget = new FloodProtection(options.clock, options.resetLimit);
    this.#streamWindow = options.streamWindow ?? DEFAULT_WINDOW;
    this.#connectionWindow = connectionWindowOf(options.connectionWindow ?? 1024 * 1024);
    this.#maxStreams = options.maxStreams ?? SERVER_STREAMS;
    const maxOpened = options.maxOpened ?? CLIENT_STREAMS;
    this.#room = new StreamRoom(maxOpened, options.trustedStreams ?? Math.min(maxOpened, CLIENT_STREAMS));
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
      turn: options.turn ?? eventLoopTurn,
      peerWindow: () => this.#peer.initialWindow,
      refusing: () => this.#shutdown.closing,
      onBroken: (error) => this.#break(error),
      onRequest: (stream, fields, ended) => user.onRequest(stream, fields, ended),
      onTooLarge: (stream) => user.onTooLarge(stream),
      onOver: () => this.#streamOver(),
      now: () => options.clock.monotonic(),
      later: (ms, call) => options.clock.after(ms, call, { unref: true }),
      boundary: this.#boundary,
    });
    this.#shutdown = new GracefulShutdown({
      clock: options.clock,
      lastPeer: () => this.#streams.ids.lastPeer,
      send: (bytes) => this.#safely(() => this.#sender.control(bytes)),
      onLast: () => this.#endWhenIdle(),
    });
  }

  /** Those that are open. */
  get streams(): Iterable<Http2Stream> {
    return this.#streams.all;
  }

  /** How many streams are open. */
  get active(): number {
    return this.#streams.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Client: id of the stream that is opened next; 1 while none has been. */
  get nextStreamId(): number {
    return this.#streams.ids.next;
  }

  /** Client: whether another stream may be opened now. */
  get available(): boolean {
    const allowed = this.#settingsCame ? this.#peer.maxConcurrentStreams : undefined;
    return !this.spent && this.#room.has(this.#streams.size, allowed);
  }

  /** Client: whether it is known how many streams may be opened, without waiting for the peer's SETTINGS. */
  get settled(): boolean {
    return this.#settingsCame || this.#room.trusting;
  }

  /** Client: whether the peer has announced that it reads `:alternatives` (ADR 0036). */
  get takesAlternatives(): boolean {
    return this.#peer.takesAlternatives;
  }

  /** Whether the peer was sent a PING while streams were open, and its answer is late. */
  get doubtful(): boolean {
    return this.#keepAlive?.doubtful === true;
  }

  /** Why we have ended it, if we have: its peer's breach, or (INTERNAL_ERROR) an exception of ours. */
  get verdict(): ConnectionError | undefined {
    return this.#verdict;
  }

  /** Client: keeps room for the stream that `open` is called for next. Only when `available`. */
  reserve(): void {
    this.#room.reserve();
  }

  /** Client: the peer's SETTINGS are no longer waited for; it is taken to have no limit. */
  trust(): void {
    this.#room.trust();
  }

  /** Client: whether no stream can ever be opened here again. */
  get spent(): boolean {
    const over = this.#ending || this.#closed || this.#failed;
    return over || this.#shutdown.closing || this.#streams.ids.next >= MAX_WINDOW;
  }

  /** Sends our preface and SETTINGS and begins to read. @param first bytes that have been read already */
  start(first: Buffer): void {
    const { role, clock, keepAliveMs = 10_000, keepAliveTimeoutMs = 10_000 } = this.#options;
    this.#bytes.handler = this;
    const own = {
      maxStreams: this.#maxStreams,
      window: this.#streamWindow,
      connectionWindow: this.#connectionWindow,
      maxHeaderList: MAX_HEADER_LIST,
      takesAlternatives: this.#options.takesAlternatives === true,
    };
    for (const bytes of greeting(role, own)) this.#bytes.send(bytes);
    if (keepAliveMs !== 'off')
      this.#keepAlive = new KeepAlive({
        clock,
        periodMs: keepAliveMs,
        timeoutMs: keepAliveTimeoutMs,
        whileBusy: this.#options.keepAliveBusy,
        busy: () => this.#streams.size > 0,
        congested: () => this.#sender.congested,
        unconfirmed: () => this.#streams.unconfirmed,
        ask: () => this.#safely(() => this.#sender.control(PING)),
        onDead: () => this.destroy(new Error('the peer does not answer')),
      });
    this.#bytes.resume();
    if (this.#bytes.closed) this.onClose(this.#bytes, undefined);
    else if (first.length > 0) this.onData(this.#bytes, first);
  }

  /**
   * Client: opens a stream with a request's head. Only when `available`.
   * @param now monotonic milliseconds, where the caller has just read the clock; default: it is read here
   */
  open(fields: readonly Field[], end: boolean, handler: StreamHandler, now?: number): Http2Stream {
    this.#room.opened();
    this.#keepAlive?.begins();
    return this.#streams.open(fields, end, handler, now ?? this.#options.clock.monotonic());
  }

  /** Server: takes no new streams; ends when those under way are done. */
  goAway(): void {
    if (!this.#failed && !this.#closed) this.#shutdown.begin();
  }

  /** Client: opens no more streams; the connection ends when those under way are done. */
  retire(): void {
    this.#shutdown.stop();
    this.#endWhenIdle();
  }

  onRetire(): void {
    if (this.#options.role === 'server') this.goAway();
    else this.retire();
  }

  /** Sends a frame of no stream, such as a PING. @param bytes the frame */
  control(bytes: Buffer): void {
    if (!this.spent) this.#safely(() => this.#sender.control(bytes));
  }

  /** Ends the connection at once. */
  destroy(error?: Error): void {
    this.#ending = true;
    this.#bytes.destroy(error);
  }

  // --- ConnectionHandler

  onData(_: Connection, chunk: Buffer): void {
    if (this.#failed) return;
    this.#keepAlive?.heard();
    this.#streams.ages.read();
    // As `#safely` does, without a closure for each chunk.
    try {
      const rest = this.#options.role === 'server' ? this.#preface.after(chunk) : chunk;
      if (rest.length > 0) this.#reader.push(rest);
    } catch (error) {
      this.#break(error);
    }
  }

  onEnd(): void {
    // HTTP/2 connections have no half-close: a peer that sends no more has gone.
    this.#ending = true;
    this.#bytes.end();
    this.#bytes.destroy();
  }

  onDrain(): void {
    this.#keepAlive?.drained();
    this.#safely(() => this.#sender.drained());
  }

  onClose(_: Connection, error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#shutdown.stop();
    this.#keepAlive?.stop();
    this.#streams.loseAbove(0, Http2ErrorCode.CANCEL, false);
    this.#options.user.onClosed(this, error);
  }

  // oxlint-disable-next-line max-params -- as FrameSink says
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    assertOrder(this.#settingsCame, this.#block.open, type, flags);
    if (type === FrameType.HEADERS)
      return this.#headers(streamId, this.#block.begin(streamId, flags, bytes, start, end));
    if (type === FrameType.CONTINUATION)
      return this.#headers(streamId, this.#block.continue(streamId, flags, bytes.subarray(start, end)));
    assertControlFrame(type, flags, streamId, end - start);
    // These two come with every request: no view of the bytes is made for them.
    if (type === FrameType.WINDOW_UPDATE)
      this.#windowUpdate(streamId, bytes.readUInt32BE(start) & 0x7fffffff);
    else if (type === FrameType.RST_STREAM) this.#reset(streamId, bytes.readUInt32BE(start));
    else this.#control(type, flags, streamId, bytes.subarray(start, end));
  }

  onDataStart(streamId: number, length: number): void {
    if (!this.#settingsCame || this.#block.open || streamId === 0)
      throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'a DATA frame stands where none may');
    this.#streams.data.start(streamId, length);
  }

  onDataBytes(_: number, chunk: Buffer): void {
    this.#streams.data.bytes(chunk);
  }

  onDataEnd(_: number, length: number, endStream: boolean): void {
    this.#streams.data.end(length, endStream);
  }

  #headers(streamId: number, whole: boolean): void {
    if (streamId === 0) throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'HEADERS have no stream');
    if (!whole) return;
    // Decoded also where the stream is over: the tables of both ends must stay in step.
    const { bytes, start, end, endStream } = this.#block;
    this.#streams.headers(streamId, this.#decoder.decode(bytes, start, end), endStream);
  }

  #control(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (type === FrameType.SETTINGS) return this.#settings(flags, payload);
    if (type === FrameType.PING) return this.#ping(flags, payload);
    if (type === FrameType.GOAWAY) return this.#goAway(payload);
    // PRIORITY is not heeded, nor are unknown types, mostly (RFC 9113 sections 5.3 and 5.5).
    this.#budget.spendIdleFrame();
    this.#options.user.onExtension?.(type, streamId, payload);
  }

  #reset(streamId: number, code: number): void {
    // A peer that has sent an interim response had room for the stream, and refuses it for another reason.
    if (code === Http2ErrorCode.REFUSED_STREAM && !this.#streams.hadInterim(streamId))
      this.#room.refused(this.#streams.size);
    this.#streams.reset(streamId, code);
  }

  #settings(flags: number, payload: Buffer): void {
    if (flags & Flag.ACK) return;
    this.#settingsCame = true;
    this.#budget.spendIdleFrame();
    const before = this.#peer.initialWindow;
    readSettings(payload, this.#peer, this.#options.role);
    this.#sender.encoder.setMaxCapacity(this.#peer.headerTableSize, this.#peer.leastHeaderTableSize);
    this.#sender.control(frame(FrameType.SETTINGS, Flag.ACK, 0));
    this.#streams.growWindows(this.#peer.initialWindow - before);
    if (this.#options.role === 'client')
      this.#options.user.onSettings?.(this, this.#room.limit(this.#peer.maxConcurrentStreams));
  }

  #ping(flags: number, payload: Buffer): void {
    this.#budget.spendIdleFrame();
    if ((flags & Flag.ACK) === 0) return this.#sender.control(frame(FrameType.PING, Flag.ACK, 0, payload));
    this.#shutdown.answered(payload);
    this.#options.user.onPong?.(this, payload);
  }

  #goAway(payload: Buffer): void {
    this.#budget.spendIdleFrame();
    this.#shutdown.stop();
    if (this.#options.role === 'client')
      this.#streams.loseAbove(payload.readUInt32BE(0) & 0x7fffffff, Http2ErrorCode.REFUSED_STREAM, true);
    this.#options.user.onGoAway(this);
    this.#endWhenIdle();
  }

  #windowUpdate(streamId: number, increment: number): void {
    this.#budget.spendWindowUpdate();
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

  #endWhenIdle(): void {
    if (!this.#shutdown.closing || this.#streams.size > 0 || this.#failed || this.#closed) return;
    this.#keepAlive?.stop();
    closeGracefully(this.#bytes, this.#options.clock);
  }

  /** Runs what may throw because the peer broke the protocol or does not read; that breaks the connection. */
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
    const verdict = (this.#verdict = verdictOf(error, this.#boundary));
    this.#bytes.send(goAwayFrame(this.#streams.ids.lastPeer, verdict.code, verdict.message));
    this.#streams.loseAbove(0, verdict.code, false);
    this.#keepAlive?.stop();
    closeGracefully(this.#bytes, this.#options.clock, verdict);
    this.#options.user.onGoAway(this);
  }
}
