import { expect } from 'chai';
import { mirrorChain, mirrorSubject } from '../../../../src/controllers/mirror/mirror-policies.ts';
import { firstFinding } from '../../../../src/controllers/policies/check-chain.ts';
import { TAKES_ALL } from '../../../../src/controllers/imports/link-imports.ts';
import type { MirrorFacts } from '../../../../src/controllers/reconcile/mirror-facts.ts';
import {
  aliveGateway,
  exportedService,
  mirrorFacts,
  nothing,
  written,
} from '../../../support/mirror-facts.ts';

describe('mirror policies', () => {
  const { link } = mirrorFacts();
  const { local } = written(mirrorFacts());
  const foreign = { ...nothing, service: { metadata: { name: 'web-west', namespace: 'demo' } } };
  const refusal = { reason: 'ImportNameRefused', message: 'not in the list' } as const;
  const long = 'w'.repeat(60);
  const relay = { ...link, dataPath: 'relay' } as const;
  const making = { ...link, createNamespaces: true };
  const gateway = (path: 'unknown' | 'unresolved') => aliveGateway({ path, alive: [] });
  const headless = exportedService({ spec: { clusterIP: 'None', ports: [{ port: 80 }] } });
  const oversize = exportedService({
    metadata: {
      name: 'web',
      namespace: 'demo',
      annotations: { 'linkspan.dev/over-budget': 'too many ports' },
    },
  });

  /** For each: what is found, and the check that finds it. */
  const table: readonly [
    sentence: string,
    facts: Partial<MirrorFacts>,
    found: readonly [check: string, action: string, reason: string, message: string] | undefined,
  ][] = [
    ['nothing is found about an export that is as it should be', {}, undefined],
    ['a first mirror does not wait for the whole list', { synced: false }, undefined],
    [
      'a Service of somebody else keeps its name',
      { local: foreign },
      ['nameTaken', 'keep', 'NameConflict', 'Service demo/web-west is not ours'],
    ],
    [
      '… and is nobody to mourn for when nothing is exported',
      { local: foreign, remote: undefined },
      ['nameTaken', 'keep', 'NotExported', ''],
    ],
    [
      'a mirror that is refused together with many is held for a while',
      { local, imports: { ...TAKES_ALL, refusal, heldMs: 1000 } },
      ['importHeld', 'keep', 'ImportHeld', 'not in the list'],
    ],
    [
      '… but none is made meanwhile',
      { imports: { ...TAKES_ALL, refusal, heldMs: 1000 } },
      ['importRefused', 'remove', 'ImportNameRefused', 'not in the list'],
    ],
    [
      'what the policy refuses goes, also when the target says nothing',
      { local, remote: undefined, synced: false, imports: { ...TAKES_ALL, refusal } },
      ['importRefused', 'remove', 'ImportNameRefused', 'not in the list'],
    ],
    [
      'absence means nothing before the first complete list',
      { local, remote: undefined, synced: false },
      ['notSynced', 'keep', 'NotSynced', ''],
    ],
    [
      'what is no longer exported goes',
      { local, remote: undefined },
      ['notExported', 'remove', 'NotExported', ''],
    ],
    [
      '… but not together with too many others',
      { local, remote: undefined, removalsHeld: true },
      ['notExported', 'keep', 'DropHeld', ''],
    ],
    [
      '… unless there is nothing to lose',
      { remote: undefined, removalsHeld: true },
      ['notExported', 'remove', 'NotExported', ''],
    ],
    [
      'a Service of which only a part is held is left alone',
      { remote: oversize },
      ['overBudget', 'keep', 'OverBudgetService', 'too many ports'],
    ],
    [
      'a namespace that is missing is waited for',
      { namespace: 'absent' },
      ['namespaceMissing', 'keep', 'MissingNamespace', 'Namespace does not exist'],
    ],
    [
      '… or made where that is allowed',
      { namespace: 'absent', link: making },
      ['namespaceMissing', 'namespace', 'MissingNamespace', 'Namespace does not exist'],
    ],
    [
      '… and there is room for one',
      { namespace: 'absent', link: making, imports: { ...TAKES_ALL, namespaceAllowed: false } },
      [
        'namespaceMissing',
        'keep',
        'ImportQuotaExceeded',
        'no further namespace may be made: linkspan.dev/import-quotas',
      ],
    ],
    [
      '… but not while it is being deleted',
      { namespace: 'terminating', link: making },
      ['namespaceMissing', 'keep', 'MissingNamespace', 'Namespace demo is being deleted'],
    ],
    [
      'a DNS alias is no mirror',
      { remote: exportedService({ spec: { type: 'ExternalName' } }) },
      [
        'notMirrorable',
        'remove',
        'InvalidService',
        'it is of type ExternalName, a DNS alias without endpoints',
      ],
    ],
    [
      'UDP alone cannot be carried',
      { remote: exportedService({ spec: { ports: [{ port: 53, protocol: 'UDP' }] } }) },
      ['notMirrorable', 'remove', 'InvalidService', 'it has no TCP port'],
    ],
    [
      'what has no room goes, also while its slices are missed',
      { local, emptiedGraceMs: 3000, imports: { ...TAKES_ALL, overQuota: 'mirrors=1 is used up' } },
      ['quotaExceeded', 'remove', 'ImportQuotaExceeded', 'mirrors=1 is used up'],
    ],
    [
      'slices that are all gone may come back',
      { remoteReady: undefined, emptiedGraceMs: 3000 },
      ['slicesLost', 'keep', 'Mirrored', ''],
    ],
    [
      '… and are not believed gone of many Services at once',
      { remoteReady: 0, removalsHeld: true },
      ['emptyingHeld', 'keep', 'DropHeld', ''],
    ],
    [
      'the form of a headless mirror needs its endpoints',
      { remote: headless, remoteReady: undefined, link: { ...link, headless: true } },
      ['formUnknown', 'keep', 'NotSynced', 'its endpoints have not been listed yet'],
    ],
    [
      'a name of more than 63 characters is refused',
      { key: { namespace: 'demo', name: long } },
      ['nameTooLong', 'keep', 'NameTooLong', `${long}-west has 65 characters, 63 are allowed`],
    ],
    [
      'a Link without a gateway has no mirrors through one',
      { gateway: undefined },
      ['noGateway', 'remove', 'NoGateway', 'spec.gatewayAddress of the Link is empty'],
    ],
    ['… but flat ones', { gateway: undefined, flat: true }, undefined],
    [
      'a gateway that has not answered yet is neither alive nor dead',
      { gateway: gateway('unknown') },
      ['gatewayUnknown', 'keep', 'GatewayUnknown', ''],
    ],
    ['… which matters to nobody without pods', { gateway: gateway('unknown'), remoteReady: 0 }, undefined],
    [
      'trouble of the name service takes nothing away that is here',
      { local, gateway: gateway('unresolved') },
      ['gatewayUnresolved', 'keep', 'GatewayUnresolved', ''],
    ],
    ['… and keeps no first mirror from being made', { gateway: gateway('unresolved') }, undefined],
    [
      'a relayed mirror waits until its ports stand in the record',
      { link: relay, egressUnrecorded: true },
      ['egressPortsMissing', 'keep', 'EgressPortsUnrecorded', ''],
    ],
    [
      '… and for a port of a range that is full',
      { link: relay },
      ['egressPortsMissing', 'keep', 'EgressPortsExhausted', ''],
    ],
  ];

  for (const [sentence, change, found] of table) {
    it(sentence, () => {
      const facts = mirrorFacts(change);
      const chain = mirrorChain();
      const finding = firstFinding(chain, facts, mirrorSubject(facts));
      const check = chain.find((one) => one(facts, mirrorSubject(facts)) !== undefined)?.name;
      const got = finding && [check, finding.action, finding.reason, finding.message];
      expect(got).to.deep.equal(found);
    });
  }

  it('have no check without a sentence', () => {
    const told = new Set(table.map(([, , found]) => found?.[0]));
    expect(
      mirrorChain()
        .map(({ name }) => name)
        .filter((name) => !told.has(name)),
    ).to.deep.equal([]);
  });
});
