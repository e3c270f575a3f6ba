import { expect } from 'chai';
import { MAX_UNSEEN, ReplayBody, ReplayRoom } from '../../../../../src/proxy/upstream/retry/replay-body.ts';

// A body that came byte by byte cost 170 times its length to keep, and the room counted its bytes: 32 MiB
// were 5 GB.
describe('what is kept of a body', () => {
  const bytes = Buffer.from(Array.from({ length: MAX_UNSEEN + 1 }, (_, at) => at % 251));

  for (const parts of [[1], [1, 100, 3], [5, 16, 9], [MAX_UNSEEN], [700, 1, 1, 1, 300]])
    it(`is what came, in few pieces, in parts of ${parts.join(', ')} bytes`, () => {
      const room = new ReplayRoom();
      const body = new ReplayBody(room, MAX_UNSEEN);
      let at = 0;
      for (let turn = 0; at < MAX_UNSEEN; turn++) {
        const end = Math.min(MAX_UNSEEN, at + (parts[turn % parts.length] ?? 1));
        expect(body.keep(bytes.subarray(at, end))).to.equal(true);
        at = end;
        if (turn % 997 === 0) expect(Buffer.concat(body.chunks).equals(bytes.subarray(0, at))).to.equal(true);
      }
      expect(Buffer.concat(body.chunks).equals(bytes.subarray(0, at))).to.equal(true);
      expect(body.chunks.length, 'pieces').to.be.at.most(12);
      expect(room.taken).to.be.within(MAX_UNSEEN, 2 * MAX_UNSEEN);
      expect(body.keep(bytes.subarray(0, 1)), 'no more than that').to.equal(false);
      expect(Buffer.concat(body.chunks).length, 'it is there until it is dropped').to.equal(MAX_UNSEEN);
      body.drop();
      body.drop();
      expect([room.taken, body.whole, body.chunks.length]).to.deep.equal([0, false, 0]);
    });

  it('takes the last bytes of the room, and no more', () => {
    const room = new ReplayRoom(10);
    const body = new ReplayBody(room);
    for (let at = 0; at < 10; at++) expect(body.keep(bytes.subarray(at, at + 1))).to.equal(true);
    expect(body.keep(bytes.subarray(0, 1))).to.equal(false);
    expect(Buffer.concat(body.chunks)).to.deep.equal(bytes.subarray(0, 10));
    body.drop();
    expect(room.taken).to.equal(0);
  });
});
