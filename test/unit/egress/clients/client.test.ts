import type { V1Pod } from '@kubernetes/client-node';
import { expect } from 'chai';
import { type Client, clientAmong, isSettled, podAddress } from '../../../../src/egress/clients/client.ts';
import { storedClientPod } from '../../../../src/egress/clients/pod-clients.ts';
import { pod } from '../../../support/listed-clients.ts';

const of = (namespace: string, serviceAccount: string, leaving = false): Client => ({
  kind: 'pod',
  name: `${serviceAccount}-0`,
  namespace,
  serviceAccount,
  leaving,
});
const unknown = (reason: Extract<Client, { kind: 'unknown' }>['reason']): Client => ({
  kind: 'unknown',
  reason,
});

// An address is nobody's name: it is given to the next pod when the last one is gone, the watch is a moment
// behind, and a node's is that of all that run on its network. Whoever is taken for somebody else has that
// one's rights.
describe('whose an address is', () => {
  const cases: readonly (readonly [string, Parameters<typeof clientAmong>[0], Client, settled: boolean])[] = [
    ['nobody has it', [], unknown('no pod'), false],
    ['one pod has it', [pod('a', 'x')], of('a', 'x'), true],
    [
      "a node has it, and pods of the node's network",
      [pod('a', 'x', { hostNetwork: true })],
      unknown('node'),
      true,
    ],
    [
      'a node has it, whatever else says so too',
      [pod('a', 'x'), pod('b', 'y', { hostNetwork: true })],
      unknown('node'),
      true,
    ],
    [
      'a pod that leaves has it: maybe no more',
      [pod('a', 'x', { leaving: true })],
      of('a', 'x', true),
      false,
    ],
    [
      'it has been given anew while the last owner was leaving',
      [pod('a', 'x', { leaving: true }), pod('b', 'y')],
      of('b', 'y'),
      true,
    ],
    [
      'two pods of different namespaces say they have it',
      [pod('a', 'x'), pod('b', 'x')],
      unknown('several pods'),
      false,
    ],
    ['two pods of different accounts say so', [pod('a', 'x'), pod('a', 'y')], unknown('several pods'), false],
    ['two pods of one account say so', [pod('a', 'x'), pod('a', 'x')], of('a', 'x'), true],
    [
      'two that leave say so',
      [pod('a', 'x', { leaving: true }), pod('b', 'x', { leaving: true })],
      unknown('several pods'),
      false,
    ],
  ];
  for (const [what, pods, client, settled] of cases)
    it(`${what}: ${client.kind === 'pod' ? `${client.namespace}/${client.serviceAccount}` : client.reason}`, () => {
      expect(clientAmong(pods)).to.deep.equal(client);
      expect(isSettled(client)).to.equal(settled);
    });

  it('does not depend on how the socket writes it', () => {
    expect(podAddress('::ffff:10.1.2.3')).to.equal('10.1.2.3');
    expect(podAddress('10.1.2.3')).to.equal('10.1.2.3');
    expect(podAddress('FD00::1%eth0')).to.equal('fd00::1');
  });
});

describe('what is kept of a pod', () => {
  const whole: V1Pod = {
    metadata: { name: 'web-0', namespace: 'shop', uid: 'u', resourceVersion: '7', labels: { app: 'web' } },
    spec: {
      serviceAccountName: 'web',
      nodeName: 'n',
      containers: [{ name: 'c', env: [{ name: 'A', value: 'b' }] }],
    },
    status: { phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] },
  };

  it('is its account, its addresses and whether it leaves: nothing that could be secret', () => {
    expect(storedClientPod(whole)).to.deep.equal({
      metadata: { name: 'web-0', namespace: 'shop', uid: 'u', resourceVersion: '7' },
      spec: { containers: [], serviceAccountName: 'web' },
      status: { podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] },
    });
    const leaving = { ...whole, metadata: { ...whole.metadata, deletionTimestamp: new Date(0) } };
    expect(storedClientPod(leaving)?.metadata).to.include.keys('deletionTimestamp');
  });

  it('is nothing where it has ended, or has no address yet', () => {
    for (const phase of ['Succeeded', 'Failed'])
      expect(storedClientPod({ ...whole, status: { ...whole.status, phase } })).to.equal(undefined);
    expect(storedClientPod({ ...whole, status: { phase: 'Pending' } })).to.equal(undefined);
    expect(storedClientPod({})).to.equal(undefined);
  });
});
