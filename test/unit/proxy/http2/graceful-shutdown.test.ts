import { expect } from 'chai';
import { FrameReader, FrameType, MAX_WINDOW } from '../../../../src/proxy/http2/frames.ts';
import { GracefulShutdown } from '../../../../src/proxy/http2/graceful-shutdown.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

describe('how a server says that no streams may begin (RFC 9113 section 6.8)', () => {
  let clock: VirtualClock;
  let heard: string[];
  let ping: Buffer;
  let shutdown: GracefulShutdown;

  beforeEach(() => {
    clock = new VirtualClock();
    heard = [];
    const reader = new FrameReader({
      // oxlint-disable-next-line max-params -- as FrameSink says
      onFrame(type, _flags, _id, bytes, start, end) {
        const payload = bytes.subarray(start, end);
        if (type === FrameType.GOAWAY) heard.push(`GOAWAY ${payload.readUInt32BE(0)}`);
        if (type === FrameType.PING) {
          heard.push('PING');
          ping = Buffer.from(payload);
        }
      },
      onDataStart: () => undefined,
      onDataBytes: () => undefined,
      onDataEnd: () => undefined,
    });
    shutdown = new GracefulShutdown({
      clock,
      lastPeer: () => 7,
      send: (frame) => reader.push(frame),
      onLast: () => heard.push('last'),
    });
  });

  it('by a warning, and by the last id when the client has seen it', () => {
    shutdown.begin();
    shutdown.begin();
    expect([heard, shutdown.closing]).to.deep.equal([[`GOAWAY ${MAX_WINDOW}`, 'PING'], false]);
    shutdown.answered(Buffer.from('linkspan'));
    expect(shutdown.closing).to.equal(false);
    shutdown.answered(ping);
    shutdown.answered(ping);
    expect([heard.slice(2), shutdown.closing]).to.deep.equal([['GOAWAY 7', 'last'], true]);
  });

  it('by the last id a second later, to one that answers no PING', async () => {
    shutdown.begin();
    await clock.advance(999);
    expect(shutdown.closing).to.equal(false);
    await clock.advance(1);
    expect(heard.slice(2)).to.deep.equal(['GOAWAY 7', 'last']);
    shutdown.answered(ping);
    expect(heard).to.have.length(4);
  });

  it('not at all where the client has said so, or what it answers was not asked', async () => {
    shutdown.answered(Buffer.from('draining'));
    expect(shutdown.closing).to.equal(false);
    shutdown.stop();
    await clock.advance(5000);
    expect([heard, shutdown.closing]).to.deep.equal([[], true]);
  });
});
