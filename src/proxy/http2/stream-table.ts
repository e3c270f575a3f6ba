import { type Field, trailerFields, valueOf } from '../http/fields.ts';
import { MAX_INTERIM } from '../http/messages.ts';
import type { ReadTurn } from '../io/event-loop-turn.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import { GIVE_UP_MS, type FloodProtection } from './flood-protection.ts';
import { DataReceiver } from './data-receiver.ts';
import { ConnectionError, Http2ErrorCode, StreamError } from './errors.ts';
import { FrameType, MAX_WINDOW, numberFrame } from './frames.ts';
import type { DecodedFields } from './hpack/decoder.ts';
import { bodyLengthOf } from './message.ts';
import type { Sender } from './sender.ts';
import { StreamAges } from './stream-ages.ts';
import { StreamIds } from './stream-ids.ts';
import { StreamMap } from './stream-map.ts';
import { Http2Stream, type StreamHandler, type StreamOwner } from './stream.ts';

/** What the streams of a connection share, and who hears of them; sizes are those of `Http2Options`. */
export interface StreamTableOptions {
  readonly role: 'client' | 'server';
  readonly sender: Sender;
  readonly budget: FloodProtection;
  readonly streamWindow: number;
  readonly connectionWindow: number;
  readonly maxUnconsumed: number;
  readonly maxStreams: number;
  /** How late this process may be. */
  readonly turn: ReadTurn;
  /** The peer's SETTINGS_INITIAL_WINDOW_SIZE now. */
  readonly peerWindow: () => number;
  /** Server: are new streams refused? */
  readonly refusing: () => boolean;
  /** The connection has to end: sending has shown that the peer does not read. */
  readonly onBroken: (error: unknown) => void;
  /** As `Http2User.onRequest`. */
  readonly onRequest: (stream: Http2Stream, fields: readonly Field[], ended: boolean) => void;
  /** As `Http2User.onTooLarge`. */
  readonly onTooLarge: (stream: Http2Stream) => void;
  /** A stream is over. */
  readonly onOver: () => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Calls in so many milliseconds, if the process still runs. */
  readonly later: (ms: number, call: () => void) => void;
  /** Takes what handlers throw. */
  readonly boundary: Boundary;
}

/** The digit 1, with which the status of an interim response begins. */
const ONE = 0x31;

/**
 * The streams of one HTTP/2 connection: their life (RFC 9113 section 5.1) and what they, and all together,
 * may send us (section 5.2).
 */
export class StreamTable implements StreamOwner {
  readonly #options: StreamTableOptions;
  readonly #sender: Sender;
  readonly #streams = new StreamMap<Http2Stream>();
  /** Which streams have begun. */
  readonly ids: StreamIds;
  /** Server: how old streams are. */
  readonly ages: StreamAges;
  /** Takes DATA frames. */
  readonly data: DataReceiver;

  constructor(options: StreamTableOptions) {
    this.#options = options;
    this.#sender = options.sender;
    this.ids = new StreamIds(options.role);
    this.ages = new StreamAges(options.now, options.turn, options.maxStreams);
    this.data = new DataReceiver({
      ids: this.ids,
      streams: this.#streams,
      budget: options.budget,
      streamWindow: options.streamWindow,
      connectionWindow: options.connectionWindow,
      maxUnconsumed: options.maxUnconsumed,
      onUpdate: (frame) => this.#control(frame),
      onBreach: (stream, error) => this.#fail(stream, error),
      onEnd: (stream) => this.#remoteEnd(stream, undefined),
    });
  }

  get all(): Iterable<Http2Stream> {
    return this.#streams.values();
  }

  get size(): number {
    return this.#streams.size;
  }

  /** Client: opens a stream with a request's head. @param now monotonic milliseconds */
  open(fields: readonly Field[], end: boolean, handler: StreamHandler, now: number): Http2Stream {
    const stream = this.#add(this.ids.open());
    stream.handler = handler;
    stream.bornAt = now;
    stream.head(fields, end);
    return stream;
  }

  // --- StreamOwner: what streams ask for

  sendHead(stream: Http2Stream, fields: readonly Field[], end: boolean): void {
    // An interim response (1xx) is no answer.
    if (fields[0]?.value.charCodeAt(0) !== ONE) stream.answered = true;
    try {
      this.#sender.head(stream, fields, end);
    } catch (error) {
      this.#options.onBroken(error);
    }
  }

  sendData(stream: Http2Stream, chunk: Buffer): number {
    try {
      return this.#sender.data(stream, chunk);
    } catch (error) {
      // Not thrown to the caller, which is as a rule the handler of another connection: this one is broken.
      this.#options.onBroken(error);
      return chunk.length;
    }
  }

  sendEnd(stream: Http2Stream): void {
    try {
      this.#sender.end(stream);
    } catch (error) {
      this.#options.onBroken(error);
    }
  }

