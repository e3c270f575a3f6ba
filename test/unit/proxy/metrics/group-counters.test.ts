import { expect } from 'chai';
import { FIRST_SUCCESS_BUCKETS, GroupCounters } from '../../../../src/proxy/metrics/group-counters.ts';
import { writeGroups } from '../../../../src/proxy/metrics/group-exposition.ts';
import { Exposition } from '../../../../src/telemetry/exposition.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

describe('the time from a lost backend to the first success', () => {
  let clock: VirtualClock;
  let counters: GroupCounters;

  beforeEach(() => {
    clock = new VirtualClock();
    counters = new GroupCounters();
  });

  const left = (backend: string, why: 'connect' | 'refused' | 'no_endpoints' | 'retry') =>
    counters.left(backend, why, clock.monotonic());
  /** How many failovers there were, and how long they took together, seconds; by cause. */
  const times = () =>
    Object.fromEntries(
      Object.entries(counters.numbers.firstSuccess).map(([why, { buckets, sum }]) => [
        why,
        [buckets.reduce((all, count) => all + count, 0), sum],
      ]),
    );

  it('begins with the first request that is moved, is told by its cause, and ends with the first answer', async () => {
    left('west', 'retry');
    await clock.advance(200);
    left('west', 'connect');
    await clock.advance(100);
    counters.answered('north', clock);
    expect(times()).to.deep.equal({ retry: [1, 0.3] });
    await clock.advance(1000);
    counters.answered('north', clock);
    expect(times()).to.deep.equal({ retry: [1, 0.3] });
    expect(counters.numbers.moved).to.deep.equal({ connect: 1, refused: 0, no_endpoints: 0, retry: 1 });
  });

  it('is that of each backend where several are lost, until one answers that is not', async () => {
    left('west', 'connect');
    await clock.advance(500);
    left('north', 'no_endpoints');
    await clock.advance(500);
    counters.answered('east', clock);
    expect(times()).to.deep.equal({ connect: [1, 1], no_endpoints: [1, 0.5] });
  });

  // Its time would go on until another one is drawn, which may be in an hour.
  it('is none of a backend that answers itself', async () => {
    left('west', 'refused');
    counters.answered('west', clock);
    await clock.advance(3_600_000);
    counters.answered('north', clock);
    expect(times()).to.deep.equal({});
  });

  it('does not ask for the time where nothing was moved', () => {
    const asked = {
      monotonic: () => {
        throw new Error('asked');
      },
    };
    counters.answered('west', asked);
    left('west', 'retry');
    expect(() => counters.answered('north', asked)).to.throw('asked');
  });

  it('is published with its bounds, what lies above all of them too', async () => {
    left('west', 'connect');
    await clock.advance(10);
    counters.answered('north', clock);
    left('west', 'connect');
    await clock.advance(61_000);
    counters.answered('north', clock);
    const out = new Exposition();
    writeGroups(out, [['demo/web:80', counters.numbers]]);
    const name = 'linkspan_failover_time_to_first_success_seconds';
    const of = 'direction="outbound",dst="demo/web:80",cause="connect"';
    expect(out.text.split('\n').filter((line) => line.startsWith(name))).to.deep.equal([
      ...FIRST_SUCCESS_BUCKETS.map((bound) => `${name}_bucket{${of},le="${bound}"} ${Number(bound >= 0.01)}`),
      `${name}_bucket{${of},le="+Inf"} 2`,
      `${name}_sum{${of}} 61.01`,
      `${name}_count{${of}} 2`,
    ]);
  });
});
