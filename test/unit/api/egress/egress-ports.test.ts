import { expect } from 'chai';
import * as fc from 'fast-check';
import { readEgressPorts, writeEgressPorts } from '../../../../src/api/egress/egress-ports.ts';

describe('egress ports in an annotation', () => {
  const port = fc.integer({ min: 1, max: 65_535 });

  it('are read as they were written', () => {
    fc.assert(
      fc.property(fc.dictionary(port.map(String), port), (ports) => {
        expect(readEgressPorts(writeEgressPorts(ports))).to.deep.equal({ ...ports });
      }),
    );
  });

  it('are the same text in whatever order they were put together', () => {
    expect(writeEgressPorts({ 443: 10_002, 80: 10_001 })).to.equal('{"80":10001,"443":10002}');
  });

  const rubbish = [undefined, '', 'rubbish', 'null', '[]', '3', '"80"', 'true', '{"80":'];
  for (const text of rubbish) {
    it(`are none in ${JSON.stringify(text)}`, () => expect(readEgressPorts(text)).to.deep.equal({}));
  }

  it('lose only the entries that are no ports', () => {
    const text =
      '{"80":10000,"0":10001,"http":10002,"81":"10003","82":65536,"83":1.5,"84":null,"65536":10004}';
    expect(readEgressPorts(text)).to.deep.equal({ 80: 10_000 });
  });

  it('are never anything but ports, whatever the annotation says', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        for (const [from, to] of Object.entries(readEgressPorts(text))) {
          expect(Number(from)).to.be.within(1, 65_535);
          expect(to).to.be.within(1, 65_535);
        }
      }),
    );
  });
});
