import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { type LinkFields, routesOf } from '../../../src/egress/routes.ts';

type Annotations = Record<string, string>;

function mirror(name: string, annotations: Annotations, created = '2026-01-01T00:00:00Z') {
  return {
    metadata: {
      name,
      namespace: 'demo',
      uid: name,
      creationTimestamp: new Date(created),
      labels: { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'west' },
      annotations: {
        'mirror.linkerd.io/remote-svc-fq-name': 'web.demo.svc.cluster.local',
        'linkspan.dev/data-path': 'relay',
        ...annotations,
      },
    },
    spec: { ports: [{ port: 80, appProtocol: 'http' }] },
  };
}

function federated(annotations: Annotations, labels: Record<string, string> = {}): V1Service {
  return {
    metadata: {
      name: 'web-federated',
      namespace: 'demo',
      uid: 'federated',
      creationTimestamp: new Date('2026-01-01T00:00:00Z'),
      labels: { 'mirror.linkerd.io/mirrored-service': 'true', ...labels },
      annotations,
    },
    spec: { ports: [{ port: 80, appProtocol: 'http' }, { port: 443 }] },
  };
}

const link = {
  metadata: { name: 'west' },
  spec: {
    targetClusterName: 'west',
    gatewayAddress: '10.0.0.1, gw.example,10.0.0.1',
    gatewayPort: '4143',
    gatewayIdentity: 'gw',
  },
};
const north: LinkFields = {
  metadata: { name: 'north' },
  spec: {
    targetClusterName: 'north',
    targetClusterDomain: 'north.example',
    gatewayAddress: '10.1.0.1',
    gatewayPort: '4143',
    gatewayIdentity: 'gw.north',
  },
};
const westGateway = { addresses: ['10.0.0.1', 'gw.example'], port: 4143, identity: 'gw' };
const northGateway = { addresses: ['10.1.0.1'], port: 4143, identity: 'gw.north' };

const labels = (services: readonly V1Service[], links: readonly LinkFields[]) =>
  [...routesOf(services, links).values()].map((route) => route.label).sort();

