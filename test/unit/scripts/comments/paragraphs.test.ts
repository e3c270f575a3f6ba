import { expect } from 'chai';
import fc from 'fast-check';
import { wrapText } from '../../../../scripts/comments/paragraphs.ts';

/** Comments of 300 columns stood in the tree for months: editors fold them, reviews show half of them. */
describe('wrapped text', () => {
  for (const [what, before, after] of [
    ['what fits stays as it is', ['short', 'lines', '', 'of two'], ['short', 'lines', '', 'of two']],
    ['a paragraph is filled anew, others are not', ['a bb', 'cc', '', 'aaaa bbbb cccc dddd'], null],
    [
      'the whole paragraph of a line that is too long',
      ['aaaa', 'bbbb cccc dddd eeee', 'ffff'],
      ['aaaa bbbb', 'cccc dddd', 'eeee ffff'],
    ],
    ['list items keep their indent', ['- aaaa bbbb cccc', '- d'], ['- aaaa', '  bbbb', '  cccc', '- d']],
    [
      'what continues a list item',
      ['1. aaaa bbbb', '   cccc', '2. d'],
      ['1. aaaa', '   bbbb', '   cccc', '2. d'],
    ],
    ['tags begin a line', ['aa.', '@throws X when y is z'], ['aa.', '@throws X', 'when y is', 'z']],
    ['tags in a line that is broken', ['aa bb cc. @returns d'], ['aa bb cc.', '@returns d']],
    [
      'fences',
      ['```', 'aaaa bbbb cccc', '```', 'aaaa bbbb c'],
      ['```', 'aaaa bbbb cccc', '```', 'aaaa bbbb', 'c'],
    ],
    ['indented code', ['See:', '    aaaa bbbb cccc'], ['See:', '    aaaa bbbb cccc']],
    ['tables', ['| aaaa | bbbb |', '| --- | --- |'], ['| aaaa | bbbb |', '| --- | --- |']],
    ['examples', ['@example f(aaaa, bbbb)', 'g(aaaa, bbbb)'], ['@example f(aaaa, bbbb)', 'g(aaaa, bbbb)']],
    ['addresses', ['see https://example.com/a-b now'], ['see', 'https://example.com/a-b', 'now']],
    ['code spans', ['aaaaa `b c d` e'], ['aaaaa', '`b c d` e']],
    [
      'no line begins with what would be a list or a tag',
      ['aaaa bbbb - @cc ddd'],
      ['aaaa', 'bbbb - @cc', 'ddd'],
    ],
  ] as const) {
    it(what, () =>
      expect(wrapText(before, 10)).to.deep.equal(after ?? ['a bb', 'cc', '', 'aaaa bbbb', 'cccc dddd']),
    );
  }

  it('says the same words, and stays as it is the next time', () => {
    const word = fc.constantFrom(
      'a',
      'bbbb',
      'ccccccccccccc',
      '`d',
      'e`',
      '-',
      '@f',
      '@throws',
      '|',
      '1.',
      '#',
      '```',
    );
    const lines = fc.array(
      fc.array(word, { maxLength: 8 }).map((words) => words.join(' ')),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(lines, (text) => {
        const wrapped = wrapText(text, 12);
        const words = (all: readonly string[]) =>
          all
            .join(' ')
            .split(/\s+/)
            .filter((one) => one !== '');
        expect(words(wrapped)).to.deep.equal(words(text));
        expect(wrapText(wrapped, 12)).to.deep.equal(wrapped);
      }),
    );
  });
});
