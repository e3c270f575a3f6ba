import { expect } from 'chai';
import fc from 'fast-check';
import { StreamRoom } from '../../../../src/proxy/http2/stream-room.ts';

describe('how many streams a connection may have open (RFC 9113 section 5.1.2)', () => {
  // A burst before a server's SETTINGS was 502: it took fewer than were opened.
  it('is what is trusted before SETTINGS have come, then what they say, and never more than is wanted', () => {
    const room = new StreamRoom(100, 1);
    expect([room.limit(undefined), room.limit(50), room.limit(1000)]).to.deep.equal([1, 50, 100]);
    expect([room.has(0, undefined), room.has(1, undefined), room.has(1, 50)]).to.deep.equal([
      true,
      false,
      true,
    ]);
  });

  it('is all of it where SETTINGS do not come in time', () => {
    const room = new StreamRoom(100, 1);
    expect(room.trusting).to.equal(false);
    room.trust();
    expect([room.trusting, room.limit(undefined)]).to.deep.equal([true, 100]);
  });

  it('counts those that somebody is about to open', () => {
    const room = new StreamRoom(2, 2);
    room.reserve();
    expect([room.has(0, undefined), room.has(1, undefined)]).to.deep.equal([true, false]);
    room.opened();
    expect(room.has(1, undefined)).to.equal(true);
    // One that nobody has reserved.
    room.opened();
    expect(room.has(1, undefined)).to.equal(true);
  });

  // Servers of C-core refuse within what their SETTINGS allow (section 8.7: REFUSED_STREAM).
  it('is what the peer had when it refused one, whatever it allows', () => {
    const room = new StreamRoom(100, 100);
    room.refused(6);
    expect([room.limit(50), room.has(4, 50), room.has(5, 50)]).to.deep.equal([5, true, false]);
    room.refused(60);
    expect(room.limit(50)).to.equal(5);
  });

  it('is never none by refusals alone', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(200)), (refusals) => {
        const room = new StreamRoom(100, 100);
        for (const open of refusals) room.refused(open);
        expect(room.limit(undefined)).to.be.within(1, 100);
      }),
    );
  });
});
