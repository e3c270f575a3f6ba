import { expect } from 'chai';
import { ClusterTime, skewOf } from '../../../../src/kube/client/cluster-time.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });

// Holds and ramps of clusters that came back went by clocks that nobody compared.
describe("the cluster's time", () => {
  it('is read with what a request takes, and seconds that are whole', () => {
    expect(skewOf({ before: 10_900, server: 10_000, after: 11_500 })).to.equal(0);
    expect(skewOf({ before: 10_000, server: 70_000, after: 10_500 })).to.equal(59_500);
    expect(skewOf({ before: 100_000, server: 50_000, after: 100_500 })).to.equal(-49_000);
  });

  it('differs too much from 30 s on, which is told when it changes; silence changes nothing', async () => {
    const clock = new VirtualClock();
    let ahead: number | undefined = 20_000;
    let changes = 0;
    const client = {
      serverTime: () =>
        ahead === undefined
          ? Promise.reject(new Error('no answer'))
          : Promise.resolve(Math.floor((clock.now() + ahead) / 1000) * 1000),
    };
    const time = new ClusterTime({ client, clock, log, onChange: () => changes++ });
    time.start();
    await settle();
    expect([time.skewed, changes]).to.deep.equal([false, 0]);
    ahead = -100_000;
    await clock.advance(300_000);
    expect([time.skewed, changes]).to.deep.equal([true, 1]);
    ahead = undefined;
    await clock.advance(600_000);
    expect([time.skewed, changes]).to.deep.equal([true, 1]);
    ahead = 0;
    await clock.advance(30_000);
    expect([time.skewed, changes]).to.deep.equal([false, 2]);
    time.stop();
    expect(clock.pending).to.equal(0);
  });
});
