import { expect } from 'chai';
import { localFacts } from '../../../../src/policy/failover/local-facts.ts';

const ready = { ready: true };
const not = { ready: false };
const leaving = { ready: true, leaving: true } as const;

describe('the facts of a backend that is a Service of this cluster', () => {
  for (const [what, endpoints, facts] of [
    ['none', [], { ready: 0, known: 0, expected: 1, usableSince: null }],
    ['some of which are ready', [ready, ready, not], { ready: 2, known: 3, expected: 2, usableSince: 0 }],
    ['none of which is ready', [not, not], { ready: 0, known: 2, expected: 1, usableSince: null }],
    ['all of which are about to go', [leaving], { ready: 0, known: 0, expected: 1, usableSince: null }],
    ['some of which are', [ready, leaving], { ready: 1, known: 1, expected: 1, usableSince: 0 }],
  ] as const)
    it(`with endpoints, ${what}`, () => {
      expect(localFacts(endpoints)).to.deep.equal({ path: 'alive', flaps: 0, lastWord: 0, ...facts });
    });
});
