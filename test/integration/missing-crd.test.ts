import { expect } from 'chai';
import { ensureNamespace } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { installCrd, startController } from '../support/linked-clusters.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { bareCluster, sharedClusters } from '../testbed/shared.ts';

/**
 * A chart whose CRDs were left out must not give a crash loop that says "not found": the controller waits,
 * says which kind is missing and what to do, and goes on when it is there.
 */
describe('a source cluster without the Link CRD', () => {
  let bare: Cluster;

  before(async () => {
    bare = await bareCluster('bare');
  });
  after(() => bare.stop());

  it('is waited for, with the reason in /ready, and served once the CRD is applied', async () => {
    await ensureNamespace(bare, 'linkerd-multicluster');
    const controller = startController(bare, { namespace: 'linkerd-multicluster' });
    try {
      const reason = await eventually('it says what is missing', () => {
        const { ok, reason } = controller.ready;
        return !ok && reason.includes('KUBE_NOT_FOUND') && reason;
      });
      expect(reason).to.match(
        /waiting for links\S+ of the source cluster: \[KUBE_NOT_FOUND\] .*kubectl apply -f crds/,
      );
      const joined = await keptLinkspan(
        'link',
        '--kubeconfig',
        (await sharedClusters()).west.kubeconfigFile,
        '--source-kubeconfig',
        bare.kubeconfigFile,
        '--cluster-name',
        'west',
      );
      expect(joined).to.include({ code: 1, stdout: '' });
      expect(joined.stderr).to.match(/^linkspan: \[LINK_CRD_MISSING\].*linkspan install --crds/);
      await installCrd(bare);
      await eventually('it is ready', () => controller.ready.ok);
    } finally {
      await controller.stop();
    }
  });
});
