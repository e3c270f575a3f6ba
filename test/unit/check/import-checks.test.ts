import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { mirrorsAtRisk, refusedImports, unknownRanges } from '../../../src/check/import-checks.ts';
import type { LinkReport, ServiceReport } from '../../../src/api/answers/admin-answers.ts';

const here = { namespace: 'linkerd-multicluster', linkerdNamespace: 'linkerd' };
const mirror = (namespace: string, more: V1Service['metadata'] = {}): V1Service => ({
  metadata: {
    name: 'web-west',
    namespace,
    ...more,
    labels: { 'mirror.linkerd.io/cluster-name': 'west', ...more.labels },
  },
});
const link = (annotations: Record<string, string>) => ({
  metadata: { name: 'west', annotations },
  spec: { targetClusterName: 'west' },
});

describe('checks of import policies', () => {
  it('warn before an upgrade would take a mirror away, or what it copied', () => {
    expect(mirrorsAtRisk([mirror('shop')], [], here)).to.deep.equal({ result: 'success' });
    const system = mirrorsAtRisk([mirror('kube-system')], [], here);
    expect(system).to.include({ result: 'warning' });
    expect(system.text).to.match(/^\* kube-system\/web-west will be removed: .*import-namespaces/);
    const named = [link({ 'linkspan.dev/import-namespaces': 'kube-system' })];
    expect(mirrorsAtRisk([mirror('kube-system')], named, here)).to.deep.equal({ result: 'success' });
    const annotations = { 'external-dns.alpha.kubernetes.io/hostname': 'shop.example' };
    const steering = mirrorsAtRisk([mirror('shop', { annotations })], [], here);
    expect(steering.text).to.match(
      /^\* shop\/web-west will lose external-dns\.alpha\.kubernetes\.io\/hostname/,
    );
    const listed = [link({ 'linkspan.dev/import-annotations': 'external-dns.alpha.kubernetes.io/*' })];
    expect(mirrorsAtRisk([mirror('shop', { annotations })], listed, here)).to.deep.equal({
      result: 'success',
    });
  });

  it('look at federated Services by the names of their members', () => {
    const federated: V1Service = { metadata: { name: 'web-federated', namespace: 'linkerd-viz' } };
    expect(mirrorsAtRisk([federated], [], here).text).to.match(
      /^\* linkerd-viz\/web-federated will be removed/,
    );
  });

  const report = (mirrors: Partial<ServiceReport>[], more: Partial<LinkReport> = {}): LinkReport => ({
    link: 'linkerd-multicluster/west',
    cluster: 'west',
    held: true,
    mirrors: mirrors.map((one) => ({
      service: 'shop/web',
      local: 'web-west',
      mode: 'gateway',
      reason: 'Mirrored',
      message: '',
      since: '',
      endpoints: 1,
      ...one,
    })),
    ...more,
  });

  it('say what is refused, and what of a mirror was left out, with the reason of each', () => {
    expect(refusedImports([report([{}])])).to.deep.equal({ result: 'success' });
    const found = refusedImports([
      report([
        { reason: 'GatewayNotAllowed', message: 'gateway a/b is not in the list' },
        { leftOut: [{ reason: 'ImportMetadataLeftOut', text: 'not copied: helm.sh/chart' }] },
        { reason: 'NameConflict', message: 'not here' },
      ]),
    ]);
    expect(found).to.deep.equal({
      result: 'warning',
      text: '* shop/web of west: GatewayNotAllowed: gateway a/b is not in the list\n* shop/web of west: ImportMetadataLeftOut: not copied: helm.sh/chart',
    });
  });

  it('say which ranges are not known, once for all Links', () => {
    expect(unknownRanges([report([], { unknownRanges: [] })])).to.deep.equal({ result: 'success' });
    const unknown = { unknownRanges: ['pod: not all Nodes have spec.podCIDRs'] };
    const found = unknownRanges([report([], unknown), report([], unknown)]);
    expect(found).to.include({ result: 'warning' });
    expect(found.text).to.match(
      /^\* pod: not all Nodes have spec\.podCIDRs\naddresses in them .*source\.podCIDRs/,
    );
  });
});
