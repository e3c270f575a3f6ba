import { expect } from 'chai';
import fc from 'fast-check';
import { appendChunk } from '../../../src/base/gathered-bytes.ts';

describe('parts that wait', () => {
  it('are the bytes that came, two neighbours never small', () => {
    const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 600 }), { maxLength: 60 });
    fc.assert(
      fc.property(chunks, (list) => {
        const parts: Buffer[] = [];
        for (const chunk of list) appendChunk(parts, Buffer.from(chunk));
        expect(Buffer.concat(parts).equals(Buffer.concat(list))).to.equal(true);
        for (const [at, part] of parts.entries())
          if (at > 0) expect((parts[at - 1]?.length ?? 0) + part.length).to.be.greaterThan(512);
      }),
    );
  });

  it('leave what they were made of as it was', () => {
    const read = Buffer.from('abcdef');
    const parts: Buffer[] = [];
    appendChunk(parts, read.subarray(0, 2));
    appendChunk(parts, read.subarray(3, 4));
    expect([String(parts[0]), String(read)]).to.deep.equal(['abd', 'abcdef']);
  });
});
