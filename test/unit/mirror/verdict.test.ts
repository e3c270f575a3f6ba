import { expect } from 'chai';
import { decide } from '../../../src/mirror/verdict.ts';
import type { MirrorFacts } from '../../../src/mirror/facts.ts';
import { desiredFor, exportedService, mirrorFacts, written } from '../../support/mirror-facts.ts';

const foreign = { metadata: { name: 'web-west', namespace: 'demo', labels: { app: 'mine' } } };

describe('mirror verdict', () => {
  const { link } = mirrorFacts();
  const cases: readonly [string, Partial<MirrorFacts>, string, string][] = [
    ['an exported Service is mirrored', {}, 'mirror', 'Mirrored'],
    ["a Service of a user with the mirror's name is left alone", { local: foreign }, 'keep', 'NameConflict'],
    ['… also when the export goes away', { local: foreign, remote: undefined }, 'keep', 'NotExported'],
    [
      'absence means nothing before the first complete list',
      { remote: undefined, synced: false },
      'keep',
      'NotSynced',
    ],
    ['an export may be mirrored before the first complete list', { synced: false }, 'mirror', 'Mirrored'],
    ['what is no longer exported is removed', { remote: undefined }, 'remove', 'NotExported'],
    ['a missing namespace is waited for', { namespaceExists: false }, 'keep', 'MissingNamespace'],
    [
      'ExternalName cannot be mirrored',
      { remote: exportedService({ spec: { type: 'ExternalName', externalName: 'x.y' } }) },
      'remove',
      'InvalidService',
    ],
    [
      'UDP alone cannot be mirrored',
      { remote: exportedService({ spec: { ports: [{ port: 53, protocol: 'UDP' }] } }) },
      'remove',
      'InvalidService',
    ],
    [
      'a mirror name over 63 characters is refused',
      { key: { namespace: 'demo', name: 'w'.repeat(60) } },
      'keep',
      'NameTooLong',
    ],
    [
      'a Link without a gateway mirrors nothing',
      { link: { ...link, gateway: undefined } },
      'remove',
      'NoGateway',
    ],
    [
      'a Service without ready endpoints keeps an empty mirror',
      { remoteReady: 0 },
      'mirror',
      'NoReadyEndpoints',
    ],
    ['unknown endpoints are not taken for none', { remoteReady: undefined }, 'mirror', 'Mirrored'],
    ['an unresolved gateway empties the mirror', { addresses: [] }, 'mirror', 'GatewayUnresolved'],
    [
      'relay without egress pods empties the mirror',
      { link: { ...link, dataPath: 'relay' }, addresses: [], egressPorts: { 80: 10_000 } },
      'mirror',
      'NoEgress',
    ],
    [
      'relay with a full port range is not mirrored',
      { link: { ...link, dataPath: 'relay' } },
      'keep',
      'EgressPortsExhausted',
    ],
  ];
  for (const [story, facts, action, reason] of cases) {
    it(story, () => {
      const verdict = decide(mirrorFacts(facts));
      expect([verdict.action, verdict.reason]).to.deep.equal([action, reason]);
    });
  }

  it('holds a removal when the drop guard says so, but only where there is something to lose', () => {
    const local = written(mirrorFacts()).local;
    expect(decide(mirrorFacts({ remote: undefined, local, removalsHeld: true })).reason).to.equal('DropHeld');
    expect(decide(mirrorFacts({ remote: undefined, removalsHeld: true })).reason).to.equal('NotExported');
  });

  it('points every port of the mirror at the gateway', () => {
    const ports = [
      { name: 'http', port: 80, protocol: 'TCP' },
      { name: 'admin', port: 81, protocol: 'TCP', appProtocol: 'grpc' },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ];
    const { service, slices } = desiredFor(mirrorFacts({ remote: exportedService({ spec: { ports } }) }));
    expect(
      service.spec?.ports?.map(({ name, port, appProtocol }) => [name, port, appProtocol]),
    ).to.deep.equal([
      ['http', 80, undefined],
      ['admin', 81, 'grpc'],
    ]);
    expect(slices[0]?.ports?.map(({ name, port }) => [name, port])).to.deep.equal([
      ['http', 4143],
      ['admin', 4143],
    ]);
    expect(slices[0]?.endpoints?.map(({ addresses }) => addresses)).to.deep.equal([['10.0.0.1']]);
    expect(slices[0]?.metadata?.annotations).to.deep.equal({
      'mirror.linkerd.io/remote-svc-fq-name': 'web.demo.svc.cluster.local',
      'mirror.linkerd.io/remote-gateway-identity': 'gw.identity',
    });
  });

  it('points a relay mirror at the egress ports and tells the egress which they are', () => {
    const facts = mirrorFacts({ link: { ...link, dataPath: 'relay' }, egressPorts: { 80: 12_345 } });
    const { service, slices } = desiredFor(facts);
    expect(service.metadata?.annotations).to.include({
      'linkspan.dev/egress-ports': '{"80":12345}',
      'linkspan.dev/data-path': 'relay',
    });
    expect(slices[0]?.ports?.[0]?.port).to.equal(12_345);
    expect(slices[0]?.metadata?.annotations).not.to.have.property(
      'mirror.linkerd.io/remote-gateway-identity',
    );
  });

  it('keeps IPv4 and IPv6 addresses in slices of their own', () => {
    const { slices } = desiredFor(mirrorFacts({ addresses: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] }));
    expect(slices.map((slice) => [slice.addressType, slice.endpoints?.[0]?.addresses[0]])).to.deep.equal([
      ['IPv4', '10.0.0.1'],
      ['IPv6', 'fd00::1'],
    ]);
  });

  it("writes Endpoints beside the slices only for a Linkerd that reads them, out of reach of kube's mirroring", () => {
    expect(desiredFor(mirrorFacts()).endpoints).to.equal(undefined);
    const { endpoints } = desiredFor(mirrorFacts({ link: { ...link, writeEndpoints: true } }));
    expect(endpoints?.metadata?.labels).to.include({ 'endpointslice.kubernetes.io/skip-mirror': 'true' });
    expect(endpoints?.subsets).to.deep.equal([
      { addresses: [{ ip: '10.0.0.1' }], ports: [{ name: 'http', port: 4143, protocol: 'TCP' }] },
    ]);
  });

  it('copies labels and annotations, but no bookkeeping of another mirror, of kubectl or of zones', () => {
    const remote = exportedService({
      metadata: {
        name: 'web',
        namespace: 'demo',
        labels: {
          team: 'blue',
          'multicluster.linkerd.io/remote-discovery': 'zzz',
          'mirror.linkerd.io/exported': 'true',
          'drop/me': 'x',
        },
        annotations: {
          note: 'hello',
          'kubectl.kubernetes.io/last-applied-configuration': '{}',
          'service.kubernetes.io/topology-mode': 'Auto',
          'mirror.linkerd.io/gateway-identity': 'evil',
          'config.linkerd.io/opaque-ports': '3306',
        },
      },
    });
    const rules = { excludedLabel: (key: string) => key.startsWith('drop/'), excludedAnnotation: () => true };
    const { service } = desiredFor(mirrorFacts({ remote, link: { ...link, rules } }));
    expect(service.metadata?.labels).to.deep.equal({
      team: 'blue',
      'mirror.linkerd.io/mirrored-service': 'true',
      'mirror.linkerd.io/cluster-name': 'west',
    });
    expect(service.metadata?.annotations).to.include({ 'config.linkerd.io/opaque-ports': '3306' });
    expect(service.metadata?.annotations).not.to.have.any.keys(
      'note',
      'mirror.linkerd.io/gateway-identity',
      'service.kubernetes.io/topology-mode',
    );
  });
});
