import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import fc from 'fast-check';
import { LOCAL_MEMBER } from '../../../../src/api/mirror/federated-members.ts';
import { planMember } from '../../../../src/controllers/federated/federated-plan.ts';
import { decideMember } from '../../../../src/controllers/federated/federated-verdict.ts';
import type { MemberFacts } from '../../../../src/controllers/federated/member-facts.ts';
import type { Step } from '../../../../src/controllers/reconcile/steps.ts';
import { merged } from '../../../support/merge-patch.ts';
import { memberFacts } from '../../../support/member-facts.ts';
import { aliveGateway, exportedService, nothing } from '../../../support/mirror-facts.ts';

const planned = (facts: MemberFacts): Step[] => planMember(facts, decideMember(facts));
const summary = (steps: readonly Step[]) => steps.map(({ verb, kind }) => `${verb} ${kind}`);

/** Carries steps out on a federated Service and its slices, as an API server would. */
function carryOut(federated: MemberFacts['federated'], steps: readonly Step[]): MemberFacts['federated'] {
  let { service } = federated;
  const slices = new Map(federated.slices.map((slice) => [slice.metadata?.name ?? '', slice]));
  for (const step of steps) {
    if (step.kind === 'services') {
      if (step.verb === 'create') service = structuredClone(step.object) as V1Service;
      else if (step.verb === 'delete') service = undefined;
      else service = merged(service ?? {}, step.patch) as V1Service;
      if (service?.metadata !== undefined) Object.assign(service.metadata, { uid: 'fed' });
    } else if (step.verb === 'create') {
      slices.set(step.object.metadata?.name ?? '', owned(step.object as V1EndpointSlice));
    } else if (step.verb === 'delete') {
      slices.delete(step.target.metadata?.name ?? '');
    } else {
      const name = step.target.metadata?.name ?? '';
      slices.set(name, merged(slices.get(name) ?? {}, step.patch) as V1EndpointSlice);
    }
  }
  return { service, slices: service === undefined ? [] : [...slices.values()], endpoints: undefined };
}

function owned(slice: V1EndpointSlice): V1EndpointSlice {
  const ownerReferences = [{ apiVersion: 'v1', kind: 'Service', name: 'web-federated', uid: 'fed' }];
  return { ...slice, metadata: { ...slice.metadata, ownerReferences } };
}

