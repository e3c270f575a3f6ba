import { expect } from 'chai';
import fc from 'fast-check';
import { ConnectionError } from '../../../../src/proxy/http2/errors.ts';
import {
  Flag,
  frame,
  FrameReader,
  type FrameSink,
  FrameType,
  headerFrames,
  MAX_FRAME,
} from '../../../../src/proxy/http2/frames.ts';

/** What a reader found, with the data of a DATA frame as one piece however it came. */
class Recorder implements FrameSink {
  readonly seen: string[] = [];
  #data = '';

  // oxlint-disable-next-line max-params -- as FrameSink says
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const payload = bytes.subarray(start, end);
    this.seen.push(`${type} ${flags} ${streamId} ${payload.toString('hex')}`);
  }

  onDataStart(streamId: number, length: number): void {
    this.seen.push(`data ${streamId} of ${length}`);
    this.#data = '';
  }

  onDataBytes(_: number, chunk: Buffer): void {
    this.#data += chunk.toString('hex');
  }

  onDataEnd(streamId: number, length: number, endStream: boolean): void {
    this.seen.push(`data ${streamId} of ${length}: ${this.#data} ${endStream}`);
  }
}

function read(pieces: readonly Buffer[]): string[] {
  const recorder = new Recorder();
  const reader = new FrameReader(recorder);
  try {
    for (const piece of pieces) reader.push(piece);
  } catch (error) {
    if (!(error instanceof ConnectionError)) throw error;
    recorder.seen.push(`error ${error.code}`);
  }
  return recorder.seen;
}

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((at) => at % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

/** A frame boundary that depends on how TCP cut the bytes would make requests of bodies. */
describe('HTTP/2 frames', () => {
  const anyFrame = fc
    .tuple(
      fc.integer({ min: 0, max: 12 }),
      fc.integer({ min: 0, max: 255 }),
      fc.integer({ min: 0, max: 9 }),
      fc.uint8Array({ maxLength: 40 }),
    )
    .map(([type, flags, streamId, payload]) => frame(type, flags, streamId, Buffer.from(payload)));

  it('are the same however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 8 }),
        fc.array(fc.nat(500), { maxLength: 20 }),
        (frames, cuts) => {
          const bytes = Buffer.concat(frames);
          expect(read(cut(bytes, cuts))).to.deep.equal(read([bytes]));
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('of random bytes give an error or frames, the same for every cut', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.array(fc.nat(200), { maxLength: 10 }),
        (random, cuts) => {
          const bytes = Buffer.from(random);
          expect(read(cut(bytes, cuts))).to.deep.equal(read([bytes]));
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('leave padding out of the data and count it in the length', () => {
    const padded = Buffer.concat([Buffer.from([3]), Buffer.from('abc'), Buffer.alloc(3)]);
    expect(read([frame(FrameType.DATA, Flag.PADDED | Flag.END_STREAM, 5, padded)])).to.deep.equal([
      'data 5 of 7',
      'data 5 of 7: 616263 true',
    ]);
  });

  it('longer than the maximum are refused before their payload is kept', () => {
    const header = Buffer.from([0, 0x40, 1, FrameType.HEADERS, 4, 0, 0, 0, 1]);
    expect(read([header])).to.deep.equal(['error 6']);
  });

  it('with more padding than payload are refused', () => {
    expect(read([frame(FrameType.DATA, Flag.PADDED, 1, Buffer.from([5, 1, 2]))])).to.deep.equal([
      'data 1 of 3',
      'error 1',
    ]);
  });

  it('carry a long header block in HEADERS and CONTINUATION', () => {
    const block = Buffer.alloc(MAX_FRAME * 2 + 10, 7);
    const kinds = read([headerFrames(3, block, true)]).map((line) => line.split(' ').slice(0, 3).join(' '));
    expect(kinds).to.deep.equal(['1 1 3', '9 0 3', '9 4 3']);
  });
});
