import { expect } from 'chai';
import { FailoverBook } from '../../../../src/controllers/failover/failover-book.ts';
import { WeightsBook } from '../../../../src/controllers/weights/weights-book.ts';
import { healthy, HTTP_ROUTE, judged, managedRoute, managedSplit, SPLIT } from '../../../support/weighted.ts';

// Nobody saw by metrics what the writer of weights had decided: they were of federated Services only.
describe('metrics of weights', () => {
  const facts = { web: healthy(3), 'web-west': healthy(3) };
  const refs = [{ name: 'web' }, { name: 'web-west' }];
  const split = managedSplit({ web: 1, 'web-west': 0 });
  const route = managedRoute([{ backendRefs: refs }, { backendRefs: [...refs].reverse() }]);
  let book: FailoverBook;
  let weights: WeightsBook;
  const names = () => [...book.entries].map(({ service }) => service);

  beforeEach(() => {
    book = new FailoverBook({ said: new Map() });
    weights = new WeightsBook(book);
  });

  it('are of each list of backends, by the name of its object', () => {
    weights.note('split', SPLIT, split, judged(split, facts));
    weights.note('route', HTTP_ROUTE, route, judged(route, facts, { kind: HTTP_ROUTE }));
    expect(names()).to.deep.equal([
      'TrafficSplit shop/web',
      'HTTPRoute shop/web rule 1',
      'HTTPRoute shop/web rule 2',
    ]);
    const shares = [...book.entries].map(({ decision }) => decision.backends.map(({ share }) => share));
    expect(shares[0]).to.deep.equal([10_000, 0]);
  });

  it('count changes of a state, and end with the object and the term', () => {
    weights.note('split', SPLIT, split, judged(split, facts));
    weights.note('split', SPLIT, split, judged(split, { ...facts, web: healthy(0, 3) }));
    expect([...book.transitions.keys()]).to.include('NoReadyEndpoints');
    weights.forget('split');
    expect(names()).to.deep.equal([]);
    weights.note('split', SPLIT, split, judged(split, facts));
    weights.close();
    expect(names()).to.deep.equal([]);
  });

  it('are of a bounded number', () => {
    for (let n = 0; n < 2000; n++) {
      const one = { ...split, metadata: { ...split.metadata, name: `web-${n}` } };
      weights.note(`split-${n}`, SPLIT, one, judged(one, facts));
    }
    expect(names()).to.have.length(1000);
    weights.forget('split-0');
    weights.note('route', HTTP_ROUTE, route, judged(managedSplit({ web: 1, 'web-west': 0 }), facts));
    expect(names()).to.have.length(1000);
  });
});
