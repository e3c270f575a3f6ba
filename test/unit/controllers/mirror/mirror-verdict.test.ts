import { expect } from 'chai';
import { decide } from '../../../../src/controllers/mirror/mirror-verdict.ts';
import type { MirrorFacts } from '../../../../src/controllers/reconcile/mirror-facts.ts';
import {
  aliveGateway,
  desiredFor,
  desiredParts,
  exportedService,
  mirrorFacts,
  nothing,
  written,
} from '../../../support/mirror-facts.ts';

const foreign = {
  ...nothing,
  service: { metadata: { name: 'web-west', namespace: 'demo', labels: { app: 'mine' } } },
};

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
    ['a missing namespace is waited for', { namespace: 'absent' }, 'keep', 'MissingNamespace'],
    [
      '… or made, where that is allowed',
      { namespace: 'absent', link: { ...link, createNamespaces: true } },
      'namespace',
      'MissingNamespace',
    ],
    [
      '… but not while it is being deleted',
      { namespace: 'terminating', link: { ...link, createNamespaces: true } },
      'keep',
      'MissingNamespace',
    ],
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
    ['a Link without a gateway mirrors nothing', { gateway: undefined }, 'remove', 'NoGateway'],
    [
      'a Service without ready endpoints keeps an empty mirror',
      { remoteReady: 0 },
      'mirror',
      'NoReadyEndpoints',
    ],
    ['unknown endpoints are not taken for none', { remoteReady: undefined }, 'mirror', 'Mirrored'],
    [
      'a mirror whose gateway has never been resolved is made empty',
      { gateway: aliveGateway({ path: 'unresolved', alive: [] }) },
      'mirror',
      'GatewayUnresolved',
    ],
    [
      'a dead gateway empties the mirror',
      { gateway: aliveGateway({ path: 'dead', alive: [] }) },
      'mirror',
      'GatewayDead',
    ],
    [
      'a gateway that has not answered yet is neither alive nor dead',
      { gateway: aliveGateway({ path: 'unknown', alive: [], unknown: ['10.0.0.1'] }) },
      'keep',
      'GatewayUnknown',
    ],
    [
      '… but a Service without ready endpoints is emptied meanwhile',
      { gateway: aliveGateway({ path: 'unknown', alive: [] }), remoteReady: 0 },
      'mirror',
      'NoReadyEndpoints',
    ],
    [
      'that all slices are gone is not believed at once',
      { remoteReady: undefined, emptiedGraceMs: 3000, flat: true },
      'keep',
      'Mirrored',
    ],
    [
      '… nor when it has happened to most exports at once',
      { remoteReady: 0, removalsHeld: true },
      'keep',
      'DropHeld',
    ],
    [
      'a flat mirror needs no gateway',
      { flat: true, gateway: undefined, remoteReady: 0 },
      'mirror',
      'Mirrored',
    ],
    [
      'a flat mirror with endpoints of its own follows theirs',
      { flat: true, remoteReady: 0, link: { ...link, flatEndpoints: true } },
      'mirror',
      'NoReadyEndpoints',
    ],
    [
      'a dead gateway empties a relay mirror too',
      {
        link: { ...link, dataPath: 'relay' },
        egress: [{ ip: '10.1.0.1' }],
        egressPorts: new Map([['web-west', { 80: 10_000 }]]),
        gateway: aliveGateway({ path: 'dead', alive: [] }),
      },
      'mirror',
      'GatewayDead',
    ],
    [
      'relay without egress pods empties the mirror',
      { link: { ...link, dataPath: 'relay' }, egressPorts: new Map([['web-west', { 80: 10_000 }]]) },
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
    const facts = mirrorFacts({
      link: { ...link, dataPath: 'relay' },
      egress: [{ ip: '10.1.0.1' }],
      egressPorts: new Map([['web-west', { 80: 12_345 }]]),
    });
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
    const { slices } = desiredFor(mirrorFacts({ gateway: aliveGateway({ alive: ['10.0.0.1', 'fd00::1'] }) }));
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

  it('copies the objective, of all annotations of ours, unless the Link excludes it', () => {
    const annotations = { 'linkspan.dev/slo': '99%', 'linkspan.dev/rate-limit': '1/s' };
    const remote = exportedService({ metadata: { name: 'web', namespace: 'demo', annotations } });
    const of = (rules: typeof link.rules) =>
      desiredFor(mirrorFacts({ remote, link: { ...link, rules } })).service.metadata?.annotations;
    expect(of(link.rules)).to.include({
      'linkspan.dev/slo': '99%',
      'linkspan.dev/copied-keys': 'linkspan.dev/slo,team',
    });
    expect(of(link.rules)).not.to.have.property('linkspan.dev/rate-limit');
    expect(of({ ...link.rules, excludedAnnotation: () => true })).not.to.have.property('linkspan.dev/slo');
  });

  // Whoever says that its requests are not to be seen is not to be seen at the other end either.
  it('copies what is said of taps, whatever is excluded or allowed', () => {
    for (const said of [{ 'linkspan.dev/tap': 'off' }, { 'viz.linkerd.io/disable-tap': 'true' }]) {
      const remote = exportedService({ metadata: { name: 'web', namespace: 'demo', annotations: said } });
      for (const rules of [{}, { excludedAnnotation: () => true }, { allowedAnnotation: () => false }]) {
        const facts = mirrorFacts({ remote, link: { ...link, rules: { ...link.rules, ...rules } } });
        const { annotations } = desiredFor(facts).service.metadata ?? {};
        expect(annotations).to.include(said);
        expect(annotations?.['linkspan.dev/copied-keys']).to.contain(Object.keys(said)[0]);
      }
    }
  });

  it('copies no word by which another cluster would allow what is forbidden here', () => {
    for (const said of [{ 'linkspan.dev/tap': 'on' }, { 'viz.linkerd.io/disable-tap': 'false' }]) {
      const remote = exportedService({
        metadata: { name: 'web', namespace: 'demo', annotations: { ...said } },
      });
      const { annotations } = desiredFor(mirrorFacts({ remote })).service.metadata ?? {};
      expect(annotations).not.to.have.any.keys(...Object.keys(said));
    }
  });

  it('copies what is said of taps to endpoint mirrors, too, and nothing else', () => {
    const annotations = { 'linkspan.dev/tap': 'no-paths', note: 'hello' };
    const remote = exportedService({
      metadata: { name: 'web', namespace: 'demo', annotations },
      spec: { clusterIP: 'None', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
    });
    const hosts = [{ host: 'web-0', name: 'web-0-west', ready: true, graceMs: 0, local: nothing }];
    const remoteSlices = [
      { endpoints: [{ addresses: ['10.9.0.1'], hostname: 'web-0', conditions: { ready: true } }] },
    ] as never;
    const facts = mirrorFacts({ remote, remoteSlices, hosts, link: { ...link, headless: true } });
    const [, host] = desiredParts(facts);
    expect(host?.service.metadata?.annotations).to.include({
      'linkspan.dev/tap': 'no-paths',
      'linkspan.dev/copied-keys': 'linkspan.dev/tap',
    });
    expect(host?.service.metadata?.annotations).not.to.have.property('note');
  });

  it('copies nothing beyond an allow list, but what a client needs to read the protocol', () => {
    const remote = exportedService({
      metadata: {
        name: 'web',
        namespace: 'demo',
        labels: { team: 'blue', 'argocd.argoproj.io/instance': 'shop' },
        annotations: { note: 'hello', 'config.linkerd.io/opaque-ports': '3306' },
      },
    });
    const rules = {
      ...link.rules,
      allowedLabel: (key: string) => key === 'team',
      allowedAnnotation: () => false,
    };
    const { service } = desiredFor(mirrorFacts({ remote, link: { ...link, rules } }));
    expect(service.metadata?.labels).to.include({ team: 'blue' });
    expect(service.metadata?.labels).not.to.have.property('argocd.argoproj.io/instance');
    expect(service.metadata?.annotations).to.include({ 'config.linkerd.io/opaque-ports': '3306' });
    expect(service.metadata?.annotations).not.to.have.property('note');
  });

  it('keeps an address in use that has not been heard of since a restart, and adds none', () => {
    const before = written(mirrorFacts({ gateway: aliveGateway({ alive: ['10.0.0.1', '10.0.0.2'] }) }));
    const gateway = aliveGateway({ alive: ['10.0.0.1'], unknown: ['10.0.0.2', '10.0.0.3'] });
    const { slices } = desiredFor({ ...before, gateway });
    expect(slices[0]?.endpoints?.flatMap(({ addresses }) => addresses)).to.deep.equal([
      '10.0.0.1',
      '10.0.0.2',
    ]);
  });

  it('names what it leaves out', () => {
    const ports = [
      { name: 'http', port: 80 },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ];
    const verdict = decide(mirrorFacts({ remote: exportedService({ spec: { ports } }) }));
    expect(verdict.message).to.contain('53/UDP');
  });

  it('gives a flat mirror the labels that Linkerd resolves it by, and no endpoints', () => {
    const spec = { ports: [{ port: 80 }], sessionAffinity: 'ClientIP', internalTrafficPolicy: 'Local' };
    const { service, slices } = desiredFor(mirrorFacts({ flat: true, remote: exportedService({ spec }) }));
    expect(service.metadata?.labels).to.include({
      'multicluster.linkerd.io/remote-discovery': 'west',
      'multicluster.linkerd.io/remote-service': 'web',
    });
    expect(slices).to.deep.equal([]);
    expect(service.spec).to.include({ sessionAffinity: 'ClientIP' });
    // It speaks of the nodes of another cluster.
    expect(service.spec).not.to.have.property('internalTrafficPolicy');
  });

  const podSlice = (name: string, endpoints: object[]) =>
    ({
      metadata: { name, namespace: 'demo' },
      addressType: 'IPv4',
      endpoints,
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    }) as never;

  it('gives a flat mirror the pods themselves where no mesh resolves it', () => {
    const remoteSlices = [
      podSlice('web-abc', [
        { addresses: ['10.9.0.1'], conditions: { ready: true, terminating: false }, zone: 'a' },
      ]),
    ];
    const facts = mirrorFacts({ flat: true, remoteSlices, link: { ...link, flatEndpoints: true } });
    const { slices } = desiredFor(facts);
    expect(slices.map(({ metadata }) => metadata?.name)).to.deep.equal(['web-west-linkspan-web-abc']);
    expect(slices[0]?.endpoints?.[0]).to.deep.include({ addresses: ['10.9.0.1'], zone: 'a' });
    expect(slices[0]?.ports?.[0]).to.deep.include({ name: 'http', port: 8080 });
  });

  describe('of a headless Service', () => {
    const remote = exportedService({
      spec: { clusterIP: 'None', ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }] },
    });
    const remoteSlices = [
      podSlice('db-abc', [
        { addresses: ['10.9.0.1'], hostname: 'web-0', conditions: { ready: true } },
        { addresses: ['10.9.0.2'], hostname: 'web-1', conditions: { ready: false } },
      ]),
    ];
    const facts = mirrorFacts({
      remote,
      remoteSlices,
      link: { ...link, headless: true },
      hosts: [
        { host: 'web-0', name: 'web-0-west', ready: true, graceMs: 0, local: nothing },
        { host: 'web-1', name: 'web-1-west', ready: false, graceMs: 0, local: nothing },
      ],
    });

    it('makes an endpoint mirror for each host, and a headless mirror that names their addresses', () => {
      const [mirror, ...hosts] = desiredParts(written(facts));
      expect(mirror?.service.spec?.clusterIP).to.equal('None');
      expect(mirror?.slices[0]?.endpoints).to.deep.equal([
        { addresses: ['10.96.1.1'], conditions: { ready: true }, hostname: 'web-0' },
      ]);
      expect(mirror?.slices[0]?.ports?.[0]?.port).to.equal(8080);
      expect(hosts.map(({ service }) => service.metadata?.name)).to.deep.equal(['web-0-west', 'web-1-west']);
      const [first, second] = hosts;
      expect(first?.service.metadata?.labels).to.deep.equal({
        'mirror.linkerd.io/mirrored-service': 'true',
        'mirror.linkerd.io/cluster-name': 'west',
        'mirror.linkerd.io/headless-mirror-svc-name': 'web-west',
      });
      expect(first?.slices[0]?.metadata?.annotations).to.include({
        'mirror.linkerd.io/remote-svc-fq-name': 'web-0.web.demo.svc.cluster.local',
        'mirror.linkerd.io/remote-gateway-identity': 'gw.identity',
      });
      expect(first?.slices[0]?.endpoints?.[0]?.addresses).to.deep.equal(['10.0.0.1']);
      // A pod that is not ready keeps its mirror, and with it its ClusterIP.
      expect(second?.slices[0]?.endpoints).to.deep.equal([]);
    });

    it('mirrors it as an ordinary Service when its pods have no host names, or headless mirrors are off', () => {
      const anonymous = [podSlice('db-abc', [{ addresses: ['10.9.0.1'] }])];
      for (const change of [{ remoteSlices: anonymous, hosts: [] }, { link: { ...link, headless: false } }])
        expect(desiredFor({ ...facts, ...change }).service.spec).not.to.have.property('clusterIP');
    });

    it('keeps the form that a mirror has until its endpoints say otherwise', () => {
      // linkerd2#10916: pods of a Deployment have no host name; at each restart of the controller, and
      // without pods, the mirror got another ClusterIP.
      const local = (clusterIP: string) => {
        const was = clusterIP === 'None' ? written({ ...facts, hosts: [] }) : written(mirrorFacts());
        return {
          ...was.local,
          service: { ...was.local.service, spec: { ...was.local.service?.spec, clusterIP } },
        };
      };
      const anonymous = [podSlice('db-abc', [{ addresses: ['10.9.0.1'] }])];
      const empty = [podSlice('db-abc', [])];
      const cases: readonly [string, Partial<MirrorFacts>, string][] = [
        [
          'ordinary, without pods',
          { local: local('10.96.0.7'), hosts: [], remoteSlices: empty, remoteReady: 0 },
          'ordinary',
        ],
        [
          'ordinary, slices not listed',
          { local: local('10.96.0.7'), hosts: [], remoteSlices: [], remoteReady: undefined },
          'ordinary',
        ],
        ['ordinary, pods with host names', { local: local('10.96.0.7') }, 'headless'],
        [
          'headless, without pods',
          { local: local('None'), hosts: [], remoteSlices: empty, remoteReady: 0 },
          'headless',
        ],
        [
          'headless, a host missed for a moment',
          { local: local('None'), remoteSlices: anonymous },
          'headless',
        ],
        [
          'headless, pods without host names',
          { local: local('None'), hosts: [], remoteSlices: anonymous },
          'ordinary',
        ],
        ['new, without pods', { local: nothing, hosts: [], remoteSlices: empty, remoteReady: 0 }, 'headless'],
      ];
      for (const [what, change, form] of cases) {
        const { service } = desiredFor({ ...facts, ...change });
        expect(service.spec?.clusterIP === 'None' ? 'headless' : 'ordinary', what).to.equal(form);
      }
      for (const [what, is] of [
        ['new', nothing],
        ['headless', local('None')],
      ] as const) {
        const unknown = { ...facts, local: is, remoteSlices: [], remoteReady: undefined };
        expect(decide(unknown), `${what}, slices not listed`).to.include({
          action: 'keep',
          reason: 'NotSynced',
        });
      }
    });

    it('mirrors it flat, headless, with its hosts', () => {
      const flat = {
        ...facts,
        flat: true,
        hosts: [],
        link: { ...link, headless: true, flatEndpoints: true },
      };
      const { service, slices } = desiredFor(flat);
      expect(service.spec?.clusterIP).to.equal('None');
      expect(slices[0]?.endpoints?.map(({ hostname }) => hostname)).to.deep.equal(['web-0', 'web-1']);
    });
  });
});
