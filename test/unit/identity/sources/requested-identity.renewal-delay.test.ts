import { expect } from 'chai';
import fc from 'fast-check';
import { renewalDelayMs } from '../../../../src/identity/sources/requested-identity.ts';

const HOUR = 3_600_000;

describe('renewalDelayMs', () => {
  it('is 70 % of what is left', () => {
    expect(renewalDelayMs(0, 10 * HOUR)).to.equal(7 * HOUR);
    expect(renewalDelayMs(5 * HOUR, 10 * HOUR)).to.equal(3.5 * HOUR);
  });

  it('is never under 10 s nor over 24 h', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), (now, notAfter) => {
        expect(renewalDelayMs(now, notAfter)).to.be.within(10_000, 24 * HOUR);
      }),
    );
  });
});
