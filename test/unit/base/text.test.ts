import { expect } from 'chai';
import { plainText, plainWords } from '../../../src/base/text.ts';

describe('words of strangers', () => {
  // Whoever may annotate a Service could clear the terminal of whoever drains it, or write lines into it.
  it('are one line that a terminal does not obey', () => {
    expect(plainWords('new nodes', 200)).to.equal('new nodes');
    expect(plainWords('\u001b[2Ja\r\nb\u009bc\u202ed\u2028e\ud800', 200)).to.equal(' [2Ja  b c d e ');
    expect(plainWords('abc', 2)).to.equal('ab');
    expect(plainWords(plainWords('ab\ud83d\ude00', 3), 3), 'again').to.equal(plainWords('ab\ud83d\ude00', 3));
  });

  it('of several lines keep colours, and nothing else that a terminal obeys', () => {
    expect(plainText('\u001b[31mred\u001b[39m\tone\ntwo\n')).to.equal('\u001b[31mred\u001b[39m\tone\ntwo\n');
    expect(plainText('\u001b[2J\u001b]0;title\u0007a\rb\u009b31mc\u202ed\n')).to.equal(
      '[2J]0;titleab31mcd\n',
    );
  });
});
