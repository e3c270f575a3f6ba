import { expect } from 'chai';
import * as fc from 'fast-check';
import { preferredByZone } from '../../../src/exports/zone-hints.ts';

const endpoint = fc.record({
  ready: fc.boolean(),
  forZones: fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 2 }),
});
const endpoints = fc.array(endpoint, { maxLength: 8 });
const at = (forZones: string[], ready = true) => ({ ready, forZones });

describe('zone hints', () => {
  it('prefer the endpoints that are for the zone', () => {
    expect(preferredByZone([at(['a']), at(['b']), at(['b', 'a'])], 'a')).to.deep.equal([true, false, true]);
  });

  // While a slice is being filled some endpoints have no hints yet: following those of the others would put
  // the whole load of a zone on one pod.
  it('do not count while a ready endpoint has none', () => {
    expect(preferredByZone([at(['a']), at([])], 'a')).to.deep.equal([false, false]);
    expect(preferredByZone([at(['a']), at([], false)], 'a'), 'an unready one has none').to.deep.equal([
      true,
      false,
    ]);
  });

  it('do not count where no ready endpoint is for the zone', () => {
    expect(preferredByZone([at(['b']), at(['a'], false)], 'a')).to.deep.equal([false, false]);
  });

  it('do not count for whoever does not know where he is', () => {
    fc.assert(fc.property(endpoints, (all) => !preferredByZone(all, undefined).includes(true)));
  });

  it('leave some ready endpoint preferred or none at all, and prefer none that is for other zones only', () => {
    const property = fc.property(endpoints, fc.constantFrom('a', 'b', 'c', 'd'), (all, zone) => {
      const preferred = preferredByZone(all, zone);
      expect(preferred).to.have.length(all.length);
      const chosen = all.filter((_, index) => preferred[index]);
      if (chosen.length === 0) return;
      expect(chosen.some(({ ready }) => ready)).to.equal(true);
      for (const { forZones } of chosen) expect(forZones).to.include(zone);
      for (const { ready, forZones } of all) if (ready) expect(forZones).not.to.deep.equal([]);
    });
    fc.assert(property);
  });
});
