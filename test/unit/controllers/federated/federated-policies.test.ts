import { expect } from 'chai';
import { LOCAL_MEMBER } from '../../../../src/api/mirror/federated-members.ts';
import { federatedChain, memberSubject } from '../../../../src/controllers/federated/federated-policies.ts';
import type { MemberFacts } from '../../../../src/controllers/federated/member-facts.ts';
import { mirrorChain } from '../../../../src/controllers/mirror/mirror-policies.ts';
import { firstFinding } from '../../../../src/controllers/policies/check-chain.ts';
import { TAKES_ALL } from '../../../../src/controllers/imports/link-imports.ts';
import { memberFacts } from '../../../support/member-facts.ts';
import { aliveGateway, exportedService, nothing } from '../../../support/mirror-facts.ts';

/** `demo/web-federated` with the members that its annotations name. */
const federatedOf = (annotations: Record<string, string>): MemberFacts['federated'] => ({
  ...nothing,
  service: {
    metadata: {
      name: 'web-federated',
      namespace: 'demo',
      labels: { 'mirror.linkerd.io/mirrored-service': 'true' },
      annotations,
    },
  },
});

describe('policies of federated members', () => {
  const foreign = { ...nothing, service: { metadata: { name: 'web-federated', namespace: 'demo' } } };
  const federated = federatedOf({ 'multicluster.linkerd.io/remote-discovery': 'web@west' });
  const refusal = { reason: 'ImportNameRefused', message: 'not in the list' } as const;
  const long = 'w'.repeat(60);
  const oversize = exportedService({
    metadata: {
      name: 'web',
      namespace: 'demo',
      annotations: { 'linkspan.dev/over-budget': 'too many ports' },
    },
  });
  const relay = { union: 'relay' } as const;
  const unknown = aliveGateway({ path: 'unknown', alive: [] });
  const egressPorts = new Map([['web-federated', { 80: 9001 }]]);
  const unresolved = aliveGateway({ path: 'unresolved', alive: [], known: [] });

  /** For each: what is found, and the check that finds it. */
  const table: readonly [
    sentence: string,
    facts: Partial<MemberFacts>,
    found: readonly [check: string, action: string, reason: string, message: string] | undefined,
  ][] = [
    ['nothing is found about a member that is as it should be', {}, undefined],
    ['a first member does not wait for the whole list', { synced: false }, undefined],
    [
      'a Service of somebody else keeps its name',
      { federated: foreign },
      ['nameTaken', 'keep', 'NameConflict', 'Service demo/web-federated is not ours'],
    ],
    [
      '… and is nobody to mourn for when nothing is exported',
      { federated: foreign, remote: undefined },
      ['nameTaken', 'keep', 'NotExported', ''],
    ],
    [
      'what the policy refuses leaves at once, also together with many',
      { federated, imports: { ...TAKES_ALL, refusal, heldMs: 1000 } },
      ['importRefused', 'remove', 'ImportNameRefused', 'not in the list'],
    ],
    [
      'absence means nothing before the first complete list',
      { federated, remote: undefined, synced: false },
      ['notSynced', 'keep', 'NotSynced', ''],
    ],
    [
      'what is no longer a member leaves',
      { federated, remote: undefined },
      ['notExported', 'remove', 'NotExported', ''],
    ],
    [
      '… but not together with too many others',
      { federated, remote: undefined, removalsHeld: true },
      ['notExported', 'keep', 'DropHeld', ''],
    ],
    [
      '… unless it is none, whoever else is',
      { federated, member: 'north', remote: undefined, removalsHeld: true },
      ['notExported', 'remove', 'NotExported', ''],
    ],
    [
      "… and so does this cluster's own member",
      {
        federated: federatedOf({ 'multicluster.linkerd.io/local-discovery': 'web' }),
        member: LOCAL_MEMBER,
        remote: undefined,
        removalsHeld: true,
      },
      ['notExported', 'keep', 'DropHeld', ''],
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
      { namespace: 'absent', createNamespaces: true },
      ['namespaceMissing', 'namespace', 'MissingNamespace', 'Namespace does not exist'],
    ],
    [
      '… and there is room for one',
      { namespace: 'absent', createNamespaces: true, imports: { ...TAKES_ALL, namespaceAllowed: false } },
      [
        'namespaceMissing',
        'keep',
        'ImportQuotaExceeded',
        'no further namespace may be made: linkspan.dev/import-quotas',
      ],
    ],
    [
      '… and one that is being deleted is not said to be missing',
      { namespace: 'terminating', createNamespaces: true },
      ['namespaceMissing', 'keep', 'MissingNamespace', 'Namespace demo is being deleted'],
    ],
    [
      'a headless Service has no address to unite',
      { remote: exportedService({ spec: { clusterIP: 'None', ports: [{ port: 80 }] } }) },
      ['headless', 'remove', 'InvalidService', 'Headless service cannot join federated service'],
    ],
    [
      'UDP alone cannot be carried',
      { remote: exportedService({ spec: { ports: [{ port: 53, protocol: 'UDP' }] } }) },
      ['notMirrorable', 'remove', 'InvalidService', 'it has no TCP port'],
    ],
    [
      'what has no room leaves, also while its slices are missed',
      { federated, emptiedGraceMs: 3000, imports: { ...TAKES_ALL, overQuota: 'mirrors=1 is used up' } },
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
      'a name of more than 63 characters is refused',
      { key: { namespace: 'demo', name: long } },
      ['nameTooLong', 'keep', 'NameTooLong', `${long}-federated has 70 characters, 63 are allowed`],
    ],
    [
      'a relayed member needs a gateway',
      { ...relay, gateway: undefined },
      ['noGateway', 'remove', 'NoGateway', 'spec.gatewayAddress of the Link is empty'],
    ],
    ['… others do not', { union: 'pods', gateway: undefined }, undefined],
    [
      'a gateway that has not answered yet is neither alive nor dead',
      { ...relay, gateway: unknown },
      ['gatewayUnknown', 'keep', 'GatewayUnknown', ''],
    ],
    [
      // A look-up that failed took every address out of the union; a mirror kept its own.
      'a gateway whose name cannot be looked up takes no member away that works',
      { ...relay, federated, egressPorts, gateway: unresolved },
      ['gatewayUnresolved', 'keep', 'GatewayUnresolved', ''],
    ],
    ['… and keeps no first member from joining', { ...relay, egressPorts, gateway: unresolved }, undefined],
    [
      '… nor one that does not go through a gateway',
      { union: 'pods', federated, gateway: unresolved },
      undefined,
    ],
    [
      'a relayed member waits until its ports stand in the record',
      { ...relay, egressUnrecorded: true },
      ['egressPortsMissing', 'keep', 'EgressPortsUnrecorded', ''],
    ],
    [
      '… and for a port of a range that is full',
      relay,
      ['egressPortsMissing', 'keep', 'EgressPortsExhausted', ''],
    ],
    [
      'the cluster of a member that Linkerd resolves is lost',
      { lost: true },
      ['clusterLost', 'remove', 'ClusterLost', ''],
    ],
    ['… which is no reason to leave where there are slices', { lost: true, union: 'pods' }, undefined],
  ];

  for (const [sentence, change, found] of table) {
    it(sentence, () => {
      const facts = memberFacts(change);
      const chain = federatedChain();
      const finding = firstFinding(chain, facts, memberSubject(facts));
      const check = chain.find((one) => one(facts, memberSubject(facts)) !== undefined)?.name;
      const got = finding && [check, finding.action, finding.reason, finding.message];
      expect(got).to.deep.equal(found);
    });
  }

  it('have no check without a sentence', () => {
    const told = new Set(table.map(([, , found]) => found?.[0]));
    expect(
      federatedChain()
        .map(({ name }) => name)
        .filter((name) => !told.has(name)),
    ).to.deep.equal([]);
  });

  it('are those of mirrors, in the same order, but for some, each with a reason', () => {
    const own: Readonly<Record<string, string>> = {
      headless: 'a mirror can be made host by host, a union has one address for all',
      clusterLost: 'a mirror has nobody beside it who could serve instead',
    };
    const notTheirs: Readonly<Record<string, string>> = {
      importHeld: 'who is refused leaves the union at once: its other members go on serving the clients',
      formUnknown: 'only mirrors are made host by host',
    };
    const shared = (chain: readonly { readonly name: string }[], without: object) =>
      chain.map(({ name }) => name).filter((name) => !Object.hasOwn(without, name));
    expect(shared(federatedChain(), own)).to.deep.equal(shared(mirrorChain(), notTheirs));
    for (const [chain, names] of [[federatedChain(), own] as const, [mirrorChain(), notTheirs] as const])
      expect(Object.keys(names).filter((name) => !chain.some((check) => check.name === name))).to.be.empty;
  });
});