describe('egress routes of mirrors', () => {
  const ports = { 'linkspan.dev/egress-ports': '{"80":12000}' };

  it('are what mirror and Link say together', () => {
    expect(routesOf([mirror('web-west', ports)], [link]).get(12_000)).to.deep.equal({
      label: 'demo/web-west:80',
      namespace: 'demo',
      listenPort: 12_000,
      name: 'web.demo.svc.cluster.local',
      port: 80,
      protocol: 'http1',
      gateway: westGateway,
    });
  });

  it('have the retries and timeouts of the mirror, as far as they can be followed', () => {
    const annotations = { ...ports, 'retry.linkerd.io/http': '503', 'timeout.linkerd.io/idle': 'long' };
    expect(routesOf([mirror('web-west', annotations)], [link]).get(12_000)?.requests).to.deep.equal({
      retry: { statuses: [{ min: 503, max: 503 }], grpc: [], limit: 1 },
    });
  });

  const incomplete: [string, V1Service, LinkFields[]][] = [
    ['a Link', mirror('web-west', ports), []],
    ['a port of the gateway', mirror('web-west', ports), [{ spec: { ...link.spec, gatewayPort: 'abc' } }]],
    [
      'an address of the gateway',
      mirror('web-west', ports),
      [{ spec: { ...link.spec, gatewayAddress: ' ,' } }],
    ],
    [
      'an identity of the gateway',
      mirror('web-west', ports),
      [{ spec: { ...link.spec, gatewayIdentity: '' } }],
    ],
    ['egress ports', mirror('web-west', { 'linkspan.dev/egress-ports': 'rubbish' }), [link]],
    ['the relay data path', mirror('web-west', { ...ports, 'linkspan.dev/data-path': 'gateway' }), [link]],
    ['a name', mirror('web-west', { ...ports, 'mirror.linkerd.io/remote-svc-fq-name': '' }), [link]],
  ];
  for (const [what, service, links] of incomplete) {
    it(`are none without ${what}`, () => expect(routesOf([service], links).size).to.equal(0));
  }

  it('leave a port to the older of two mirrors', () => {
    const young = mirror('young-west', ports, '2026-02-01T00:00:00Z');
    expect(labels([young, mirror('old-west', ports)], [link])).to.deep.equal(['demo/old-west:80']);
  });

  it('keep the complete one of two Links for a cluster, in whatever order they are listed', () => {
    const broken = { spec: { ...link.spec, gatewayPort: 'abc' } };
    for (const links of [
      [link, broken],
      [broken, link],
    ])
      expect(routesOf([mirror('web-west', ports)], links).get(12_000)?.gateway).to.deep.equal(westGateway);
  });

  it('exist for endpoint mirrors of a headless Service, each to its own host', () => {
    const host = (name: string, egressPort: number): V1Service => {
      const service = mirror(`${name}-west`, {
        'mirror.linkerd.io/remote-svc-fq-name': `${name}.hl.demo.svc.cluster.local`,
        'linkspan.dev/egress-ports': `{"80":${egressPort}}`,
      });
      const label = { 'mirror.linkerd.io/headless-mirror-svc-name': 'hl-west' };
      return {
        ...service,
        metadata: { ...service.metadata, labels: { ...service.metadata.labels, ...label } },
      };
    };
    // The headless mirror itself has no egress ports: its endpoints are the endpoint mirrors.
    const services = [mirror('hl-west', {}), host('hl-0', 12_000), host('hl-1', 12_001)];
    const routes = [...routesOf(services, [link]).values()];
    expect(routes.map(({ listenPort, name, port }) => `${listenPort} ${name}:${port}`)).to.deep.equal([
      '12000 hl-0.hl.demo.svc.cluster.local:80',
      '12001 hl-1.hl.demo.svc.cluster.local:80',
    ]);
  });
});

describe('egress routes of mirrors with a gateway of their own', () => {
  const own = { addresses: ['10.9.0.1', '10.9.0.2'], port: 5143, identity: 'other.gw' };
  const gatewayFor = (text: string, links: LinkFields[] = [link]) =>
    routesOf(
      [mirror('web-west', { 'linkspan.dev/egress-ports': '{"80":12000}', 'linkspan.dev/gateway': text })],
      links,
    ).get(12_000)?.gateway;

  it("go there instead of to the Link's", () => {
    expect(gatewayFor(JSON.stringify(own))).to.deep.equal(own);
  });

  it('go there although the Link names no gateway at all', () => {
    expect(gatewayFor(JSON.stringify(own), [{ spec: { targetClusterName: 'west' } }])).to.deep.equal(own);
  });

  it('are none without a Link for the cluster', () => {
    expect(gatewayFor(JSON.stringify(own), [north])).to.equal(undefined);
  });

  const unusable: [string, string][] = [
    ['no JSON', 'rubbish'],
    ['null', 'null'],
    ['no addresses', JSON.stringify({ ...own, addresses: [] })],
    ['an address that is no text', JSON.stringify({ ...own, addresses: ['10.9.0.1', 7] })],
    ['addresses that are no list', JSON.stringify({ ...own, addresses: '10.9.0.1' })],
    ['a port as text', JSON.stringify({ ...own, port: '5143' })],
    ['port 0', JSON.stringify({ ...own, port: 0 })],
    ['no identity', JSON.stringify({ ...own, identity: undefined })],
  ];
  for (const [what, text] of unusable) {
    it(`are none where it is ${what}: the Link's gateway may not serve the export`, () => {
      expect(gatewayFor(text)).to.equal(undefined);
    });
  }

  it('take nothing from other mirrors where it is unusable', () => {
    const bad = mirror('bad-west', {
      'linkspan.dev/egress-ports': '{"80":12001}',
      'linkspan.dev/gateway': 'x',
    });
    const good = mirror('good-west', { 'linkspan.dev/egress-ports': '{"80":12000}' });
    expect(labels([bad, good], [link])).to.deep.equal(['demo/good-west:80']);
  });
});

