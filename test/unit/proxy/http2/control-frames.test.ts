import { expect } from 'chai';
import fc from 'fast-check';
import {
  assertControlFrame,
  firstSettings,
  PrefaceReader,
} from '../../../../src/proxy/http2/control-frames.ts';
import { ConnectionError, Http2ErrorCode } from '../../../../src/proxy/http2/errors.ts';
import { Flag, FRAME_HEADER, FrameType, PREFACE, Setting } from '../../../../src/proxy/http2/frames.ts';
import { initialRemoteSettings, readSettings } from '../../../../src/proxy/http2/remote-settings.ts';

const { FRAME_SIZE_ERROR, PROTOCOL_ERROR } = Http2ErrorCode;

function codeOf(work: () => void): number | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    expect(error).to.be.instanceOf(ConnectionError);
    return (error as ConnectionError).code;
  }
}

describe('what a frame that is neither HEADERS nor DATA has to be', () => {
  const rows: readonly (readonly [
    what: string,
    section: string,
    type: number,
    flags: number,
    streamId: number,
    length: number,
    code: number | undefined,
  ])[] = [
    ['PRIORITY of 5 bytes', '6.3', FrameType.PRIORITY, 0, 1, 5, undefined],
    ['PRIORITY of 4 bytes', '6.3', FrameType.PRIORITY, 0, 1, 4, FRAME_SIZE_ERROR],
    ['RST_STREAM', '6.4', FrameType.RST_STREAM, 0, 1, 4, undefined],
    ['RST_STREAM of 3 bytes', '6.4', FrameType.RST_STREAM, 0, 1, 3, FRAME_SIZE_ERROR],
    ['RST_STREAM of 5 bytes', '6.4', FrameType.RST_STREAM, 0, 1, 5, FRAME_SIZE_ERROR],
    ['RST_STREAM of the connection', '6.4', FrameType.RST_STREAM, 0, 0, 4, PROTOCOL_ERROR],
    ['SETTINGS', '6.5', FrameType.SETTINGS, 0, 0, 6, undefined],
    ['SETTINGS without any', '6.5', FrameType.SETTINGS, 0, 0, 0, undefined],
    ['SETTINGS of a stream', '6.5', FrameType.SETTINGS, 0, 1, 6, PROTOCOL_ERROR],
    ['an ACK', '6.5', FrameType.SETTINGS, Flag.ACK, 0, 0, undefined],
    ['an ACK with settings', '6.5', FrameType.SETTINGS, Flag.ACK, 0, 6, FRAME_SIZE_ERROR],
    ['PUSH_PROMISE', '8.4', FrameType.PUSH_PROMISE, 0, 1, 4, PROTOCOL_ERROR],
    ['PING', '6.7', FrameType.PING, 0, 0, 8, undefined],
    ['PING of 7 bytes', '6.7', FrameType.PING, 0, 0, 7, FRAME_SIZE_ERROR],
    ['PING of a stream', '6.7', FrameType.PING, 0, 1, 8, PROTOCOL_ERROR],
    ['GOAWAY', '6.8', FrameType.GOAWAY, 0, 0, 8, undefined],
    ['GOAWAY with a text', '6.8', FrameType.GOAWAY, 0, 0, 20, undefined],
    ['GOAWAY of 7 bytes', '6.8', FrameType.GOAWAY, 0, 0, 7, FRAME_SIZE_ERROR],
    ['GOAWAY of a stream', '6.8', FrameType.GOAWAY, 0, 3, 8, PROTOCOL_ERROR],
    ['WINDOW_UPDATE of the connection', '6.9', FrameType.WINDOW_UPDATE, 0, 0, 4, undefined],
    ['WINDOW_UPDATE of a stream', '6.9', FrameType.WINDOW_UPDATE, 0, 1, 4, undefined],
    ['WINDOW_UPDATE of 5 bytes', '6.9', FrameType.WINDOW_UPDATE, 0, 1, 5, FRAME_SIZE_ERROR],
    ['a type that nobody knows', '4.1', 77, 255, 9, 100, undefined],
  ];
  for (const [what, section, type, flags, streamId, length, code] of rows)
    it(`${what}: ${code === undefined ? 'taken' : `error ${code}`} (RFC 9113 section ${section})`, () => {
      expect(codeOf(() => assertControlFrame(type, flags, streamId, length))).to.equal(code);
    });
});

describe('the first SETTINGS', () => {
  const own = { maxStreams: 7, window: 70_000, maxHeaderList: 5000, takesAlternatives: false };
  const pairs = (role: 'client' | 'server') => {
    const payload = firstSettings(role, own).subarray(FRAME_HEADER);
    return Array.from({ length: payload.length / 6 }, (_, nth) => [
      payload.readUInt16BE(nth * 6),
      payload.readUInt32BE(nth * 6 + 2),
    ]);
  };

  it('of a client forbid pushes (RFC 9113 section 6.5.2)', () => {
    expect(pairs('client')).to.deep.equal([
      [Setting.ENABLE_PUSH, 0],
      [Setting.INITIAL_WINDOW_SIZE, 70_000],
      [Setting.MAX_HEADER_LIST_SIZE, 5000],
    ]);
  });

  it('of a server say how many streams it takes, and are valid to a client', () => {
    expect(pairs('server')[0]).to.deep.equal([Setting.MAX_CONCURRENT_STREAMS, 7]);
    const read = initialRemoteSettings();
    readSettings(firstSettings('server', own).subarray(FRAME_HEADER), read, 'client');
    expect([read.maxConcurrentStreams, read.initialWindow]).to.deep.equal([7, 70_000]);
    expect(read.takesAlternatives).to.equal(false);
  });

  // A peer that does not know the setting ignores it, and sends no such field.
  it('of a gateway in stream mode say that streams may have alternatives', () => {
    const read = initialRemoteSettings();
    const said = firstSettings('server', { ...own, takesAlternatives: true });
    readSettings(said.subarray(FRAME_HEADER), read, 'client');
    expect(read.takesAlternatives).to.equal(true);
  });
});

describe('the connection preface (RFC 9113 section 3.4)', () => {
  it('is taken off in whatever pieces it comes', () => {
    const cuts = fc.array(fc.integer({ min: 0, max: PREFACE.length + 10 }), { maxLength: 8 });
    fc.assert(
      fc.property(cuts, fc.uint8Array({ maxLength: 10 }), (at, behind) => {
        const all = Buffer.concat([PREFACE, behind]);
        const reader = new PrefaceReader();
        const rest: Buffer[] = [];
        let from = 0;
        for (const cut of [...at.filter((one) => one <= all.length).sort((a, b) => a - b), all.length]) {
          rest.push(reader.after(all.subarray(from, cut)));
          from = cut;
        }
        expect(Buffer.concat(rest)).to.deep.equal(Buffer.from(behind));
      }),
    );
  });

  it('is missed at the first byte that is another', () => {
    for (let at = 0; at < PREFACE.length; at++) {
      const wrong = Buffer.from(PREFACE.subarray(0, at + 1));
      wrong[at] = (wrong[at] ?? 0) ^ 1;
      expect(codeOf(() => new PrefaceReader().after(wrong))).to.equal(PROTOCOL_ERROR);
    }
  });
});
