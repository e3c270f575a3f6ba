import { expect } from 'chai';
import { addPairs, Pairs } from '../../../../src/proxy/metrics/pair-counters.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const MINUTE = 60_000;

describe('what passes between clients and services', () => {
  const opened = () => {
    const clock = new VirtualClock();
    return { clock, pairs: new Pairs(clock) };
  };
  /** So many whole requests. */
  const ask = ({ pairs, clock }: ReturnType<typeof opened>, peer: string, times = 1, target = 'web:80') => {
    const pair = pairs.of(peer, target);
    for (let nth = 0; nth < times; nth++) {
      pair.begin(clock.monotonic(), 'http1');
      pair.end();
    }
    return pair;
  };
  const total = (pairs: Pairs) => pairs.numbers().reduce((sum, { requests }) => sum + requests, 0);

  it('is counted for each client and service', () => {
    const bed = opened();
    ask(bed, 'a', 2);
    ask(bed, 'a', 1, 'api:80').error('unauthorized');
    bed.pairs.of('b', 'web:80').begin(0, 'http1');
    const found = bed.pairs
      .numbers()
      .map(({ peer, target, requests, inFlight }) => [peer, target, requests, inFlight]);
    expect(found).to.deep.equal([
      ['a', 'web:80', 2, 0],
      ['a', 'api:80', 1, 0],
      ['b', 'web:80', 1, 1],
    ]);
    expect(bed.pairs.numbers()[1]?.errors).to.deep.equal({ unauthorized: 1 });
  });

  it('is counted apart for clusters that share an identity', () => {
    const { pairs } = opened();
    const [east, north] = ['east', 'north'].map((cluster) => ({ cluster, proven: false }));
    for (const from of [east, north, east, undefined]) pairs.of('egress', 'web:80', from).begin(0, 'http1');
    const found = [pairs.numbers(), addPairs([pairs.numbers(), pairs.numbers()])].map((numbers) =>
      numbers.map(({ peer, from, requests }) => [peer, from?.cluster, requests]),
    );
    const times = (n: number) => [
      ['egress', 'east', 2 * n],
      ['egress', 'north', n],
      ['egress', undefined, n],
    ];
    expect(found).to.deep.equal([times(1), times(2)]);
  });

  it('is forgotten ten minutes after the last has begun, and not while one is under way', async () => {
    const bed = opened();
    const [idle, busy] = [ask(bed, 'idle'), bed.pairs.of('busy', 'web:80')];
    busy.begin(bed.clock.monotonic(), 'http1');
    await bed.clock.advance(10 * MINUTE);
    expect(bed.pairs.numbers().map(({ peer }) => peer)).to.deep.equal(['busy', 'other']);
    expect([idle.forgotten, busy.forgotten, total(bed.pairs)]).to.deep.equal([true, false, 2]);
    expect(bed.pairs.of('idle', 'web:80')).not.to.equal(idle);
  });

  // Addresses cost whoever has many of them nothing.
  it('has a bound: the busiest stay, others are counted together, and none is lost', () => {
    const bed = opened();
    for (let nth = 0; nth < 10; nth++) ask(bed, `busy-${nth}`, 100_000);
    const current = bed.pairs.of('current', 'web:80');
    current.begin(0, 'http1');
    for (let nth = 0; nth < 20_000; nth++) ask(bed, `10.0.${nth >> 8}.${nth & 255}`);
    const peers = new Set(bed.pairs.numbers().map(({ peer }) => peer));
    expect(peers.size).to.be.at.most(1001);
    for (let nth = 0; nth < 10; nth++) expect(peers.has(`busy-${nth}`)).to.equal(true);
    expect([peers.has('current'), peers.has('other')]).to.deep.equal([true, true]);
    expect(total(bed.pairs)).to.equal(1_020_001);
  });

  it('has a bound of pairs, too', () => {
    const bed = opened();
    for (let peer = 0; peer < 20; peer++)
      for (let nth = 0; nth < 2000; nth++) ask(bed, `peer-${peer}`, 1, `web-${nth}:80`);
    expect(bed.pairs.numbers().length).to.be.at.most(10_001);
    expect(total(bed.pairs)).to.equal(40_000);
  });

  it('counts together where all that are told apart are busy, and tells newcomers apart later', async () => {
    const bed = opened();
    const busy = Array.from({ length: 1000 }, (_, nth) => bed.pairs.of(`busy-${nth}`, 'web:80'));
    for (const pair of busy) pair.begin(0, 'http1');
    expect(ask(bed, 'late').peer).to.equal('other');
    for (const pair of busy) pair.end();
    expect(ask(bed, 'late').peer, 'nobody is looked for at once').to.equal('other');
    await bed.clock.advance(1000);
    expect(ask(bed, 'late').peer).to.equal('late');
  });
});
