import { expect } from 'chai';
import { PacedSurroundings } from '../../../../src/cli/dashboard/paced-surroundings.ts';
import type { Surroundings } from '../../../../src/cli/traffic/traffic-surroundings.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

describe('what stands around numbers, for a page', () => {
  const read = (text: string) => ({ unread: [text] }) as unknown as Surroundings;

  it('is read a tenth of the time at most, and numbers do not wait for a reading that takes long', async () => {
    const clock = new VirtualClock();
    const begun: ((found: Surroundings) => void)[] = [];
    const paced = new PacedSurroundings(() => new Promise((resolve) => begun.push(resolve)), clock);
    const words = async (advance = 0) => {
      const getting = paced.get();
      await clock.advance(advance);
      return (await getting).unread[0];
    };

    expect(await words(1000)).to.match(/still being read/);
    await clock.advance(3000);
    begun[0]?.(read('first'));
    expect(await words()).to.equal('first');
    // It took four seconds: for the next thirty-six nobody is asked.
    await clock.advance(35_000);
    expect(await words()).to.equal('first');
    expect(begun).to.have.length(1);
    await clock.advance(1000);
    expect(await words(1000)).to.equal('first');
    expect(begun).to.have.length(2);
    begun[1]?.(read('second'));
    expect(await words()).to.equal('second');
  });
});
