import { expect } from 'chai';
import { seenMeanwhile, untilTaken } from '../../support/passing.ts';

const refused = (code: string) => ({ code: 1, stdout: '', stderr: `linkspan: [${code}] no\n` });
const taken = { code: 0, stdout: 'yes\n', stderr: '' };

// A gateway that was missed by one probe had drains refused for a while, and a test failed by it.
describe('a verb that is asked until it is taken', () => {
  it('is asked again while the others cannot bear it', async () => {
    const answers = [refused('DRAIN_CAPACITY'), refused('DRAIN_SOLE_BACKEND'), taken];
    expect(await untilTaken(() => Promise.resolve(answers.shift() ?? taken))).to.equal(taken);
    expect(answers).to.have.length(0);
  });

  it('is not where it is refused for something else', async () => {
    const other = refused('DRAIN_TOO_MANY');
    expect(await untilTaken(() => Promise.resolve(other))).to.equal(other);
  });
});

describe('what passes by itself', () => {
  it('is begun anew where it was over before somebody looked', async () => {
    let begun = 0;
    const begin = () => Promise.resolve(++begun);
    expect(await seenMeanwhile('it', begin, () => begun === 3)).to.equal(3);
  });

  it('fails when it is never seen, or cannot be begun', async () => {
    const failure = (run: Promise<unknown>) => run.then(String, (error: unknown) => String(error));
    const never = seenMeanwhile(
      'it',
      () => Promise.resolve(),
      () => false,
    );
    expect(await failure(never)).to.contain('never seen: it');
    const broken = seenMeanwhile(
      'it',
      () => Promise.reject(new Error('not begun')),
      () => false,
    );
    expect(await failure(broken)).to.contain('not begun');
  });
});
