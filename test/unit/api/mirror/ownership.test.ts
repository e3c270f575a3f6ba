import { expect } from 'chai';
import { isFederated, memberName } from '../../../../src/api/mirror/federated-members.ts';
import { hostOriginOf, originOf } from '../../../../src/api/mirror/ownership.ts';

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

describe('whose a Service is', () => {
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
