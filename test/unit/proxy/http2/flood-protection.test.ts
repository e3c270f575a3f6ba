import { expect } from 'chai';
import { ConnectionError } from '../../../../src/proxy/http2/errors.ts';
import {
  IDLE_FRAME_LIMIT,
  FloodProtection,
  RESET_LIMIT,
} from '../../../../src/proxy/http2/flood-protection.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

/**
 * A Go program that downloads, or a Go server that takes an upload, credits each small read; that was taken
 * for a flood, the connection was ended after a few megabytes, and other clients' requests with it. What a
 * peer says of bytes that we have sent carries something.
 */
describe('what a peer may do on an HTTP/2 connection', () => {
  let budget: FloodProtection;
  beforeEach(() => (budget = new FloodProtection(new VirtualClock())));

  /**
   * Frames of `size` bytes, each credited in steps of `step` bytes, for the stream and for the connection.
   */
  function transfer(frames: number, size: number, step: number): void {
    for (let frame = 0; frame < frames; frame++) {
      budget.sentData(size, false);
      for (let credited = 0; credited < size; credited += step) {
        budget.spendWindowUpdate();
        budget.spendWindowUpdate();
      }
    }
  }

  for (const [who, size, step] of [
    ['Go, buffers of 4 KiB', 16_384, 4096],
    ['small buffers of 256 bytes', 16_384, 256],
    ['server-sent events, each frame credited', 20, 20],
    ['frames of one byte, each credited', 1, 1],
  ] as const)
    it(`credit 100,000 frames without end: ${who}`, () => transfer(100_000, size, step));

  it('credit all at the end, when the program reads what has long come', () => {
    for (let frame = 0; frame < 10_000; frame++) budget.sentData(16_384, false);
    for (let update = 0; update < 2 * 10_000 * 4; update++) budget.spendWindowUpdate();
  });

  it('cannot credit what was not sent', () => {
    expect(() => {
      for (let update = 0; update <= IDLE_FRAME_LIMIT.burst; update++) budget.spendWindowUpdate();
    }).to.throw(ConnectionError, 'carry nothing');
  });

  /** CVE-2019-9511: windows of a byte make us send frames of a byte for ever. */
  it('earns nothing by windows that make frames tiny', () => {
    expect(() => {
      for (let update = 0; update <= IDLE_FRAME_LIMIT.burst; update++) {
        budget.sentData(1, true);
        budget.spendWindowUpdate();
      }
    }).to.throw(ConnectionError, 'carry nothing');
  });

  it('gives up half of what it opens at once, as hedging clients do, as long as the rest is done', () => {
    for (let stream = 0; stream < 100_000; stream++) {
      budget.spendReset();
      budget.streamDone();
    }
  });

  it('may not open streams only to reset them', () => {
    expect(() => {
      for (let stream = 0; stream <= RESET_LIMIT.burst; stream++) budget.spendReset();
    }).to.throw(ConnectionError, 'given up');
  });
});
