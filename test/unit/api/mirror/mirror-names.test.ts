import { expect } from 'chai';
import { isFederated, memberName } from '../../../../src/api/mirror/federated-members.ts';
import { endpointMirrorName, hostOriginOf, originOf } from '../../../../src/api/mirror/mirror-names.ts';

const owner = { cluster: 'west', link: 'links/west' };
const service = (change: { name?: string; labels?: object; annotations?: object }) => ({
  metadata: {
    name: change.name ?? 'web-west',
    namespace: 'demo',
    labels: {
      'mirror.linkerd.io/mirrored-service': 'true',
      'mirror.linkerd.io/cluster-name': 'west',
      ...change.labels,
    },
    annotations: {
      'mirror.linkerd.io/remote-svc-fq-name': 'web.demo.svc.cluster.local',
      ...change.annotations,
    },
  },
});

describe('names of mirrors', () => {
  const cases: readonly [string, Parameters<typeof service>[0], string | undefined][] = [
    ['a mirror says where it came from', {}, 'demo/web'],
    ['a copy under another name is no mirror', { name: 'copy' }, undefined],
    [
      'a mirror of another cluster is not ours',
      { labels: { 'mirror.linkerd.io/cluster-name': 'east' } },
      undefined,
    ],
    [
      '… unless it records our Link: then only the label is wrong',
      {
        labels: { 'mirror.linkerd.io/cluster-name': 'east' },
        annotations: { 'linkspan.dev/link': 'links/west' },
      },
      'demo/web',
    ],
    [
      'without the label it is nobody’s',
      { labels: { 'mirror.linkerd.io/mirrored-service': 'no' } },
      undefined,
    ],
    [
      'a mirror of another namespace is not ours',
      { annotations: { 'mirror.linkerd.io/remote-svc-fq-name': 'web.other.svc.cluster.local' } },
      undefined,
    ],
  ];
  for (const [story, change, key] of cases)
    it(story, () => expect(originOf(service(change), owner)).to.equal(key));

  it('gives every host a name that a Service can have', () => {
    // skupper#649: pods of `3d-render`; kubedirector#58: long names of clusters.
    for (const host of ['3d-render-0', 'db-0', 'h'.repeat(63), `0${'-'.repeat(61)}0`])
      for (const cluster of [
        'west',
        'gke-prod-europe-west1-customer-platform-shared-services-a',
        'c'.repeat(61),
      ])
        for (const free of [true, false]) {
          const name = endpointMirrorName(host, 'db', cluster, () => free);
          expect(name, `${host} of ${cluster}`).to.match(/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/);
          expect(endpointMirrorName(`${host}x`, 'db', cluster, () => false)).not.to.equal(name);
        }
  });

  it('tells an endpoint mirror from a mirror', () => {
    const host = service({
      name: 'web-0-west',
      labels: { 'mirror.linkerd.io/headless-mirror-svc-name': 'web-west' },
      annotations: { 'mirror.linkerd.io/remote-svc-fq-name': 'web-0.web.demo.svc.cluster.local' },
    });
    expect(originOf(host, owner)).to.equal(undefined);
    expect(hostOriginOf(host, owner)).to.deep.equal({ key: 'demo/web', host: 'web-0' });
    expect(hostOriginOf(service({}), owner)).to.equal(undefined);
  });

  it('gives the later of two hosts of one name a name of its own, the same each time and short enough', () => {
    expect(endpointMirrorName('web-0', 'web', 'west', () => true)).to.equal('web-0-west');
    const taken = endpointMirrorName('web-0', 'web', 'west', () => false);
    expect(taken).to.match(/^web-0-[0-9a-f]{8}-west$/);
    expect(endpointMirrorName('web-0', 'web', 'west', () => false)).to.equal(taken);
    expect(endpointMirrorName('h'.repeat(63), 'web', 'c'.repeat(40), () => true).length).to.be.at.most(63);
  });

  it('knows a federated Service by its members, not by its name', () => {
    const labels = { 'mirror.linkerd.io/mirrored-service': 'true' };
    const annotations = { 'multicluster.linkerd.io/remote-discovery': 'web@west' };
    expect(isFederated({ metadata: { labels, annotations } })).to.equal(true);
    expect(isFederated({ metadata: { labels } })).to.equal(false);
    expect(isFederated(service({ name: 'web-federated', annotations }))).to.equal(false);
    expect(memberName('web-federated')).to.equal('web');
    expect(memberName('web')).to.equal(undefined);
    expect(memberName('-federated')).to.equal(undefined);
  });
});
