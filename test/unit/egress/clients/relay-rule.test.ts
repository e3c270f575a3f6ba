import { expect } from 'chai';
import type { Client } from '../../../../src/egress/clients/client.ts';
import {
  allowedNamespaces,
  relayRefusalOf,
  type RelayPolicy,
} from '../../../../src/egress/clients/relay-rule.ts';

const from = (namespace: string): Client => ({
  kind: 'pod',
  name: 'x-0',
  namespace,
  serviceAccount: 'x',
  leaving: false,
});
const nobody: Client = { kind: 'unknown', reason: 'no pod' };

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
