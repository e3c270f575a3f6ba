import { expect } from 'chai';
import { messageViolations } from '../../../scripts/check-commits.ts';

/**
 * Of 257 commits 144 had subjects that no short view of git shows whole (up to 267 characters), and hardly
 * one a body.
 */
describe('messages of commits', () => {
  const good =
    'Withdrawals go on under every verdict\n\nA mirror that was kept kept its dead endpoints, too.\n';

  it('have a short subject, an empty line, and a body that is wrapped', () => {
    expect(messageViolations(good)).to.deep.equal([]);
    expect(messageViolations(`${'word '.repeat(14)}ab\n\nWhy.`)).to.deep.equal([]);
    expect(messageViolations(`${'word '.repeat(14)}abc\n\nWhy.`)).to.deep.equal([
      'the subject has 73 characters, 72 at most',
    ]);
    expect(messageViolations('Two words\nWhy.')).to.have.length(2);
    expect(messageViolations('Two words')).to.deep.equal(['there is no body; it says why']);
    expect(messageViolations(`Two words\n\n${'word '.repeat(30)}`)).to.have.length(1);
    expect(messageViolations(`Two words\n\nhttps://example.com/${'x'.repeat(130)}`)).to.deep.equal([]);
  });

  it('say what is so, and are meant to stay', () => {
    for (const subject of ['Lint', 'Ends with a stop.', 'fixup! Two words', 'wip: two words'])
      expect(messageViolations(`${subject}\n\nWhy.`), subject).to.have.length(1);
  });
});
