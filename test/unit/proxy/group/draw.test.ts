import { expect } from 'chai';
import fc from 'fast-check';
import { drawBackend, type Drawn, Parts } from '../../../../src/proxy/group/draw.ts';

interface Named extends Drawn {
  readonly name: string;
  readonly open: boolean;
}

const STEPS = 2000;

/** How often each backend is drawn, for evenly spaced random numbers. */
function frequencies(backends: readonly Named[], may = (one: Named) => one.open): Map<string, number> {
  const found = new Map<string, number>();
  for (let step = 0; step < STEPS; step++) {
    const drawn = drawBackend(backends, may, () => (step + 0.5) / STEPS);
    const name = drawn?.name ?? 'none';
    found.set(name, (found.get(name) ?? 0) + 1);
  }
  return found;
}

const backend = (name: string, share: number, change: Partial<Named> = {}): Named => ({
  name,
  share,
  order: 0,
  weight: 1,
  open: true,
  ...change,
});

const anyBackends = fc
  .array(
    fc.record({
      share: fc.oneof(fc.nat(10_000), fc.constantFrom(0, 0, 1)),
      order: fc.nat(3),
      weight: fc.oneof(fc.nat(100), fc.constant(0)),
      open: fc.boolean(),
    }),
    { maxLength: 8 },
  )
  .map((all): Named[] => all.map((one, at) => ({ ...one, name: `c${at}` })));

// The egress could not send a request to another cluster: kube-proxy chose the cluster once for each
// connection.
describe('the draw of a backend', () => {
  it('is the same where the parts are known', () => {
    fc.assert(
      fc.property(anyBackends, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (found, at) => {
        fc.pre(found.some(({ share }) => share > 0));
        expect(new Parts(found).draw(() => at)).to.equal(drawBackend(found, undefined, () => at));
      }),
    );
  });

  it('draws nobody by parts where nobody has one', () => {
    expect(new Parts([]).draw(() => 0.5)).to.equal(undefined);
    expect(new Parts([backend('west', 0)]).draw(() => 0.5)).to.equal(undefined);
  });

  it('follows the shares', () => {
    const found = frequencies([backend('west', 90), backend('north', 10)]);
    expect(Object.fromEntries(found)).to.deep.equal({ west: 1800, north: 200 });
  });

  it('gives the part of one that is closed to the others in proportion to theirs, the next tier included', () => {
    const found = frequencies([
      backend('west', 50, { open: false }),
      backend('north', 30),
      backend('dr', 10, { order: 1 }),
    ]);
    expect(Object.fromEntries(found)).to.deep.equal({ north: 1500, dr: 500 });
  });

  it('takes those of the lowest order that are open where none of these has a share, by weight', () => {
    const found = frequencies([
      backend('west', 100, { open: false }),
      backend('dr', 0, { order: 2 }),
      backend('north', 0, { order: 1, weight: 30 }),
      backend('south', 0, { order: 1, weight: 10 }),
    ]);
    expect(Object.fromEntries(found)).to.deep.equal({ north: 1500, south: 500 });
    const none = frequencies([
      backend('north', 0, { order: 1, weight: 0 }),
      backend('south', 0, { order: 1, weight: 0 }),
    ]);
    expect(Object.fromEntries(none)).to.deep.equal({ north: 1000, south: 1000 });
  });

  it('finds nobody where nobody is open', () => {
    expect(
      drawBackend(
        [backend('west', 1, { open: false })],
        ({ open }) => open,
        () => 0,
      ),
    ).to.equal(undefined);
    expect(
      drawBackend(
        [],
        () => true,
        () => 0,
      ),
    ).to.equal(undefined);
  });

  it('finds one for every random number, also at the ends', () => {
    const third = [backend('a', 0.1), backend('b', 0.2), backend('c', 0.3)];
    for (const random of [0, 0.5, 1 - Number.EPSILON / 2]) {
      const drawn = drawBackend(
        third,
        () => true,
        () => random,
      );
      expect(drawn, String(random)).not.to.equal(undefined);
    }
  });

  it('never draws one that is closed, and one without share only where no other is open', () => {
    fc.assert(
      fc.property(anyBackends, fc.double({ min: 0, max: 1 - 1e-12, noNaN: true }), (backends, random) => {
        const drawn = drawBackend(
          backends,
          ({ open }) => open,
          () => random,
        );
        const open = backends.filter((one) => one.open);
        if (open.length === 0) return drawn === undefined;
        const shared = open.some(({ share }) => share > 0);
        return drawn?.open === true && (!shared || drawn.share > 0);
      }),
    );
  });

  it('gives everybody the same part, in whichever order they stand', () => {
    fc.assert(
      fc.property(anyBackends, (backends) => {
        const [there, back] = [frequencies(backends), frequencies([...backends].reverse())];
        for (const { name } of backends)
          expect(back.get(name) ?? 0).to.be.closeTo(there.get(name) ?? 0, backends.length + 1);
      }),
      { numRuns: 50 },
    );
  });

  it('leaves the proportion of the others as it is when one closes', () => {
    const share = fc.integer({ min: 1, max: 1000 });
    fc.assert(
      fc.property(share, share, share, (a, b, c) => {
        const all = [backend('a', a), backend('b', b), backend('c', c)];
        const found = frequencies(all, ({ name }) => name !== 'c');
        expect(found.get('a') ?? 0).to.be.closeTo((STEPS * a) / (a + b), 2);
        expect(found.get('c')).to.equal(undefined);
      }),
      { numRuns: 50 },
    );
  });
});