describe('egress routes of federated Services', () => {
  const both = {
    'multicluster.linkerd.io/remote-discovery': 'web@west,web@north',
    'egress-ports.linkspan.dev/west': '{"80":12000,"443":12001}',
    'egress-ports.linkspan.dev/north': '{"80":12002}',
  };

  it("go to each cluster through its own Link's gateway, by a name in that cluster's domain", () => {
    const routes = routesOf([federated(both)], [link, north]);
    expect([...routes.keys()]).to.have.members([12_000, 12_001, 12_002]);
    expect(routes.get(12_001)).to.deep.equal({
      label: 'demo/web-federated@west:443',
      namespace: 'demo',
      listenPort: 12_001,
      name: 'web.demo.svc.cluster.local',
      port: 443,
      protocol: undefined,
      gateway: westGateway,
    });
    expect(routes.get(12_002)).to.deep.equal({
      label: 'demo/web-federated@north:80',
      namespace: 'demo',
      listenPort: 12_002,
      name: 'web.demo.svc.north.example',
      port: 80,
      protocol: 'http1',
      gateway: northGateway,
    });
  });

  it('take the name that the entry of the cluster says', () => {
    const entries = { ...both, 'multicluster.linkerd.io/remote-discovery': ' web@west , shop@north' };
    expect(routesOf([federated(entries)], [link, north]).get(12_002)?.name).to.equal(
      'shop.demo.svc.north.example',
    );
  });

  it('take the member that joined first where one cluster has two', () => {
    const twice = { ...both, 'multicluster.linkerd.io/remote-discovery': 'web@west,shop@west' };
    expect(routesOf([federated(twice)], [link]).get(12_000)?.name).to.equal('web.demo.svc.cluster.local');
  });

  const west = ['demo/web-federated@west:443', 'demo/web-federated@west:80'];
  const harmless: [string, Annotations, LinkFields[]][] = [
    ['has left', { ...both, 'multicluster.linkerd.io/remote-discovery': 'web@west' }, [link, north]],
    ['has no Link', both, [link]],
    ['has a Link without gateway', both, [link, { spec: { targetClusterName: 'north' } }]],
    ['has unreadable ports', { ...both, 'egress-ports.linkspan.dev/north': '{"80":' }, [link, north]],
    ['has ports that are none', { ...both, 'egress-ports.linkspan.dev/north': '{"80":0}' }, [link, north]],
    [
      'has a malformed entry',
      { ...both, 'multicluster.linkerd.io/remote-discovery': 'web@west,@north,web@,a@north@x,,' },
      [link, north],
    ],
  ];
  for (const [what, annotations, links] of harmless) {
    it(`are none for a cluster that ${what}, and unharmed for the others`, () => {
      expect(labels([federated(annotations)], links)).to.deep.equal(west);
    });
  }

  it('are none for the members of the source cluster: kube-proxy sends to these itself', () => {
    const local = {
      'multicluster.linkerd.io/local-discovery': 'web',
      'egress-ports.linkspan.dev/LOCAL': '{"80":12000}',
    };
    expect(labels([federated(local)], [link])).to.deep.equal([]);
  });

  it('are none for a Service that mirroring did not make', () => {
    const foreign = federated(both, { 'mirror.linkerd.io/mirrored-service': 'false' });
    expect(labels([foreign], [link, north])).to.deep.equal([]);
  });

  it("are none for one cluster's mirror that has such annotations", () => {
    const ofOne = federated(both, { 'mirror.linkerd.io/cluster-name': 'west' });
    expect(labels([ofOne], [link, north])).to.deep.equal([]);
  });
});
