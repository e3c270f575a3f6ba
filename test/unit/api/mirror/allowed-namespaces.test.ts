import { expect } from 'chai';
import fc from 'fast-check';
import {
  allowedNamespacesAnnotation,
  allowedNamespacesText,
  readAllowedNamespaces,
} from '../../../../src/api/mirror/allowed-namespaces.ts';
import { expectUnnoticed } from '../../../support/linear-time.ts';

describe('linkspan.dev/allowed-namespaces', () => {
  const cases: readonly (readonly [string | undefined, readonly string[] | undefined, problems: number])[] = [
    [undefined, undefined, 0],
    ['', [], 0],
    ['a', ['a'], 0],
    [' a , b,a ,', ['a', 'b'], 0],
    ['*', ['*'], 0],
    // A slip must never let in more than was meant.
    ['a,B', ['a'], 1],
    ['a*', [], 1],
    ['a/b', [], 1],
    ['-a,a-', [], 1],
    ['x'.repeat(64), [], 1],
    ['x,'.repeat(4096), [], 1],
    [`${'a-'.repeat(2000)}!`, [], 1],
  ];
  for (const [text, namespaces, problems] of cases)
    it(`${JSON.stringify(text?.slice(0, 20))} names ${namespaces === undefined ? 'nothing' : JSON.stringify(namespaces)}`, () => {
      const read = readAllowedNamespaces(text);
      expect(read.namespaces).to.deep.equal(namespaces);
      expect(read.problems).to.have.lengthOf(problems);
    });
});

describe('any other text of linkspan.dev/allowed-namespaces', () => {
  it('names nothing but what stands in it, and is read in no time', () => {
    const pieces = fc.array(fc.constantFrom('a', 'b-', '-', ',', ' ', '*', 'A', '.', 'ä', '\0'), {
      maxLength: 6000,
    });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          pieces.map((some) => some.join('')),
        ),
        (text) => {
          const { namespaces = [], problems } = readAllowedNamespaces(text);
          expectUnnoticed(() => readAllowedNamespaces(text), 'readAllowedNamespaces');
          const said = new Set(text.split(',').map((entry) => entry.trim()));
          for (const one of namespaces) {
            expect(said.has(one)).to.equal(true);
            expect(one).to.match(/^(\*|[a-z0-9]([a-z0-9-]*[a-z0-9])?)$/);
          }
          expect(problems.join('').length).to.be.lessThan(300);
        },
      ),
    );
  });
});

describe('the annotation linkspan.dev/allowed-namespaces', () => {
  it('is read as it was written', () =>
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z][a-z0-9]{0,10}$/), { maxLength: 9 }), (names) => {
        const text = allowedNamespacesText(allowedNamespacesAnnotation(names.join(',')));
        expect(readAllowedNamespaces(text)).to.deep.equal({ namespaces: [...new Set(names)], problems: [] });
      }),
    ));
});
