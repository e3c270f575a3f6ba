import { expect } from 'chai';
import fc from 'fast-check';
import { MAX_DRILL_MS, readDrill, writeDrill } from '../../../../src/api/failover/connection-drill.ts';

const DRILL = {
  kind: 'fail' as const,
  start: Date.UTC(2026, 10, 29, 14),
  until: Date.UTC(2026, 10, 29, 14, 5),
  by: 'ada',
};
const TEXT =
  '{"kind":"fail","start":"2026-11-29T14:00:00.000Z","until":"2026-11-29T14:05:00.000Z","by":"ada"}';

describe('the annotation of a drill', () => {
  it('is read as it was written', () => {
    expect(writeDrill(DRILL)).to.equal(TEXT);
    expect(readDrill(TEXT)).to.deep.equal(DRILL);
  });

  it('is none where anything is wrong, or it would be longer than an hour', () => {
    for (const [from, to] of [
      ['"fail"', '"other"'],
      ['14:05', '13:59'],
      ['14:05:00.000Z', '15:00:00.001Z'],
      ['"until"', '"till"'],
      ['14:00:00.000Z', '14:00'],
    ] as const)
      expect(readDrill(TEXT.replace(from, to)), to).to.equal(undefined);
    for (const text of [undefined, '', '[]', 'null', `${TEXT}${' '.repeat(1024)}`])
      expect(readDrill(text), text).to.equal(undefined);
  });

  it('of any text is none, or one that ends within an hour', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        const drill = readDrill(text);
        if (drill !== undefined) expect(drill.until - drill.start).to.be.within(0, MAX_DRILL_MS);
      }),
    );
  });
});