  resetStream(stream: Http2Stream, code: number): void {
    if (stream.givenUp) return;
    stream.release();
    const { role, now, later, turn } = this.#options;
    // See `GIVE_UP_MS`. A head leaves at the end of the turn in which it was sent, so that the turn's length
    // does not count.
    const waitMs =
      role === 'server' || stream.headCame ? 0 : stream.bornAt + GIVE_UP_MS + turn.lagMs() - now();
    if (waitMs <= 0) return this.#sendReset(stream, code);
    stream.givenUp = true;
    stream.localEnded = true;
    this.#sender.forget(stream);
    later(waitMs, () => this.#sendReset(stream, code));
  }

  #sendReset(stream: Http2Stream, code: number): void {
    if (stream.closed) return;
    this.#control(numberFrame(FrameType.RST_STREAM, stream.id, code));
    this.#over(stream);
  }

  consumed(stream: Http2Stream, bytes: number): void {
    this.data.consumed(stream, bytes);
  }

  caught(stream: Http2Stream, handler: StreamHandler, error: unknown): void {
    const { boundary } = this.#options;
    const failure = boundary.caught(error);
    try {
      if (handler.onCaught !== undefined) return handler.onCaught(stream, failure);
    } catch (again) {
      boundary.caught(again);
    }
    stream.reset(Http2ErrorCode.INTERNAL_ERROR);
  }

  /** Our message on a stream has been sent. */
  endSent(stream: Http2Stream): void {
    this.#maybeOver(stream);
  }

  // --- what frames say

  /** A whole header block has come: a request, a response or trailers. @throws ConnectionError */
  headers(streamId: number, decoded: DecodedFields, end: boolean): void {
    const { budget } = this.#options;
    const stream = this.#streams.get(streamId) ?? this.#begin(streamId);
    if (stream === undefined) return budget.spendIdleFrame();
    budget.earn();
    if (decoded.malformed !== undefined) {
      this.#fail(stream, new StreamError(Http2ErrorCode.PROTOCOL_ERROR, decoded.malformed));
    } else if (stream.remoteEnded) {
      this.#fail(stream, new StreamError(Http2ErrorCode.STREAM_CLOSED, 'HEADERS came behind the end'));
    } else if (decoded.tooLarge) {
      this.#tooLarge(stream, end);
    } else if (stream.headCame) {
      this.#trailers(stream, decoded.fields, end);
    } else if (this.#options.role === 'server') {
      this.#request(stream, decoded.fields, end);
    } else {
      this.#response(stream, decoded.fields, end);
    }
  }

  /** RST_STREAM has come. @throws ConnectionError */
  reset(streamId: number, code: number): void {
    const { budget, role } = this.#options;
    this.ids.assertNotIdle(streamId);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return budget.spendIdleFrame();
    if (role === 'server' && !stream.answered && this.ages.isRapid(stream.bornAt)) budget.spendReset();
    this.#lose(stream, code, code === Http2ErrorCode.REFUSED_STREAM);
  }

  /** Bytes of bodies that were sent on open streams, and that the peer has not said to have read. */
  get unconfirmed(): number {
    const whole = this.#options.peerWindow();
    return this.#streams.values().reduce((sum, { sendWindow }) => sum + Math.max(0, whole - sendWindow), 0);
  }

  /** Client: whether an interim (1xx) response has come on a stream. */
  hadInterim(streamId: number): boolean {
    return (this.#streams.get(streamId)?.interims ?? 0) > 0;
  }

  /** WINDOW_UPDATE of a stream has come. @throws ConnectionError */
  windowUpdate(streamId: number, increment: number): void {
    this.ids.assertNotIdle(streamId);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    stream.sendWindow += increment;
    if (increment === 0) {
      this.#fail(stream, new StreamError(Http2ErrorCode.PROTOCOL_ERROR, 'a window grows by nothing'));
    } else if (stream.sendWindow > MAX_WINDOW) {
      this.#fail(stream, new StreamError(Http2ErrorCode.FLOW_CONTROL_ERROR, 'a window becomes too large'));
    } else {
      this.#sender.pump();
    }
  }

  /**
   * The peer has changed its initial window: that of every stream changes with it (RFC 9113 section 6.9.2).
   * @throws ConnectionError
   */
  growWindows(growth: number): void {
    if (growth === 0) return;
    for (const stream of this.#streams.values()) {
      stream.sendWindow += growth;
      if (stream.sendWindow > MAX_WINDOW)
        throw new ConnectionError(Http2ErrorCode.FLOW_CONTROL_ERROR, 'a window becomes too large');
    }
    if (growth > 0) this.#sender.pump();
  }

  /**
   * Ends the streams whose ids are above `last`.
   * @param unprocessed whether the peer has not looked at them (GOAWAY); otherwise the connection has ended
   */
  loseAbove(last: number, code: number, unprocessed: boolean): void {
    for (const stream of this.#streams.values()) if (stream.id > last) this.#lose(stream, code, unprocessed);
  }

  // --- the life of a stream

  /** Server: the stream that HEADERS begin; undefined: that stream is over, or is refused. */
  #begin(id: number): Http2Stream | undefined {
    const { budget, maxStreams, refusing } = this.#options;
    if (!this.ids.mayBegin(id)) return undefined;
    // The last GOAWAY has named the last stream: the client sends later ones again on another connection.
    if (refusing()) {
      this.ids.refuse(id);
      return undefined;
    }
    this.ids.begin(id);
    if (this.#streams.size < maxStreams) {
      const stream = this.#add(id);
      stream.bornAt = this.ages.born();
      return stream;
    }
    budget.spendReset();
    this.#sender.control(numberFrame(FrameType.RST_STREAM, id, Http2ErrorCode.REFUSED_STREAM));
    return undefined;
  }

  #add(id: number): Http2Stream {
    const { peerWindow, streamWindow } = this.#options;
    const stream = new Http2Stream(this, id, { send: peerWindow(), receive: streamWindow });
    this.#streams.add(stream);
    return stream;
  }