describe('federated membership', () => {
  const foreign = { ...nothing, service: { metadata: { name: 'web-federated', namespace: 'demo' } } };
  const cases: readonly [string, Partial<MemberFacts>, string, string][] = [
    ['an exported member joins', {}, 'join', 'Mirrored'],
    [
      'a Service of a user that has the federated name is left alone',
      { federated: foreign },
      'keep',
      'NameConflict',
    ],
    [
      'absence means nothing before the first complete list',
      { remote: undefined, synced: false },
      'keep',
      'NotSynced',
    ],
    ['what is no longer a member leaves', { remote: undefined }, 'remove', 'NotExported'],
    ['a missing namespace is waited for', { namespace: 'absent' }, 'keep', 'MissingNamespace'],
    [
      'a headless Service cannot join',
      { remote: exportedService({ spec: { clusterIP: 'None', ports: [{ port: 80 }] } }) },
      'remove',
      'InvalidService',
    ],
    ['a relayed union needs a gateway', { union: 'relay', gateway: undefined }, 'remove', 'NoGateway'],
    ['a relayed union needs egress ports', { union: 'relay' }, 'keep', 'EgressPortsExhausted'],
    [
      'a relayed union waits until they are recorded',
      { union: 'relay', egressUnrecorded: true },
      'keep',
      'EgressPortsUnrecorded',
    ],
    [
      'a dead gateway takes only its own members out',
      {
        union: 'relay',
        egressPorts: new Map([['web-federated', { 80: 11_000 }]]),
        gateway: aliveGateway({ path: 'dead', alive: [] }),
      },
      'join',
      'GatewayDead',
    ],
  ];
  for (const [story, change, action, reason] of cases) {
    it(story, () => {
      const verdict = decideMember(memberFacts(change));
      expect([verdict.action, verdict.reason]).to.deep.equal([action, reason]);
    });
  }

  // The port of each cluster kept a client's connection with that cluster, and there were as many endpoints
  // of a cluster as egress pods, whatever it could bear.
  it('leads to the port of all members, where the egress pods know it', () => {
    const relay = { union: 'relay', egressPorts: new Map([['web-federated', { 80: 11_000 }]]) } as const;
    const portOf = (change: Partial<MemberFacts>) => {
      const verdict = decideMember(memberFacts({ ...relay, ...change }));
      return verdict.action === 'join'
        ? verdict.slices.flatMap(({ ports }) => ports?.map(({ port }) => port))
        : [];
    };
    const egressGroups = new Map([['web-federated', { 80: 12_000 }]]);
    expect(portOf({ egressGroups })).to.deep.equal([12_000]);
    expect(portOf({ egressGroups, member: 'north' })).to.deep.equal([12_000]);
    expect(portOf({})).to.deep.equal([11_000]);
  });

  // A dead member's slice said of the egress pods that they are not ready, another's that they are:
  // kube-proxy takes what it happens to see first, and in most cases nobody could be reached any more.
  it('says nothing of egress pods that the slice of another member may contradict', () => {
    const egressGroups = new Map([['web-federated', { 80: 12_000 }]]);
    const dead = aliveGateway({ path: 'dead', alive: [] });
    const egress = [{ ip: '10.1.0.1' }, { ip: '10.1.0.2' }];
    const relay = { union: 'relay', egressGroups, egressPorts: egressGroups, egress } as const;
    const endpointsOf = ({ slices }: MemberFacts['federated'], prefix: string) =>
      slices
        .filter(({ metadata }) => metadata?.name?.startsWith(prefix) === true)
        .flatMap(({ endpoints }) => endpoints);
    let federated = carryOut(nothing, planned(memberFacts(relay)));
    const north = { ...relay, member: 'north', link: 'links/north', leads: false };
    federated = carryOut(federated, planned(memberFacts({ ...north, federated })));
    expect(endpointsOf(federated, 'web-federated-west')).to.have.length(2);
    // Both while its membership is decided, and while it is kept because its cluster is not heard.
    for (const heard of [{}, { remote: undefined, synced: false }]) {
      const after = carryOut(
        federated,
        planned(memberFacts({ ...relay, ...heard, gateway: dead, federated })),
      );
      expect(endpointsOf(after, 'web-federated-west')).to.deep.equal([]);
      expect(endpointsOf(after, 'web-federated-north')).to.have.length(2);
      const back = carryOut(after, planned(memberFacts({ ...relay, ...heard, federated: after })));
      expect(endpointsOf(back, 'web-federated-west')).to.have.length(2);
    }
  });

  // Clients of a Service with pods in this cluster and in others went to these pods, or to an egress pod,
  // whichever kube-proxy chose for the connection: the share of the others followed the number of egress
  // pods.
  describe('of this cluster', () => {
    const source: V1EndpointSlice = {
      metadata: { name: 'web-abcde', namespace: 'demo' },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.2.0.1'], conditions: { ready: true } }],
      ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    };
    const local = (change: Partial<MemberFacts> = {}) =>
      memberFacts({
        member: LOCAL_MEMBER,
        link: undefined,
        union: 'pods',
        gateway: undefined,
        remoteSlices: [source],
        egressGroups: new Map([['web-federated', { 80: 12_000 }]]),
        ...change,
      });
    const whereTo = (slices: readonly V1EndpointSlice[]) =>
      slices.flatMap(({ endpoints = [], ports = [] }) =>
        endpoints.map(({ addresses }) => `${addresses.join()}:${ports.map(({ port }) => port).join()}`),
      );
    const leads = (facts: MemberFacts) => {
      const verdict = decideMember(facts);
      return verdict.action === 'join' ? whereTo(verdict.slices) : [];
    };

    it('leads to the port of all members, and to its pods while that cannot serve', () => {
      expect(leads(local())).to.deep.equal(['10.1.0.1:12000']);
      expect(leads(local({ egressGroups: new Map() }))).to.deep.equal(['10.2.0.1:8080']);
      expect(leads(local({ egress: [] }))).to.deep.equal(['10.2.0.1:8080']);
      expect(leads(local({ remoteReady: 0 })), 'without a ready pod').to.deep.equal([]);
    });

    it('goes from one to the other and back with endpoints at every moment, and keeps its facts', () => {
      const factsText = '{"path":"alive"}';
      const walk = [local({ factsText }), local({ factsText, egress: [] }), local({ factsText })];
      let { federated } = local();
      for (const facts of walk) {
        const now = { ...facts, federated };
        for (const step of planned(now)) {
          federated = carryOut(federated, [step]);
          if (step.kind === 'endpointSlices' && federated.slices.length > 0)
            expect(whereTo(federated.slices), `after ${step.verb}`).not.to.deep.equal([]);
        }
        expect(whereTo(federated.slices)).to.deep.equal(leads(facts));
        expect(planned({ ...facts, federated }), 'nothing is left to do').to.deep.equal([]);
        expect(
          federated.slices.flatMap(({ metadata }) => Object.values(metadata?.annotations ?? {})),
        ).to.include(factsText);
      }
    });

    it('follows the egress pods while it is kept as it is', () => {
      const joined = local();
      const federated = carryOut(joined.federated, planned(joined));
      const kept = { ...joined, federated, remote: undefined, synced: false };
      expect(planned({ ...kept, egress: [{ ip: '10.1.0.9' }] })).to.have.length(1);
      expect(planned(kept)).to.deep.equal([]);
    });
  });

  it('is what Linkerd reads: no cluster label, entries in order of joining, the local member apart', () => {
    let federated = carryOut(nothing, planned(memberFacts()));
    federated = carryOut(
      federated,
      planned(memberFacts({ member: 'north', link: 'links/north', federated, leads: false })),
    );
    federated = carryOut(
      federated,
      planned(memberFacts({ member: LOCAL_MEMBER, link: undefined, federated })),
    );
    expect(federated.service?.metadata?.annotations).to.include({
      'multicluster.linkerd.io/remote-discovery': 'web@west,web@north',
      'multicluster.linkerd.io/local-discovery': 'web',
    });
    expect(federated.service?.metadata?.labels).to.include({
      team: 'blue',
      'mirror.linkerd.io/mirrored-service': 'true',
    });
    expect(federated.service?.metadata?.labels).not.to.have.property('mirror.linkerd.io/cluster-name');
  });

  it('goes with its last member, and not before', () => {
    let federated = carryOut(nothing, planned(memberFacts()));
    federated = carryOut(
      federated,
      planned(memberFacts({ member: 'north', link: 'links/north', federated, leads: false })),
    );
    const westLeaves = planned(memberFacts({ remote: undefined, federated }));
    expect(summary(westLeaves)).to.deep.equal(['patch services']);
    federated = carryOut(federated, westLeaves);
    expect(federated.service?.metadata?.annotations).to.include({
      'multicluster.linkerd.io/remote-discovery': 'web@north',
    });
    const northLeaves = planned(memberFacts({ member: 'north', remote: undefined, federated }));
    expect(summary(northLeaves)).to.deep.equal(['delete services']);
  });

  it('gets ports and labels from the member that leads, and from no other', () => {
    let federated = carryOut(nothing, planned(memberFacts()));
    const other = exportedService({
      metadata: { name: 'web', namespace: 'demo', labels: { team: 'red' } },
      spec: { ports: [{ name: 'http', port: 90 }] },
    });
    const north = { member: 'north', link: 'links/north', remote: other };
    federated = carryOut(federated, planned(memberFacts({ ...north, federated, leads: false })));
    expect(federated.service?.spec?.ports?.[0]?.port).to.equal(80);
    expect(federated.service?.metadata?.labels).to.include({ team: 'blue' });
    federated = carryOut(federated, planned(memberFacts({ ...north, federated, leads: true })));
    expect(federated.service?.spec?.ports?.[0]?.port).to.equal(90);
    expect(federated.service?.metadata?.labels).to.include({ team: 'red' });
  });

  it('has one slice for each relayed cluster, on ports of its own, which the egress finds recorded', () => {
    const relay = { union: 'relay', egressPorts: new Map([['web-federated', { 80: 11_000 }]]) } as const;
    let federated = carryOut(nothing, planned(memberFacts(relay)));
    const north = {
      ...relay,
      member: 'north',
      link: 'links/north',
      egressPorts: new Map([['web-federated', { 80: 11_001 }]]),
    };
    federated = carryOut(federated, planned(memberFacts({ ...north, federated, leads: false })));
    expect(federated.slices.map((slice) => [slice.metadata?.name, slice.ports?.[0]?.port])).to.deep.equal([
      ['web-federated-west-linkspan-ipv4', 11_000],
      ['web-federated-north-linkspan-ipv4', 11_001],
    ]);
    expect(federated.service?.metadata?.annotations).to.include({
      'egress-ports.linkspan.dev/north': '{"80":11001}',
    });
    const dead = planned(
      memberFacts({ ...relay, federated, gateway: aliveGateway({ path: 'dead', alive: [] }) }),
    );
    expect(summary(dead)).to.deep.equal(['patch endpointSlices']);
  });

  it('comes to the same members whatever the order of joining and leaving, and touches no other entry', () => {
    const clusters = ['west', 'north', 'south'];
    const events = fc.array(fc.record({ cluster: fc.constantFrom(...clusters), exported: fc.boolean() }), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(events, (list) => {
        let federated: MemberFacts['federated'] = nothing;
        const members = new Set<string>();
        for (const { cluster, exported } of list) {
          const facts = memberFacts({
            member: cluster,
            link: `links/${cluster}`,
            federated,
            ...(exported ? {} : { remote: undefined }),
            leads: members.size === 0,
          });
          federated = carryOut(federated, planned(facts));
          if (exported) members.add(cluster);
          else members.delete(cluster);
          const again = planned({ ...facts, federated });
          if (again.length > 0) throw new Error(`not settled: ${summary(again).join()}`);
        }
        const text = federated.service?.metadata?.annotations?.['multicluster.linkerd.io/remote-discovery'];
        const entries = text === undefined ? [] : text.split(',');
        expect(entries.sort()).to.deep.equal([...members].map((cluster) => `web@${cluster}`).sort());
      }),
    );
  });
});
