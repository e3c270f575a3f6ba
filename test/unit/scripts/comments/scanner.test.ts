import { expect } from 'chai';
import { codeOf, commentsOf } from '../../../../scripts/comments/scanner.ts';

const found = (text: string) => commentsOf(text).map(({ start, end }) => text.slice(start, end));

/**
 * What looks like a comment in a string is somebody's program, or an address; wrapped it would be another.
 */
describe('where comments are', () => {
  for (const [what, text, comments] of [
    ['both kinds', 'a(); // one\n/* two\n * lines */ b();', ['// one', '/* two\n * lines */']],
    ['behind the line of a program', '#!/usr/bin/env node // no\n// yes', ['// yes']],
    ['none in strings', `const a = 'http://x', b = "/* no */ \\" // no"; // yes`, ['// yes']],
    ['none in templates', 'const a = `// no\n/** no */ ${b} // no`; // yes', ['// yes']],
    ['in what templates hold', 'const a = `x ${f({ y: `// no` }) /* yes */} // no`;', ['/* yes */']],
    ['none in regular expressions', 'x = /[/*]\\/\\/ "/; y(/ab\\/*/); // yes', ['// yes']],
    ['behind words that expressions follow', 'return /\\/\\*"/; // yes', ['// yes']],
    [
      'behind divisions',
      'const a = b / c; // yes /\nconst d = e[0] / 2; /* too */',
      ['// yes /', '/* too */'],
    ],
    ['behind generics', "new Map<string, X<'a'>>(); // it's", ["// it's"]],
  ] as const) {
    it(`finds ${what}`, () => expect(found(text)).to.deep.equal(comments));
  }

  it('leaves the same code, however comments and blanks stand', () => {
    expect(codeOf('a(); // x\nb();')).to.equal(codeOf('/* y */\na();b();'));
    expect(codeOf("a('// x')")).not.to.equal(codeOf("a('// y')"));
  });
});
