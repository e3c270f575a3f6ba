import { expect } from 'chai';
import {
  forEachIsolated,
  reportContained,
  reportContainedTo,
  notifyAll,
} from '../../../src/base/isolation.ts';
import { useSurfaced } from '../../support/surfaced.ts';

describe('what is done for many', () => {
  const surfaced = useSurfaced();
  const failing = (at: number) => {
    if (at % 2 === 1) throw new TypeError(`${at} is odd`);
  };

  it('is done for each, whatever comes of the others, and every mistake is told', () => {
    const done: number[] = [];
    forEachIsolated('numbers', [1, 2, 3, 4], (at) => {
      failing(at);
      done.push(at);
    });
    expect(done).to.deep.equal([2, 4]);
    expect(surfaced).to.deep.equal([
      { message: '1 is odd', what: 'numbers' },
      { message: '3 is odd', what: 'numbers' },
    ]);
  });

  it('can say itself what becomes of those at which it failed', () => {
    const failed: number[] = [];
    forEachIsolated('numbers', [1, 2, 3], failing, (_, at) => failed.push(at));
    expect([failed, surfaced]).to.deep.equal([[1, 3], []]);
  });

  it('is told to every listener', () => {
    const heard: string[] = [];
    const odd = (at: number) => {
      failing(at);
    };
    notifyAll('listeners', [odd, (at: number) => heard.push(`second ${at}`)], 1);
    expect(heard).to.deep.equal(['second 1']);
    expect(surfaced.map(({ what }) => what)).to.deep.equal(['listeners']);
  });

  it('goes to whoever was said last, and back', () => {
    const heard: unknown[] = [];
    const back = reportContainedTo((error, fields) => heard.push([error, fields]));
    reportContained('text', 'x', { key: 'a/b' });
    back();
    reportContained(new Error('later'), 'y');
    expect(heard).to.deep.equal([['text', { what: 'x', key: 'a/b' }]]);
    expect(surfaced).to.deep.equal([{ message: 'later', what: 'y' }]);
  });
});
