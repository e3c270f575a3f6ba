import { expect } from 'chai';
import fc from 'fast-check';
import { ConnectionError, Http2ErrorCode } from '../../../../src/proxy/http2/errors.ts';
import { DEFAULT_WINDOW } from '../../../../src/proxy/http2/frames.ts';
import { connectionWindowOf, ReceiveWindow } from '../../../../src/proxy/http2/receive-window.ts';

describe('what a peer may send on a connection (RFC 9113 section 5.2)', () => {
  const SIZE = 1000;
  const MAX_UNCONSUMED = 3000;
  let updates: number[];
  let window: ReceiveWindow;
  beforeEach(() => {
    updates = [];
    window = new ReceiveWindow({
      size: SIZE,
      maxUnconsumed: MAX_UNCONSUMED,
      onUpdate: (increment) => updates.push(increment),
    });
  });

  function frame(bytes: number): void {
    window.take(bytes);
    window.hold(bytes);
    window.came(bytes);
  }

  it('is given back when half of it has come, read or not', () => {
    frame(499);
    expect(updates).to.deep.equal([]);
    frame(1);
    expect(updates).to.deep.equal([500]);
  });

  // Whoever does not read stalls itself, and nobody runs out of memory.
  it('is given back no more once too much waits to be read, until it has been read', () => {
    for (let sent = 0; sent <= MAX_UNCONSUMED; sent += 500) frame(500);
    expect(updates).to.deep.equal(Array.from({ length: MAX_UNCONSUMED / 500 }, () => 500));
    frame(500);
    expect(() => window.take(1)).to.throw(ConnectionError, 'more came than the connection window allows');
    updates.length = 0;
    window.release(500);
    expect(updates).to.deep.equal([]);
    window.release(500);
    expect(updates).to.deep.equal([1000]);
  });

  it('is exceeded by one byte more (section 6.9.1)', () => {
    window.take(SIZE);
    let code: number | undefined;
    try {
      window.take(1);
    } catch (error) {
      code = (error as ConnectionError).code;
    }
    expect(code).to.equal(Http2ErrorCode.FLOW_CONTROL_ERROR);
  });

  it('never becomes larger than it was, nor stays shut when all has been read', () => {
    const step = fc.record({ bytes: fc.integer({ min: 1, max: SIZE }), read: fc.nat(5000) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        let left = SIZE;
        let unread = 0;
        const one = new ReceiveWindow({
          size: SIZE,
          maxUnconsumed: MAX_UNCONSUMED,
          onUpdate: (increment) => {
            left += increment;
            expect(left).to.be.at.most(SIZE);
          },
        });
        for (const { bytes, read } of steps) {
          const sent = Math.min(bytes, left);
          left -= sent;
          one.take(sent);
          one.hold(sent);
          one.came(sent);
          unread += sent;
          const taken = Math.min(read, unread);
          unread -= taken;
          one.release(taken);
          expect(unread).to.be.at.most(MAX_UNCONSUMED + SIZE);
        }
        one.release(unread);
        expect(left).to.be.greaterThan(SIZE / 2);
      }),
    );
  });

  it('is asked for at no less than what every connection begins with (section 6.9.2)', () => {
    expect(connectionWindowOf(1)).to.equal(DEFAULT_WINDOW);
    expect(connectionWindowOf(DEFAULT_WINDOW + 1)).to.equal(DEFAULT_WINDOW + 1);
  });
});
