import { expect } from 'chai';
import fc from 'fast-check';
import { readDrainField, writeDrainField } from '../../../../src/api/failover/drain-header.ts';

const NOW = Date.UTC(2026, 10, 29, 14);
const DRAIN = { to: 0.25, start: NOW, rampMs: 300_000, until: NOW + 7_200_000, drill: false };
const TEXT = 'to=0.25, start=@1795960800, ramp=300, until=@1795968000';

// A target could only die to be left by its sources.
describe('the field by which a gateway asks to be drained', () => {
  it('is read as it was written', () => {
    expect(writeDrainField(DRAIN)).to.equal(TEXT);
    expect(readDrainField(TEXT, NOW)).to.deep.equal({ ...DRAIN, by: 'gateway' });
    expect(writeDrainField({ ...DRAIN, to: 1 / 3, rampMs: 1500 })).to.equal(
      'to=0.333, start=@1795960800, ramp=2, until=@1795968000',
    );
  });

  it('is nothing where it is of another form, or asks for too much', () => {
    for (const [from, to] of [
      ['to=0.25', 'to=1.5'],
      ['to=0.25', 'to=-1'],
      ['to=0.25', 'to=0.25 '],
      ['ramp=300', 'ramp=90000'],
      ['until=@1795968000', 'until=@1795960799'],
      ['until=@1795968000', 'until=@1798725601'],
      ['until=@1795968000', 'until=@1795968000, more=1'],
      ['until=@1795968000', `until=@1795968000${' '.repeat(100)}`],
    ] as const)
      expect(readDrainField(TEXT.replace(from, to), NOW), to).to.equal(undefined);
    for (const one of [undefined, '', 7, [TEXT], `x${TEXT}`])
      expect(readDrainField(one, NOW)).to.equal(undefined);
  });

  it('of any text is nothing, or a drain with an end that is near', () => {
    const part = fc.oneof(fc.nat(), fc.string(), fc.integer());
    const text = fc.oneof(
      fc.string(),
      fc.tuple(part, part, part, part).map(([a, b, c, d]) => `to=${a}, start=@${b}, ramp=${c}, until=@${d}`),
    );
    fc.assert(
      fc.property(text, (one) => {
        const drain = readDrainField(one, NOW);
        if (drain === undefined) return;
        expect(drain.to).to.be.within(0, 1);
        expect(drain.until).to.be.within(drain.start, NOW + 31 * 86_400_000);
        expect(readDrainField(writeDrainField(drain), NOW)).to.deep.equal(drain);
      }),
    );
  });
});
