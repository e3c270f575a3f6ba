import type { V1Endpoints, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { endpoints, leases, services } from '../../src/api/kubernetes/resource.ts';
import { links as linkResource } from '../../src/api/link/link-schema.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import {
  clientOf,
  ensureNamespace,
  find,
  findLink,
  findService,
  findSlices,
  remove,
  change,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import { controllerReads } from '../support/linkerd-reading.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };

/**
 * Linkerd's `check`, `gateways` and destination controller look for mirrors by labels and annotations: those
 * of a source with our controller must be what they look for.
 */
describe("objects of a source cluster, as Linkerd's other programs look for them", () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController;
  const cluster = 'west';

  /** The Services that `gateways` counts and that `check` walks through. */
  const mirrors = async (): Promise<V1Service[]> => {
    const labelSelector = `mirror.linkerd.io/mirrored-service=true,mirror.linkerd.io/cluster-name=${cluster}`;
    return (await clientOf(east).list(services, { namespace: ns, labelSelector })).items;
  };
  const endpointsOf = (name: string): Promise<V1Endpoints | undefined> =>
    find(east, endpoints, { namespace: ns, name });

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'reads');
    await ensureNamespace(east, ns);
    const probeSpec = { path: '/ready', port: '4191', period: '3s' };
    await apply(
      east,
      ...linkObjects(west, links, cluster, {
        ...ownSelectors(ns),
        probeSpec,
        targetClusterLinkerdNamespace: 'linkerd',
      }),
    );
    await exportService(west, ns, 'web', { test: ns, federated: true });
    await exportService(west, ns, 'flat', { test: ns, as: 'flat' });
    // Where Linkerd is installed the controller writes Endpoints too; probes have nobody to ask here, so the
    // path must not depend on them.
    const spec = { probeSpec: { path: '' } };
    await change(east, linkResource, { namespace: links, name: cluster }, { spec });
    controller = startController(east, { namespace: links, writeEndpoints: true });
    await eventually(
      'all is mirrored',
      async () => {
        const [web, federated] = [
          await endpointsOf('web-west'),
          await findService(east, ns, 'web-federated'),
        ];
        return web !== undefined && federated !== undefined && (await mirrors()).length === 2;
      },
      wait,
    );
  });

  after(async () => {
    await controller.stop();
    await remove(east, linkResource, { namespace: links, name: cluster });
    for (const name of ['web', 'flat']) await remove(west, services, { namespace: ns, name });
  });

  it('are a Link that its controller and CLI read, with the defaults of the CRD', async () => {
    const link = await findLink(east, links, cluster);
    expect(() => controllerReads(link ?? {})).not.to.throw();
  });

  it('are mirrors that `gateways` counts: the federated Service is none', async () => {
    expect(
      (await mirrors()).map(({ metadata }) => metadata?.name ?? '').sort((a, b) => (a < b ? -1 : 1)),
    ).to.deep.equal(['flat-west', 'web-west']);
  });

  it('are mirrors that `check` finds endpoints for, unless they are flat', async () => {
    const checked = (await mirrors()).filter(
      ({ metadata }) => metadata?.labels?.['multicluster.linkerd.io/remote-discovery'] === undefined,
    );
    expect(checked).to.have.length(1);
    for (const { metadata } of checked) {
      const subsets = (await endpointsOf(metadata?.name ?? ''))?.subsets ?? [];
      expect(subsets.flatMap(({ addresses }) => addresses ?? [])).not.to.deep.equal([]);
    }
  });

  it('belong to a Link of the cluster that they name, so that `check` calls none an orphan', async () => {
    const known = await findLink(east, links, cluster);
    for (const { metadata } of await mirrors())
      expect(metadata?.labels?.['mirror.linkerd.io/cluster-name']).to.equal(known?.spec?.targetClusterName);
  });

  it('have a Lease by which `check` and `gateways` find the controller', async () => {
    const lease = await find(east, leases, { namespace: links, name: `service-mirror-write-${cluster}` });
    expect(lease?.spec?.holderIdentity).to.be.a('string').and.not.equal('');
  });

  it('tell the destination controller whose identity to demand and which name to send, in Endpoints and in slices', async () => {
    const wanted = {
      'mirror.linkerd.io/remote-gateway-identity': 'gw.identity',
      'mirror.linkerd.io/remote-svc-fq-name': `web.${ns}.svc.cluster.local`,
    };
    expect((await endpointsOf('web-west'))?.metadata?.annotations).to.include(wanted);
    const slices = await findSlices(east, ns, 'web-west');
    expect(slices).not.to.deep.equal([]);
    for (const slice of slices) expect(slice.metadata?.annotations).to.include(wanted);
    // It demands the identity only of addresses that are no pods of this cluster.
    const addresses = (await endpointsOf('web-west'))?.subsets?.flatMap((subset) => subset.addresses ?? []);
    for (const address of addresses ?? []) expect(address).not.to.have.property('targetRef');
  });

  it('tell the destination controller in which cluster the pods of flat mirrors and the members of federated Services are', async () => {
    expect((await findService(east, ns, 'flat-west'))?.metadata?.labels).to.include({
      'multicluster.linkerd.io/remote-discovery': cluster,
      'multicluster.linkerd.io/remote-service': 'flat',
    });
    expect((await findService(east, ns, 'web-federated'))?.metadata?.annotations).to.include({
      'multicluster.linkerd.io/remote-discovery': `web@${cluster}`,
    });
  });
});
