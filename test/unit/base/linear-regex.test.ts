import { expect } from 'chai';
import fc from 'fast-check';
import { linearRegex, type LinearRegex } from '../../../src/base/linear-regex.ts';
import { RegexError } from '../../../src/base/regex-syntax.ts';
import { bestOf } from '../../support/linear-time.ts';

/**
 * Patterns of what both this and JavaScript know, over few characters so that they meet; small, because
 * JavaScript backtracks.
 */
const { pattern } = fc.letrec<{ pattern: string; sequence: string; part: string; atom: string }>((tie) => ({
  atom: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    fc.constantFrom(
      'a',
      'b',
      '/',
      '.',
      '\\d',
      '\\w',
      '[ab]',
      '[^a]',
      '[a-c1]',
      '\\.',
      '\\W',
      '[\\d/]',
      '[^\\w]',
    ),
    tie('pattern').map((inner) => `(${inner})`),
    tie('pattern').map((inner) => `(?:${inner})`),
  ),
  part: fc
    .tuple(tie('atom'), fc.constantFrom('', '', '', '*', '+', '?', '*?', '{2}', '{1,}', '{0,2}'))
    .map((parts) => parts.join('')),
  sequence: fc.array(tie('part'), { maxLength: 3 }).map((parts) => parts.join('')),
  pattern: fc.array(tie('sequence'), { minLength: 1, maxLength: 2 }).map((parts) => parts.join('|')),
}));
const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '/', '1', '.', '-', '\n'), maxLength: 6 });

/** Undefined for what is larger than patterns may be. */
function compiled(whole: string): LinearRegex | undefined {
  try {
    return linearRegex(whole);
  } catch (error) {
    if (error instanceof RegexError && error.message.includes('too large')) return undefined;
    throw error;
  }
}

describe('linearRegex', () => {
  it('agrees with JavaScript where JavaScript is right', () => {
    fc.assert(
      fc.property(
        pattern,
        fc.constantFrom('', '^'),
        fc.constantFrom('', '$'),
        fc.array(text, { minLength: 1, maxLength: 5 }),
        (inner, head, tail, texts) => {
          const whole = `${head}${inner}${tail}`;
          const theirs = new RegExp(whole);
          const ours = compiled(whole);
          fc.pre(ours !== undefined);
          for (const one of texts)
            if (ours.test(one) !== theirs.test(one)) throw new Error(`${whole} on ${one}`);
        },
      ),
      { numRuns: 2000 },
    );
  });

  const table: [pattern: string, yes: string[], no: string[]][] = [
    ['^/books/[^/]*/edit$', ['/books/1/edit', '/books//edit'], ['/books/1/2/edit', '/books/1/edit/']],
    ['^a|b$', ['ax', 'xb'], ['xa', 'bx']],
    ['(?i)^/Ab[c-e]$', ['/aBC', '/ABe'], ['/abf']],
    ['^(?i:a)b$', ['Ab', 'ab'], ['aB']],
    ['^/(?P<id>[0-9]{2,3})$', ['/12', '/123'], ['/1', '/1234']],
    ['\\A[[:alpha:]_-]+\\z', ['ab-_'], ['a1', '']],
    ['^[]a]+$', [']a'], ['b']],
    ['^\\x2f\\x{61}$', ['/a'], ['/b']],
    ['^.*$', ['', 'a b'], ['a\nb']],
    ['', ['', 'x'], []],
  ];
  for (const [of, yes, no] of table)
    it(`reads ${of}`, () => {
      const regex = linearRegex(of);
      expect(yes.filter((one) => !regex.test(one))).to.deep.equal([]);
      expect(no.filter((one) => regex.test(one))).to.deep.equal([]);
    });

  for (const wrong of [
    '(',
    ')',
    '[a',
    'a**b(',
    '*',
    'a{2',
    '\\',
    '(?=a)',
    '(?<!a)b',
    '(a)\\1',
    '\\bword',
    'a{9999}',
    '(a{300}){300}',
    '[z-a]',
    '\\q',
    '[a&&b]',
    '('.repeat(60) + ')'.repeat(60),
  ])
    it(`refuses ${wrong.slice(0, 20)}`, () => {
      expect(() => linearRegex(wrong)).to.throw(RegexError);
    });

  // One ServiceProfile of a tenant, and one path of a stranger, would stop the gateway of the whole cluster
  // for minutes.
  for (const [bad, path] of [
    ['^(a+)+$', `${'a'.repeat(2000)}b`],
    ['^(a|aa|aaa)*$', `${'a'.repeat(2000)}b`],
    ['^(.*)*(.*)*(.*)*x$', 'y'.repeat(2000)],
    ['^.*a.{200}$', Array.from({ length: 2048 }, (_, n) => 'ab'[(n * n * 7 + (n >> 3)) % 2]).join('')],
  ] as const)
    it(`takes no time for ${bad}`, () => {
      const regex = linearRegex(bad);
      expect(bestOf(1, () => regex.test(path))).to.be.lessThan(1000);
    });

  // 500 sets of 500 states, for each of thousands of expressions, are gigabytes that one tenant could take.
  it('is the same where not all of its states are remembered', () => {
    const regex = linearRegex('^(?:a|b)*a(?:a|b){14}$');
    const plain = /^(?:a|b)*a(?:a|b){14}$/;
    let state = 7;
    for (let n = 0; n < 500; n++) {
      let text = '';
      for (let at = 0; at < 60; at++) {
        state = (state * 1103515245 + 12345) % 2147483648;
        text += state & 65536 ? 'a' : 'b';
      }
      expect(regex.test(text)).to.equal(plain.test(text));
    }
  });
});
