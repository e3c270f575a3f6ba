import { expect } from 'chai';
import type { Connection } from '../../../../src/proxy/io/connection.ts';
import { closeGracefully } from '../../../../src/proxy/io/graceful-close.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

/**
 * A client that uploads slowly and reads only at the end was cut two seconds after the answer, and the reset
 * took the answer with it (RFC 9112 section 9.6).
 */
describe('a connection that has been answered', () => {
  /** Ends one whose peer sends a byte in every second of so many. @returns seconds until it was destroyed */
  async function heldFor(sendsFor: number, error?: Error): Promise<number> {
    const clock = new VirtualClock();
    const connection = {
      bytesRead: 0,
      closed: false,
      end: (onSent: () => void) => onSent(),
      destroy: () => (connection.closed = true),
    };
    closeGracefully(connection as unknown as Connection, clock, error);
    let seconds = 0;
    for (; !connection.closed; seconds++) {
      if (seconds < sendsFor) connection.bytesRead++;
      await clock.advance(1000);
    }
    expect(clock.pending).to.equal(0);
    return seconds;
  }

  it('is ended after two seconds of silence', async () => {
    expect(await heldFor(0)).to.equal(2);
  });

  it('is held while its peer still sends, and two seconds longer', async () => {
    expect(await heldFor(9)).to.be.within(11, 13);
  });

  it('is held for 30 s at most', async () => {
    expect(await heldFor(1000)).to.equal(30);
  });

  it('is not held while it sends, when it has broken the rules', async () => {
    expect(await heldFor(1000, new Error('a flood'))).to.equal(2);
  });
});
