import { expect } from 'chai';
import { Socket } from 'node:net';
import { GIVE_UP_MS, RAPID_MS, RESET_LIMIT } from '../../../../src/proxy/http2/flood-protection.ts';
import { Http2ErrorCode } from '../../../../src/proxy/http2/errors.ts';
import {
  frame,
  FrameReader,
  FrameType,
  headerFrames,
  numberFrame,
  PREFACE,
  settingsFrame,
} from '../../../../src/proxy/http2/frames.ts';
import { HpackEncoder } from '../../../../src/proxy/http2/hpack/encoder.ts';
import { Http2Connection } from '../../../../src/proxy/http2/http2-connection.ts';
import type { Http2User } from '../../../../src/proxy/http2/http2-options.ts';
import type { StreamHandler } from '../../../../src/proxy/http2/stream.ts';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import { MAX_INTERIM } from '../../../../src/proxy/http/messages.ts';
import { SocketConnection } from '../../../../src/proxy/io/socket-connection.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

/** More than are read together. */
const LATE_MS = 50;
const MAX_STREAMS = 256;
const FIELDS = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/call'],
  [':authority', 'x'],
].map(([name = '', value = '']) => makeField(name, value));
const UNHEARD: Http2User<Http2Connection> = {
  onRequest: () => undefined,
  onTooLarge: () => undefined,
  onStreamClosed: () => undefined,
  onGoAway: () => undefined,
  onClosed: () => undefined,
};
const NO_HANDLER: StreamHandler = {
  onInterim: () => undefined,
  onHead: () => undefined,
  onData: () => undefined,
  onEnd: () => undefined,
  onSent: () => undefined,
  onReset: () => undefined,
};

/** The server's end of a connection, and a client of which one chunk is read at a time. */
class Served {
  readonly clock = new VirtualClock();
  /** One turn until `turn` says that another begins. */
  readonly #turn = { began: 0, lag: 0, read: () => {}, lagMs: () => this.#turn.lag };
  requests = 0;
  readonly #connection: Http2Connection;
  readonly #bytes = new SocketConnection(new Sent());
  readonly #encoder = new HpackEncoder();
  #next = 1;

