import { expect } from 'chai';
import { NotValid } from '../../../../src/api/routing/read-value.ts';
import { readTrafficSplit } from '../../../../src/api/routing/traffic-split.ts';

const of = (...weights: unknown[]) => ({
  service: 'web',
  backends: weights.map((weight, n) => ({ service: `web-${n}`, weight })),
});
const weightsOf = (spec: unknown) => readTrafficSplit(spec).backends.map(({ weight }) => weight);

describe('a TrafficSplit', () => {
  it('has numbers for weights in v1alpha2', () => {
    expect(readTrafficSplit(of(90, 10))).to.deep.equal({
      service: 'web',
      backends: [
        { service: 'web-0', weight: 90 },
        { service: 'web-1', weight: 10 },
      ],
    });
  });

  it('has numbers or quantities in v1alpha1', () => {
    expect(weightsOf(of('900m', '100m', '1', 2, '0.5', '1k'))).to.deep.equal([0.9, 0.1, 1, 2, 0.5, 1000]);
  });

  it('gives nothing to a backend without a weight', () => {
    expect(weightsOf({ service: 'web', backends: [{ service: 'a' }] })).to.deep.equal([0]);
  });

  for (const [what, spec] of [
    ['nothing', undefined],
    ['no Service', { backends: [] }],
    ['a Service that is none', { service: 'web.other', backends: [] }],
    ['no backends', { service: 'web' }],
    ['too many backends', of(...Array.from({ length: 65 }, () => 1))],
    ['a weight below 0', of(-1)],
    ['a weight that is too large', of(1e300)],
    ['a weight that is no number', of('lots')],
    ['a weight that is not finite', of(Number.NaN)],
  ] as const)
    it(`is refused with ${what}`, () => expect(() => readTrafficSplit(spec)).to.throw(NotValid));
});
