import { expect } from 'chai';
import { figuresOf, observedShares } from '../../../../bench/failover/figures.ts';
import { DIRECT, type Sample, STREAMS } from '../../../e2e/programs/open-loop.mts';

const GET = STREAMS.findIndex(({ protocol, isIdempotent }) => protocol === 'HTTP/1 kept' && isIdempotent);
const POST = STREAMS.findIndex(({ protocol, isIdempotent }) => protocol === 'HTTP/1 kept' && !isIdempotent);
const RAW = STREAMS.findIndex(({ protocol }) => protocol === 'raw kept');
const FAULT = { ordered: 1005, at: 1010 };

/** All streams ask each 50 ms from 0 to 3 s, and are answered in 2 ms, but for what is told otherwise. */
function run(
  told: (stream: number, due: number) => Partial<Record<'took' | 'failure', unknown>> = () => ({}),
) {
  const samples: Sample[] = [];
  for (let due = 0; due < 3000; due += 50)
    for (const stream of STREAMS.keys()) {
      const { took = 2, failure = '' } = told(stream, due) as { took?: number; failure?: string };
      samples.push([stream, due, took, failure === '' ? 'west' : '', failure]);
    }
  return samples;
}

describe('what the requests of a run say about its fault', () => {
  it('nothing, where none failed and none was slow', () => {
    const figures = figuresOf(run(), FAULT);
    expect(figures).to.include({ firstMs: 2, steadyMs: 0, inHand: 0, calmMs: 2, slowestMs: 2 });
    expect(figures.failed).to.deep.equal([]);
  });

  it('counts by the slowest protocol when the first was answered, from when one was due', () => {
    const figures = figuresOf(
      run((stream, due) => (stream === POST && due > 1010 && due < 1200 ? { failure: '502' } : {})),
      FAULT,
    );
    // Due at 1050, and answered at 1202.
    expect(figures.firstMs).to.equal(152);
    expect(figures.steadyMs).to.equal(1152 - 1010);
    expect(figures.failed).to.deep.equal([{ protocol: 'HTTP/1 kept', isIdempotent: false, count: 3 }]);
    expect([...figures.reasons]).to.deep.equal([['502', 3]]);
  });

  it('says so where one protocol was never answered again', () => {
    const dead = run((stream, due) => (stream === GET && due > 1000 ? { failure: '502' } : {}));
    expect(figuresOf(dead, FAULT).firstMs).to.equal(undefined);
  });

  it('counts what was in hand: due before, ended after, and not to be sent twice', () => {
    const held = run((_, due) => (due === 950 ? { took: 300 } : {}));
    const twice = STREAMS.filter(({ isIdempotent }) => isIdempotent).length;
    expect(figuresOf(held, FAULT).inHand).to.equal(STREAMS.length - twice);
  });

  it('takes slow for disturbed only until it is calm for a second', () => {
    const hiccup = run((_, due) => (due === 1100 || due === 2700 ? { took: 100 } : {}));
    expect(figuresOf(hiccup, FAULT).steadyMs).to.equal(1200 - 1010);
  });

  it('takes a failure for disturbed however late it comes', () => {
    const late = run((stream, due) => (stream === RAW && due === 2900 ? { failure: 'ECONNRESET' } : {}));
    expect(figuresOf(late, FAULT).steadyMs).to.equal(2902 - 1010);
  });

  it('judges slow by what the machine does to requests without a fault', () => {
    const busy = run((_, due) => (due === 500 ? { took: 90 } : due === 1100 ? { took: 100 } : {}));
    expect(figuresOf(busy, FAULT)).to.include({ calmMs: 90, steadyMs: 0 });
  });

  it('takes no failure for calm: one fault may follow another', () => {
    const twice = run((stream, due) => (due === 500 && stream === GET ? { took: 400, failure: '502' } : {}));
    expect(figuresOf(twice, FAULT).calmMs).to.equal(2);
  });

  it('judges slow by what the machine does meanwhile to requests past all of it', () => {
    const busy = run((_, due) => (due === 1100 ? { took: 100 } : {}));
    const figures = figuresOf([...busy, [DIRECT, 1090, 60, 'north', '']], FAULT);
    expect(figures).to.include({ floorMs: 60, steadyMs: 0, slowestMs: 100 });
  });

  // The requests that measure the machine went into the shares: the share of the first cluster had moved by a
  // tenth although it served everything.
  it('sees who answered, of those for whom somebody was drawn', () => {
    const samples: Sample[] = [
      [GET, 0, 1, 'west', ''],
      [GET, 1, 1, 'west', ''],
      [POST, 2, 1, 'west', ''],
      [POST, 3, 1, 'north', ''],
      [RAW, 4, 1, 'north', ''],
      [DIRECT, 4, 1, 'north', ''],
      [POST, 5, 1, '', '502'],
      [GET, 9, 1, 'north', ''],
    ];
    expect([...observedShares(samples, 0, 9)]).to.deep.equal([
      ['west', 0.75],
      ['north', 0.25],
    ]);
  });
});
