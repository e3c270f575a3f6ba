import { expect } from 'chai';
import { ProxyFailure } from '../../../../src/proxy/http/failures.ts';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import { RouteFinder } from '../../../../src/proxy/routing/route-finder.ts';
import { serviceRouting } from '../../../../src/policy/routing/service-routing.ts';
import { routeOf, routingFacts } from '../../../support/routing-facts.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

// One request may cost 20 ms of expressions: hundreds in one read of an HTTP/2 connection kept every other
// Service's requests waiting for seconds.
describe('finding the rules of requests', () => {
  const clock = new VirtualClock();
  let finder: RouteFinder;

  /** Expressions whose automata are never cached as a whole, and fields that take them through all states. */
  const dear = Array.from({ length: 12 }, (_, n) => ({
    matches: [
      { headers: [{ type: 'RegularExpression', name: `x-${n}`, value: `.*[ab]${'[ab].?'.repeat(15)}c` }] },
    ],
  }));
  const text = Array.from({ length: 2000 }, (_, n) => 'ab'[(n * n * 7 + (n >> 3)) % 2]).join('');
  const request = () => ({
    method: 'GET',
    path: '/',
    fields: dear.map((_, n) => makeField(`x-${n}`, text)),
  });
  const failureOf = (find: () => unknown) => {
    try {
      find();
    } catch (error) {
      if (error instanceof ProxyFailure) return error.kind;
      throw error;
    }
    return undefined;
  };

  beforeEach(() => {
    finder = new RouteFinder('web', clock);
    const { routing } = serviceRouting(routingFacts({ routes: [routeOf({ rules: dear })] }));
    finder.update(routing ?? { entries: [] });
  });

  it('takes no more than a part of the time, and is refused beyond it', async () => {
    // None takes more than 20 ms, and all of them together take 50 ms while the clock stands still.
    const kinds = Array.from({ length: 1000 }, () => failureOf(() => finder.find(request())));
    expect(kinds.filter((kind) => kind === 'load shed')).to.have.length.above(500);
    await clock.advance(1000);
    const plain = { method: 'GET', path: '/', fields: [] };
    expect(failureOf(() => finder.find(plain))).to.equal('no route');
  });

  it('is looked for once where it is asked twice', () => {
    let reads = 0;
    const one = request();
    const counted = {
      ...one,
      get path() {
        reads++;
        return '/';
      },
    };
    expect(finder.peek(counted)).to.equal(undefined);
    const before = reads;
    expect(failureOf(() => finder.find(counted))).to.be.oneOf(['no route', 'load shed']);
    expect(reads).to.equal(before);
  });
});
