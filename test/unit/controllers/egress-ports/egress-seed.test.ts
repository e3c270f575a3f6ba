import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { DEFAULT_EGRESS_RANGE } from '../../../../src/api/egress/egress-ports.ts';
import { chooseEgressPorts } from '../../../../src/controllers/egress-ports/port-choice.ts';
import { seedClaims } from '../../../../src/controllers/egress-ports/egress-seed.ts';
import type { LinkObject } from '../../../../src/api/link/link-schema.ts';

const range = DEFAULT_EGRESS_RANGE;

const link = (cluster: string, created = '2026-01-01'): LinkObject => ({
  metadata: { name: cluster, namespace: 'links', uid: cluster, creationTimestamp: new Date(created) },
  spec: {
    targetClusterName: cluster,
    targetClusterDomain: `${cluster}.example`,
    clusterCredentialsSecret: 'x',
  } as NonNullable<LinkObject['spec']>,
});

/** The port that the controller tries first. */
const home = (holder: string, port = 80) => chooseEgressPorts(holder, [port], {}, () => false)?.[port] ?? 0;

function mirror(namespace: string, name: string, change: Readonly<Record<string, string>> = {}): V1Service {
  const [svc = ''] = name.split('-west');
  return {
    metadata: {
      name,
      namespace,
      labels: { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'west' },
      annotations: {
        'mirror.linkerd.io/remote-svc-fq-name': `${svc}.${namespace}.svc.west.example`,
        'linkspan.dev/link': 'links/west',
        'linkspan.dev/data-path': 'relay',
        'linkspan.dev/egress-ports': JSON.stringify({ 80: home(`${namespace}/${name}`) }),
        ...change,
      },
    },
    spec: { ports: [{ port: 80 }] },
  };
}

const seed = (...services: V1Service[]) =>
  [...seedClaims(services, [link('west')], range)].map(
    ([port, { mirror: holder, target }]) => `${port} ${holder} ${target}`,
  );

describe('the first record of an installation that has none', () => {
  it('keeps the ports of mirrors as they are, also those that had to give way to others', () => {
    const annotation = JSON.stringify({ 80: home('demo/web-west') + 7 });
    expect(seed(mirror('demo', 'web-west', { 'linkspan.dev/egress-ports': annotation }))).to.deep.equal([
      `${home('demo/web-west') + 7} demo/web-west web.demo.svc.west.example`,
    ]);
  });

  // Whoever writes a victim's port on its own mirror before the upgrade must not get it by the upgrade,
  // however old its mirror is.
  it('gives a port that two claim to the one that the controller would have given it', () => {
    const victim = mirror('payments', 'api-west');
    const port = home('payments/api-west');
    const evil = mirror('tenant', 'evil-west', { 'linkspan.dev/egress-ports': `{"80":${port}}` });
    Object.assign(evil.metadata ?? {}, { creationTimestamp: new Date('2020-01-01') });
    for (const order of [
      [evil, victim],
      [victim, evil],
    ])
      expect(seed(...order)).to.deep.equal([`${port} payments/api-west api.payments.svc.west.example`]);
  });

  it('believes no port that the controller would not have chosen, of any that are written down', () => {
    const all = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [index + 1, 10_000 + index]));
    const evil = mirror('tenant', 'evil-west', { 'linkspan.dev/egress-ports': JSON.stringify(all) });
    expect(seed(evil)).to.deep.equal([]);
  });

  const elsewhere: [string, Readonly<Record<string, string>>][] = [
    ['another name', { 'mirror.linkerd.io/remote-svc-fq-name': 'api.payments.svc.west.example' }],
    [
      'a host of another namespace',
      { 'mirror.linkerd.io/remote-svc-fq-name': 'a.b.payments.svc.west.example' },
    ],
    ['another domain', { 'mirror.linkerd.io/remote-svc-fq-name': 'web.demo.svc.evil.example' }],
  ];
  for (const [what, change] of elsewhere) {
    it(`leads nowhere but to what the mirror's own name says, whatever the annotation: ${what}`, () => {
      for (const text of seed(mirror('demo', 'web-west', change)))
        expect(text).to.equal(`${home('demo/web-west')} demo/web-west web.demo.svc.west.example`);
    });
  }

  it('knows no gateway of a mirror that names one of its own, until the target has said it', () => {
    const own = JSON.stringify({ addresses: ['10.66.0.1'], port: 1, identity: 'evil' });
    const found = seedClaims(
      [mirror('demo', 'web-west', { 'linkspan.dev/gateway': own })],
      [link('west')],
      range,
    );
    expect([...found.values()].map(({ gateway }) => gateway)).to.deep.equal([null]);
  });

  it('has the ports of endpoint mirrors and of members of federated Services', () => {
    const host = mirror('demo', 'db-0-west', {
      'mirror.linkerd.io/remote-svc-fq-name': 'db-0.db.demo.svc.west.example',
    });
    Object.assign(host.metadata?.labels ?? {}, { 'mirror.linkerd.io/headless-mirror-svc-name': 'db-west' });
    const federated: V1Service = {
      metadata: {
        name: 'web-federated',
        namespace: 'demo',
        labels: { 'mirror.linkerd.io/mirrored-service': 'true' },
        annotations: {
          'multicluster.linkerd.io/remote-discovery': 'web@west,evil@west,web@nowhere',
          'egress-ports.linkspan.dev/west': `{"80":${home('demo/web-federated@west')}}`,
          'egress-ports.linkspan.dev/nowhere': `{"80":${home('demo/web-federated@nowhere')}}`,
        },
      },
      spec: { ports: [{ port: 80 }] },
    };
    expect(seed(host, federated)).to.have.members([
      `${home('demo/db-0-west')} demo/db-0-west db-0.db.demo.svc.west.example`,
      `${home('demo/web-federated@west')} demo/web-federated web.demo.svc.west.example`,
    ]);
  });

  it('leaves out what is not relayed, has no Link, or is not made by mirroring', () => {
    expect(seed(mirror('demo', 'web-west', { 'linkspan.dev/data-path': 'gateway' }))).to.deep.equal([]);
    expect([...seedClaims([mirror('demo', 'web-west')], [], range)]).to.deep.equal([]);
    expect(
      seed({ metadata: { name: 'web-west', namespace: 'demo' }, spec: { ports: [{ port: 80 }] } }),
    ).to.deep.equal([]);
  });
});
