import { expect } from 'chai';
import fc from 'fast-check';
import type { Client } from '../../../../src/egress/clients/client.ts';
import {
  allowedNamespaces,
  readAllowedNamespaces,
  relayRefusalOf,
  type RelayPolicy,
} from '../../../../src/egress/clients/relay-rule.ts';
import { expectUnnoticed } from '../../../support/linear-time.ts';

const from = (namespace: string): Client => ({
  kind: 'pod',
  name: 'x-0',
  namespace,
  serviceAccount: 'x',
  leaving: false,
});
const nobody: Client = { kind: 'unknown', reason: 'no pod' };

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

// The owner of a namespace says who else may use its mirrors; where nobody says anything, the cluster's
// administrator has.
describe('who may use a mirror of namespace own', () => {
  const cases: readonly (readonly [
    RelayPolicy,
    readonly string[] | undefined,
    may: readonly string[],
    mayNot: readonly string[],
    unknownMay: boolean,
  ])[] = [
    ['all', undefined, ['own', 'a', 'b'], [], true],
    ['namespace', undefined, ['own'], ['a', 'own-2'], false],
    ['all', ['a'], ['own', 'a'], ['b'], false],
    ['namespace', ['a'], ['own', 'a'], ['b'], false],
    ['all', [], ['own'], ['a'], false],
    ['namespace', ['*'], ['own', 'a'], [], true],
    ['namespace', ['a', '*'], ['own', 'b'], [], true],
  ];
  for (const [policy, allowed, may, mayNot, unknownMay] of cases)
    it(`by default ${policy}, it says ${JSON.stringify(allowed)}: ${may.join()}`, () => {
      const namespaces = allowedNamespaces('own', allowed, policy);
      for (const one of may) expect(relayRefusalOf(namespaces, from(one))).to.equal(undefined);
      for (const one of mayNot) expect(relayRefusalOf(namespaces, from(one))).to.equal('namespace');
      expect(relayRefusalOf(namespaces, nobody)).to.equal(unknownMay ? undefined : 'no pod');
    });
});
