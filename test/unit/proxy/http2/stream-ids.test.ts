import { expect } from 'chai';
import { ConnectionError, Http2ErrorCode } from '../../../../src/proxy/http2/errors.ts';
import { StreamIds } from '../../../../src/proxy/http2/stream-ids.ts';

function refused(work: () => void): void {
  let error: unknown;
  try {
    work();
  } catch (thrown) {
    error = thrown;
  }
  expect(error).to.be.instanceOf(ConnectionError);
  expect((error as ConnectionError).code).to.equal(Http2ErrorCode.PROTOCOL_ERROR);
}

describe('the ids of streams (RFC 9113 section 5.1.1)', () => {
  describe('of a client', () => {
    it('are odd, and grow', () => {
      const ids = new StreamIds('client');
      expect([ids.next, ids.open(), ids.open(), ids.next]).to.deep.equal([1, 1, 3, 5]);
    });

    // An answer that was under way when its stream was given up.
    it('may be named by a server when they are over, and begin nothing', () => {
      const ids = new StreamIds('client');
      ids.open();
      expect(ids.mayBegin(1)).to.equal(false);
      ids.assertNotIdle(1);
    });

    it('are not for the server to begin, nor to speak of before they have begun', () => {
      const ids = new StreamIds('client');
      ids.open();
      for (const id of [2, 3, 4]) {
        refused(() => ids.mayBegin(id));
        refused(() => ids.assertNotIdle(id));
      }
    });
  });

  describe('at a server', () => {
    it('begin above all that began before', () => {
      const ids = new StreamIds('server');
      expect([ids.mayBegin(1), ids.lastPeer]).to.deep.equal([true, 0]);
      ids.begin(5);
      expect([1, 3, 5, 7].map((id) => ids.mayBegin(id))).to.deep.equal([false, false, false, true]);
      expect(ids.lastPeer).to.equal(5);
    });

    // Those below the highest were closed by it, whether they were used or not.
    it('may be spoken of once a higher one has begun, and not before', () => {
      const ids = new StreamIds('server');
      refused(() => ids.assertNotIdle(3));
      ids.begin(5);
      for (const id of [1, 3, 5]) ids.assertNotIdle(id);
      refused(() => ids.assertNotIdle(7));
    });

    it('are never even', () => {
      const ids = new StreamIds('server');
      ids.begin(5);
      for (const id of [2, 4, 6]) {
        refused(() => ids.mayBegin(id));
        refused(() => ids.assertNotIdle(id));
      }
    });
  });
});
