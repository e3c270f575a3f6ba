import { expect } from 'chai';
import fc from 'fast-check';
import { Field, fieldName, makeField } from '../../../../src/proxy/http/fields.ts';
import { HpackDecoder, HpackError } from '../../../../src/proxy/http2/hpack/decoder.ts';
import { HpackEncoder } from '../../../../src/proxy/http2/hpack/encoder.ts';
import { encodeHuffman, HuffmanDecoder, huffmanLength } from '../../../../src/proxy/http2/hpack/huffman.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const encoded = (encoder: HpackEncoder, fields: readonly Field[]) => {
  const block = Buffer.alloc(encoder.bound(fields));
  return block.subarray(0, encoder.encode(fields, block, 0));
};
const pairs = (fields: readonly Field[]) => fields.map(({ name, value }) => `${name}: ${value}`);

/**
 * A table that is out of step gives one client the headers of another. The vectors are the RFC's own; the
 * properties look where vectors do not.
 */
describe('HPACK', () => {
  it('decodes the requests of RFC 7541 appendix C.4', () => {
    const decoder = new HpackDecoder();
    const blocks = [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ];
    const decoded = blocks.map((block) => pairs(decoder.decode(hex(block)).fields));
    const common = [':scheme: http', ':path: /', ':authority: www.example.com'];
    expect(decoded).to.deep.equal([
      [':method: GET', ...common],
      [':method: GET', ...common, 'cache-control: no-cache'],
      [
        ':method: GET',
        ':scheme: https',
        ':path: /index.html',
        ':authority: www.example.com',
        'custom-key: custom-value',
      ],
    ]);
  });

  it('decodes the responses of RFC 7541 appendix C.6, whose table evicts', () => {
    const decoder = new HpackDecoder(256);
    const blocks = [
      '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      '4883 640e ffc1 c0bf',
      '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
    ];
    const decoded = blocks.map((block) => pairs(decoder.decode(hex(block)).fields));
    expect(decoded).to.deep.equal([
      [
        ':status: 302',
        'cache-control: private',
        'date: Mon, 21 Oct 2013 20:13:21 GMT',
        'location: https://www.example.com',
      ],
      [
        ':status: 307',
        'cache-control: private',
        'date: Mon, 21 Oct 2013 20:13:21 GMT',
        'location: https://www.example.com',
      ],
      [
        ':status: 200',
        'cache-control: private',
        'date: Mon, 21 Oct 2013 20:13:22 GMT',
        'location: https://www.example.com',
        'content-encoding: gzip',
        'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
      ],
    ]);
  });

  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/);
  const value = fc.stringMatching(/^[!-~]([ -~]{0,30}[!-~])?$/);
  const field = fc.oneof(
    fc.tuple(name, value).map(([n, v]) => makeField(n, v)),
    fc.tuple(name, value).map(([n, v]): Field => new Field(n, v, fieldName(n), true)),
    fc.constantFrom(
      makeField(':method', 'GET'),
      makeField(':path', '/'),
      makeField('accept-encoding', 'gzip, deflate'),
      makeField('x', 'y'.repeat(3000)),
      makeField('x', 'z'.repeat(2000)),
    ),
  );

  const capacity = fc.constantFrom(0, 64, 300, 4096, 100_000);

  /** Encodes blocks and changes of the table size, and expects the decoder to get what was encoded. */
  const holdsThrough = (steps: readonly (readonly Field[] | number)[]): void => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    for (const one of steps) {
      if (typeof one === 'number') {
        encoder.setMaxCapacity(one);
        continue;
      }
      const decoded = decoder.decode(encoded(encoder, one));
      expect(decoded.malformed).to.equal(undefined);
      expect(pairs(decoded.fields)).to.deep.equal(pairs(one));
      expect(decoded.fields.map(({ sensitive }) => sensitive)).to.deep.equal(
        one.map(({ sensitive, lower }) => sensitive || lower === 'cookie'),
      );
    }
  };

  it('decodes what it encodes, through changes of the table size', () => {
    const step = fc.oneof({ weight: 4, arbitrary: fc.array(field, { maxLength: 12 }) }, capacity);
    fc.assert(fc.property(fc.array(step, { maxLength: 30 }), holdsThrough));
  });

  // A proxy sends the very same objects again, which are not looked up again while they are in the table.
  it('decodes what it encodes, where the same fields come again and others push them out', () => {
    const steps = fc.array(field, { minLength: 1, maxLength: 12 }).chain((pool) => {
      const some = fc.array(fc.constantFrom(...pool), { maxLength: 20 });
      const all = fc.constant(pool);
      return fc.array(fc.oneof({ weight: 4, arbitrary: fc.oneof(all, some) }, capacity), { maxLength: 30 });
    });
    fc.assert(fc.property(steps, holdsThrough), { numRuns: 300 });
  });

  it('codes every byte in Huffman code and back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = Buffer.from(bytes).toString('latin1');
        const coded = Buffer.alloc(huffmanLength(text));
        expect(encodeHuffman(text, coded, 0)).to.equal(coded.length);
        expect(new HuffmanDecoder().decode(coded, 0, coded.length)).to.equal(text);
      }),
    );
  });

  it('gives the same, or the same error, for whatever bytes come, and never anything but its own error', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 4 }), (blocks) => {
        const decoder = new HpackDecoder();
        for (const block of blocks) {
          try {
            for (const { name: n, value: v } of decoder.decode(Buffer.from(block)).fields)
              expect([typeof n, typeof v]).to.deep.equal(['string', 'string']);
          } catch (error) {
            expect(error).to.be.instanceOf(HpackError);
            return;
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  const refused: readonly [string, string][] = [
    ['index 0', '80'],
    ['an index beyond the tables', 'ff80 01'],
    ['a string beyond the block', '4005 61'],
    ['an integer that does not end', 'ffff ffff ffff ffff ff'],
    ['a table size beyond the setting', '3fe2 1f'],
    ['a table size update behind a field', '8220'],
    ['Huffman code with the EOS symbol', '4084 ffff ffff 0161'],
    ['Huffman padding longer than 7 bits', '4082 1fff 0161'],
    ['Huffman padding that is not ones', '4081 1800 61'],
    ['a block that ends in a field', '40'],
  ];
  for (const [what, block] of refused)
    it(`refuses ${what}`, () => {
      expect(() => new HpackDecoder().decode(hex(block))).to.throw(HpackError);
    });

  it('says which fields are malformed without losing the table', () => {
    const decoder = new HpackDecoder();
    // "Xa: b", then a good field that is read from the table.
    const first = decoder.decode(hex('4002 5861 0162'));
    const second = decoder.decode(hex('be'));
    expect(first.malformed).to.equal('a field name is malformed');
    expect(pairs(second.fields)).to.deep.equal(['Xa: b']);
    const split = decoder.decode(hex('0001 6103 610d 0a'));
    expect(split.malformed).to.match(/value of the field a is malformed/);
  });

  it('keeps its table in step behind a list that is too large', () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(4096, 300);
    const kept = makeField('kept', 'v'.repeat(100));
    const large = [makeField('a', 'x'.repeat(250)), makeField('b', 'y'.repeat(100)), kept];
    expect(decoder.decode(encoded(encoder, large)).tooLarge).to.equal(true);
    expect(pairs(decoder.decode(encoded(encoder, [kept])).fields)).to.deep.equal(pairs([kept]));
  });
});
