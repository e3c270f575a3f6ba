import { messageOf } from '../../api/errors/linkspan-error.ts';
import { type Boundary, NO_BOUNDARY } from '../http/failure-boundary.ts';
import type { Connection, ConnectionHandler } from '../io/connection.ts';
import type { Field } from '../http/fields.ts';
import { eventLoopTurn } from '../io/event-loop-turn.ts';
import { closeGracefully } from '../io/graceful-close.ts';
import { FloodProtection } from './flood-protection.ts';
import { assertControlFrame, firstSettings, PrefaceReader } from './control-frames.ts';
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
} from './frames.ts';
import { GracefulShutdown } from './graceful-shutdown.ts';
import { HeaderBlock } from './header-block.ts';
import { type Http2Options, MAX_HEADER_LIST, MAX_OPEN, MAX_OPENED } from './http2-options.ts';
import { HpackDecoder, HpackError } from './hpack/decoder.ts';
import { KeepAlive } from './keep-alive.ts';
import { connectionWindowOf } from './receive-window.ts';
import { initialRemoteSettings, readSettings } from './remote-settings.ts';
import { Sender } from './sender.ts';
import type { Http2Stream, StreamHandler } from './stream.ts';
import { StreamRoom } from './stream-room.ts';
import { StreamTable } from './stream-table.ts';

const PING_PAYLOAD = Buffer.from('linkspan', 'latin1');

/**
 * One HTTP/2 connection at frame level, either end of it (RFC 9113). It keeps the peer to the protocol and
 * within limits; what streams are for is their handlers' business.
 */
export class Http2Connection implements ConnectionHandler, FrameSink {
  /** Client: streams may say on whose behalf they are. */
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
  #failed = false;
  #verdict: ConnectionError | undefined;
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
    this.#maxStreams = options.maxStreams ?? MAX_OPEN;
    const maxOpened = options.maxOpened ?? MAX_OPENED;
    this.#room = new StreamRoom(maxOpened, options.trustedStreams ?? Math.min(maxOpened, MAX_OPENED));
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
      refusing: () => this.#shutdown.last,
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

  /** Streams that are open. */
  get active(): number {
    return this.#streams.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Client: grows with each stream. */
  get opened(): number {
    return this.#streams.ids.next;
  }

  /** Client: may another stream be opened? */
  get available(): boolean {
    const allowed = this.#settingsCame ? this.#peer.maxConcurrentStreams : undefined;
    return !this.spent && this.#room.has(this.#streams.size, allowed);
  }

  /** Client: has the peer said how many streams it takes? */
  get settled(): boolean {
    return this.#settingsCame || this.#room.trusting;
  }

  /** The peer's breach of the protocol, where we have ended the connection for one. */
  get verdict(): ConnectionError | undefined {
    return this.#verdict;
  }

  /** Client: keeps a place for a stream that is opened next. Only when `available`. */
  reserve(): void {
    this.#room.reserve();
  }

  /** Client: waits no longer for SETTINGS. */
  trust(): void {
    this.#room.trust();
  }

  /** Client: nothing new can ever be sent here. */
  get spent(): boolean {
    return this.#closed || this.#failed || this.#shutdown.last || this.#streams.ids.next >= MAX_WINDOW;
  }

  /** @param first bytes that have been read already */
  start(first: Buffer): void {
    const { role, clock, keepAliveMs = 10_000, keepAliveTimeoutMs = 10_000 } = this.#options;
    this.#bytes.handler = this;
    if (role === 'client') this.#bytes.send(PREFACE);
    const own = { maxStreams: this.#maxStreams, window: this.#streamWindow, maxHeaderList: MAX_HEADER_LIST };
    this.#bytes.send(firstSettings(role, own));
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
    this.#room.opened();
    return this.#streams.open(fields, end, handler);
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

  /** Ends the connection at once. */
  destroy(error?: Error): void {
    this.#bytes.destroy(error);
  }

  // --- what the socket tells

  onData(_: Connection, chunk: Buffer): void {
    if (this.#failed) return;
    this.#keepAlive?.heard();
    this.#streams.ages.read();
    // Not `#safely`: no closure for each chunk.
    try {
      const rest = this.#options.role === 'server' ? this.#preface.after(chunk) : chunk;
      if (rest.length > 0) this.#reader.push(rest);
    } catch (error) {
      this.#break(error);
    }
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
    this.#shutdown.stop();
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
    if (type === FrameType.CONTINUATION) {
      this.#headers(streamId, this.#block.continue(streamId, flags, bytes.subarray(start, end)));
      return;
    }
    assertControlFrame(type, flags, streamId, end - start);
    // These two come with requests: no view for each.
    if (type === FrameType.WINDOW_UPDATE)
      this.#windowUpdate(streamId, bytes.readUInt32BE(start) & 0x7fffffff);
    else if (type === FrameType.RST_STREAM) this.#reset(streamId, bytes.readUInt32BE(start));
    else this.#control(type, flags, bytes.subarray(start, end));
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

  // --- frames

  #headers(streamId: number, whole: boolean): void {
    if (streamId === 0) throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'HEADERS have no stream');
    if (!whole) return;
    // Decoded even when nobody wants it: the tables of both ends must stay in step.
    const { bytes, start, end, endStream } = this.#block;
    this.#streams.headers(streamId, this.#decoder.decode(bytes, start, end), endStream);
  }

  #control(type: number, flags: number, payload: Buffer): void {
    switch (type) {
      case FrameType.SETTINGS:
        return this.#settings(flags, payload);
      case FrameType.PING:
        return this.#ping(flags, payload);
      case FrameType.GOAWAY:
        return this.#goAway(payload);
      default:
        // PRIORITY says nothing to us, nor do types that we do not know.
        return this.#budget.spendIdleFrame();
    }
  }

  #reset(streamId: number, code: number): void {
    if (code === Http2ErrorCode.REFUSED_STREAM) this.#room.refused(this.#streams.size);
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
    if ((flags & Flag.ACK) === 0) {
      this.#sender.control(frame(FrameType.PING, Flag.ACK, 0, payload));
    } else {
      this.#shutdown.answered(payload);
    }
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
    if (!this.#shutdown.last || this.#streams.size > 0 || this.#failed || this.#closed) return;
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
    const verdict = verdictOf(error, this.#boundary);
    if (error instanceof ConnectionError || verdict.code === Http2ErrorCode.INTERNAL_ERROR)
      this.#verdict = verdict;
    const { code, message } = verdict;
    this.#bytes.send(goAwayFrame(this.#streams.ids.lastPeer, code, message));
    this.#streams.loseAbove(0, code, false);
    this.#keepAlive?.stop();
    closeGracefully(this.#bytes, this.#options.clock, verdict);
    this.#options.user.onGoAway(this);
  }
}

/**
 * The error with which the connection ends: the peer's breach of the protocol, or a mistake of ours, of which
 * the peer is told no more than that.
 */
function verdictOf(error: unknown, boundary: Boundary): ConnectionError {
  if (error instanceof ConnectionError) return error;
  if (error instanceof HpackError)
    return new ConnectionError(Http2ErrorCode.COMPRESSION_ERROR, messageOf(error));
  return new ConnectionError(Http2ErrorCode.INTERNAL_ERROR, boundary.caught(error).message);
}