  constructor() {
    this.#connection = new Http2Connection(this.#bytes, {
      role: 'server',
      clock: this.clock,
      maxStreams: MAX_STREAMS,
      turn: this.#turn,
      user: { ...UNHEARD, onRequest: () => this.requests++ },
    });
    this.#connection.start(Buffer.concat([PREFACE, settingsFrame([])]));
  }

  /** A turn begins, so long after the one before, and so late. */
  async turn(afterMs: number, lagMs: number): Promise<void> {
    await this.clock.advance(afterMs);
    this.#turn.began = this.clock.monotonic();
    this.#turn.lag = lagMs;
  }

  /** Requests, each of them given up at once, in one read. */
  giveUp(calls: number): void {
    const frames: Buffer[] = [];
    for (let call = 0; call < calls; call++) {
      frames.push(this.head(), numberFrame(FrameType.RST_STREAM, this.#next - 2, Http2ErrorCode.CANCEL));
    }
    this.read(...frames);
  }

  /** Requests in one read. @returns what gives them up */
  leaveOpen(calls: number): Buffer[] {
    const resets: Buffer[] = [];
    const frames: Buffer[] = [];
    for (let call = 0; call < calls; call++) {
      frames.push(this.head());
      resets.push(numberFrame(FrameType.RST_STREAM, this.#next - 2, Http2ErrorCode.CANCEL));
    }
    this.read(...frames);
    return resets;
  }

  head(): Buffer {
    const block = Buffer.alloc(this.#encoder.bound(FIELDS));
    const frame = headerFrames(this.#next, block.subarray(0, this.#encoder.encode(FIELDS, block, 0)), true);
    this.#next += 2;
    return frame;
  }

  read(...frames: readonly Buffer[]): void {
    this.#connection.onData(this.#bytes, Buffer.concat(frames));
  }

  /** Why it was ended; undefined while it lives. */
  get verdict(): string | undefined {
    return this.#connection.verdict?.message;
  }
}

/** Hears what is sent. */
class Sent extends Socket {
  readonly #chunks: Buffer[] = [];

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.#chunks.push(Buffer.from(chunk));
    done();
  }

  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], done: () => void): void {
    for (const { chunk } of chunks) this.#chunks.push(Buffer.from(chunk));
    done();
  }

  get bytesSaid(): number {
    return Buffer.concat(this.#chunks).length;
  }

  get types(): number[] {
    const types: number[] = [];
    const reader = new FrameReader({
      onFrame: (type) => types.push(type),
      onDataStart: () => undefined,
      onDataBytes: () => undefined,
      onDataEnd: () => undefined,
    });
    reader.push(Buffer.concat(this.#chunks).subarray(PREFACE.length));
    return types;
  }
}

/**
 * An endpoint whose header blocks cannot be decoded was reported as one that had ended the stream itself,
 * with COMPRESSION_ERROR: whoever looked for the cause looked for a reset that nobody had sent.
 */
describe('a connection that is ended because of its peer', () => {
  it('says why, also where a header block cannot be decoded', () => {
    const served = new Served();
    // A table size update beyond what our SETTINGS allow (RFC 7541 section 4.2).
    served.read(headerFrames(1, Buffer.from('3fe21f82', 'hex'), true));
    expect(served.verdict).to.equal('the dynamic table is larger than allowed');
  });
});

/**
 * The other end of it: the head of a request leaves at the end of a turn, and where turns are long its reset
 * left with it; the proxy or gateway that others share the connection to took us for the attacker.
 */
describe('a request that is given up in a turn that is late', () => {
  it('is reset when its head has been out for long enough', async () => {
    const clock = new VirtualClock();
    const socket = new Sent();
    const bytes = new SocketConnection(socket);
    let lagMs = 0;
    const connection = new Http2Connection(bytes, {
      role: 'client',
      clock,
      keepAliveMs: 'off',
      turn: { began: 0, read: () => {}, lagMs: () => lagMs },
      user: UNHEARD,
    });
    connection.start(Buffer.alloc(0));
    const resets = () => {
      bytes.flush();
      return socket.types.filter((type) => type === FrameType.RST_STREAM).length;
    };
    const stream = connection.open(FIELDS, true, NO_HANDLER);
    // All of it is one turn.
    await clock.advance(GIVE_UP_MS + 5);
    lagMs = GIVE_UP_MS + 5;
    stream.reset(Http2ErrorCode.CANCEL);
    expect(resets()).to.equal(0);
    await clock.advance(GIVE_UP_MS - 1);
    expect(resets()).to.equal(0);
    await clock.advance(1);
    expect(resets()).to.equal(1);
  });
});

describe('a connection that is gone', () => {
  // A socket is closed a turn of the event loop after its peer has ended it; requests that came meanwhile
  // were sent on it, and those that may not be sent twice were lost.
  it('is spent from the moment that its peer has ended it, or it is given up', () => {
    for (const end of ['by its peer', 'by us'] as const) {
      const bytes = new SocketConnection(new Sent());
      const options = {
        role: 'client',
        clock: new VirtualClock(),
        user: UNHEARD,
        trustedStreams: 1,
      } as const;
      const connection = new Http2Connection(bytes, options);
      connection.start(Buffer.alloc(0));
      expect([connection.available, connection.closed]).to.deep.equal([true, false]);
      if (end === 'by us') connection.destroy();
      else connection.onEnd();
      expect([connection.available, connection.spent]).to.deep.equal([false, true]);
    }
  });

  // A client that was too slow to see the warning within a second, and gave up what it had asked for
  // meanwhile, lost the connection with all that was under way on it.
  it('goes on with what is under way when streams behind the last one come, and are given up', async () => {
    const clock = new VirtualClock();
    const bytes = new SocketConnection(new Sent());
    let requests = 0;
    const user = { ...UNHEARD, onRequest: () => requests++ };
    const connection = new Http2Connection(bytes, { role: 'server', clock, user });
    const encoder = new HpackEncoder();
    const head = (id: number, end: boolean) => {
      const block = Buffer.alloc(encoder.bound(FIELDS));
      return headerFrames(id, block.subarray(0, encoder.encode(FIELDS, block, 0)), end);
    };
    connection.start(Buffer.concat([PREFACE, settingsFrame([]), head(1, true)]));
    connection.goAway();
    await clock.advance(1000);
    const reset = (id: number) => numberFrame(FrameType.RST_STREAM, id, Http2ErrorCode.CANCEL);
    const late = [
      head(3, false),
      numberFrame(FrameType.WINDOW_UPDATE, 3, 1),
      frame(FrameType.DATA, 0, 3, Buffer.from('hello')),
      reset(3),
    ];
    connection.onData(bytes, Buffer.concat([...late, head(5, true), reset(5)]));
    expect([connection.verdict?.message, requests, connection.active]).to.deep.equal([undefined, 1, 1]);
    // What has not begun, not even here, is a mistake as before.
    connection.onData(bytes, reset(7));
    expect(connection.verdict?.message).to.equal('stream 7 has not begun');
  });

  // The second that its client had to answer the warning ran out later, and it was told of the last stream.
  it('says nothing more of a shutdown that was under way', async () => {
    const clock = new VirtualClock();
    const socket = new Sent();
    const bytes = new SocketConnection(socket);
    const connection = new Http2Connection(bytes, { role: 'server', clock, user: UNHEARD });
    connection.start(Buffer.concat([PREFACE, settingsFrame([])]));
    connection.goAway();
    connection.onClose(bytes, undefined);
    bytes.flush();
    const said = socket.bytesSaid;
    await clock.advance(5000);
    bytes.flush();
    expect(socket.bytesSaid).to.equal(said);
  });
});

/**
 * Calls with a deadline of 5 ms, 90 at once, to a gateway that was at something else for longer than that:
 * each request was read together with its reset, that was taken for rapid reset, and after a thousand of them
 * all that shared the connection lost it.
 */
describe('a client of which bytes are read late', () => {
  it('may give up 90 calls at once, a hundred times', async () => {
    const served = new Served();
    for (let round = 0; round < 100; round++) {
      await served.turn(LATE_MS, LATE_MS);
      served.giveUp(90);
    }
    expect(served.verdict).to.equal(undefined);
    expect(served.requests).to.equal(9000);
  });

  // TLS gives what was sent in one go in several chunks.
  it('may give them up in several chunks that are read one behind the other', async () => {
    const served = new Served();
    for (let round = 0; round < 100; round++) {
      await served.turn(LATE_MS, LATE_MS);
      for (let chunk = 0; chunk < 9; chunk++) served.giveUp(10);
    }
    expect(served.verdict).to.equal(undefined);
  });

  // A deadline may come in the turn behind that of its request.
  it('may give up in one turn what it asked for in the turn before', async () => {
    const served = new Served();
    let id = 1;
    for (let round = 0; round < 100; round++) {
      await served.turn(10, 3);
      const first = id;
      served.read(...Array.from({ length: 90 }, () => served.head()));
      id += 180;
      await served.turn(2, 0);
      const resets = Array.from({ length: 90 }, (_, nth) =>
        numberFrame(FrameType.RST_STREAM, first + 2 * nth, Http2ErrorCode.CANCEL),
      );
      served.read(...resets);
    }
    expect(served.verdict).to.equal(undefined);
  });

  it('does not get away with a flood where we are not late', () => {
    const served = new Served();
    served.giveUp(RESET_LIMIT.burst + 1);
    expect(served.verdict).to.contain('too many streams are given up');
    expect(served.requests).to.equal(RESET_LIMIT.burst + 1);
  });

  // Those that are excused in a turn, and as many that were left open in the one before: twice what waiting
  // for all of them gives, for ever.
  it('gets no more by leaving streams open from one turn to the next either', async () => {
    for (const periodMs of [RAPID_MS, 2 * RAPID_MS, 10 * RAPID_MS]) {
      const served = new Served();
      let left: Buffer[] = [];
      const began = served.clock.monotonic();
      for (let turn = 0; turn < 2000 / periodMs && served.verdict === undefined; turn++) {
        await served.turn(periodMs, periodMs);
        served.read(...left);
        served.giveUp(MAX_STREAMS);
        left = served.leaveOpen(MAX_STREAMS - 1);
      }
      const windows = Math.floor((served.clock.monotonic() - began) / RAPID_MS) + 1;
      const perSecond = (RESET_LIMIT.perSecond * (served.clock.monotonic() - began)) / 1000;
      expect(served.requests, `${periodMs} ms`).to.be.at.most(
        windows * MAX_STREAMS + MAX_STREAMS + RESET_LIMIT.burst + 1 + perSecond,
      );
    }
  });

  // The flood itself may be what we are late by.
  it('gets no more out of a flood that makes us late than by waiting for its streams', async () => {
    const served = new Served();
    await served.turn(LATE_MS, LATE_MS);
    const before = served.clock.monotonic();
    for (let chunk = 0; chunk < 100; chunk++) {
      served.giveUp(100);
      await served.clock.advance(LATE_MS);
    }
    expect(served.verdict).to.contain('too many streams are given up');
    const regained = (RESET_LIMIT.perSecond * (served.clock.monotonic() - before)) / 1000;
    expect(served.requests).to.be.at.most(RESET_LIMIT.burst + MAX_STREAMS + 1 + regained);
  });
});

// A request over HTTP/1 had a limit of interim responses, one over HTTP/2 had none: a target could send them
// without end, each of which was passed on to a client that might not read.
describe('a target that sends interim responses', () => {
  const given = (count: number): { came: number; reset: number | undefined } => {
    let came = 0;
    let reset: number | undefined;
    const bytes = new SocketConnection(new Sent());
    const connection = new Http2Connection(bytes, {
      role: 'client',
      clock: new VirtualClock(),
      user: UNHEARD,
    });
    connection.start(settingsFrame([]));
    const handler = {
      ...NO_HANDLER,
      onInterim: () => void came++,
      onReset: (_: unknown, code: number) => void (reset = code),
    };
    const stream = connection.open(FIELDS, true, handler);
    const encoder = new HpackEncoder();
    const hint = [makeField(':status', '103'), makeField('link', '</style.css>')];
    for (let at = 0; at < count; at++) {
      const block = Buffer.alloc(encoder.bound(hint));
      const length = encoder.encode(hint, block, 0);
      connection.onData(bytes, headerFrames(stream.id, block.subarray(0, length), false));
    }
    expect(connection.verdict).to.equal(undefined);
    return { came, reset };
  };

  it('may send some', () => {
    expect(given(MAX_INTERIM)).to.deep.equal({ came: MAX_INTERIM, reset: undefined });
  });

  it('loses the request, and no other, when it does not stop', () => {
    expect(given(1000)).to.deep.equal({ came: MAX_INTERIM, reset: Http2ErrorCode.ENHANCE_YOUR_CALM });
  });
});