  #tooLarge(stream: Http2Stream, end: boolean): void {
    if (this.#options.role === 'client' || stream.headCame) {
      this.#fail(stream, new StreamError(Http2ErrorCode.ENHANCE_YOUR_CALM, 'the header list is too large'));
      return;
    }
    stream.begins(undefined, end);
    try {
      this.#options.onTooLarge(stream);
    } catch (error) {
      stream.threw(error);
    }
  }

  #request(stream: Http2Stream, fields: readonly Field[], end: boolean): void {
    stream.begins(end ? undefined : bodyLengthOf(fields), end);
    try {
      this.#options.onRequest(stream, fields, end);
    } catch (error) {
      stream.threw(error);
    }
    if (end) this.#maybeOver(stream);
  }

  #response(stream: Http2Stream, fields: readonly Field[], end: boolean): void {
    const status = valueOf(fields, ':status') ?? '';
    if (status !== '200' && /^1\d\d$/.test(status)) {
      this.#options.budget.spendIdleFrame();
      // HTTP/2 has no 101 (RFC 9113 section 8.6): passed on to an HTTP/1 client, it would make what follows
      // look like another protocol.
      if (status === '101')
        this.#fail(stream, new StreamError(Http2ErrorCode.PROTOCOL_ERROR, 'a response is 101'));
      else if (end)
        this.#fail(stream, new StreamError(Http2ErrorCode.PROTOCOL_ERROR, 'an interim response ends'));
      else if (stream.interims >= MAX_INTERIM)
        this.#fail(
          stream,
          new StreamError(Http2ErrorCode.ENHANCE_YOUR_CALM, 'interim responses without end'),
        );
      else stream.notifyInterim(fields);
      return;
    }
    stream.begins(bodyLengthOf(fields), end);
    stream.notifyHead(fields, end);
    if (end) this.#maybeOver(stream);
  }

  #trailers(stream: Http2Stream, fields: readonly Field[], end: boolean): void {
    if (!end || fields.some(({ lower }) => lower.startsWith(':'))) {
      this.#fail(stream, new StreamError(Http2ErrorCode.PROTOCOL_ERROR, 'trailers are malformed'));
      return;
    }
    this.#remoteEnd(stream, trailerFields(fields));
  }

  #remoteEnd(stream: Http2Stream, trailers: readonly Field[] | undefined): void {
    if (!stream.whole) {
      const text = 'the body is shorter than its Content-Length';
      this.#fail(stream, new StreamError(Http2ErrorCode.PROTOCOL_ERROR, text));
      return;
    }
    stream.remoteEnded = true;
    stream.notifyEnd(trailers);
    this.#maybeOver(stream);
  }

  /** The peer broke the protocol on one stream, which is reset. */
  #fail(stream: Http2Stream, error: StreamError): void {
    const { handler } = stream;
    if (this.#options.role === 'server') this.#options.budget.spendReset();
    stream.release();
    this.#sendReset(stream, error.code);
    stream.notifyReset(handler, error.code, false);
  }

  /** A stream ends early, and not by us: by a reset or GOAWAY of the peer, or with the connection. */
  #lose(stream: Http2Stream, code: number, unprocessed: boolean): void {
    const { handler } = stream;
    stream.release();
    this.#over(stream);
    stream.notifyReset(handler, code, unprocessed);
  }

  #maybeOver(stream: Http2Stream): void {
    if (!stream.endSent || !stream.remoteEnded) return;
    this.#options.budget.streamDone();
    this.#over(stream);
  }

  #over(stream: Http2Stream): void {
    if (stream.closed) return;
    stream.closed = true;
    this.#sender.forget(stream);
    this.#streams.delete(stream.id);
    this.data.forget(stream);
    this.#options.onOver();
  }

  #control(bytes: Buffer): void {
    try {
      this.#sender.control(bytes);
    } catch (error) {
      this.#options.onBroken(error);
    }
  }
}
