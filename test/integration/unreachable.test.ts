import { expect } from 'chai';
import { services } from '../../src/api/kubernetes/resource.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { ensureNamespace, findLink, findService, findSlices, change } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import {
  apply,
  exportedObjects,
  installCrd,
  linkObjects,
  startController,
} from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { bareCluster, createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 100 };

/**
 * An API server that is away says nothing about the Services behind it. Istio empties endpoints then, and a
 * controller that takes an empty answer for the truth deletes mirrors that carry traffic: what is known must
 * be kept, its age shown, and everything caught up with when the API server is back.
 */
describe('a target whose API server is away', () => {
  let east: Cluster;
  let north: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController;

  const mirror = (name: string) => findService(east, ns, name);
  const api = async () =>
    (await findLink(east, links, 'north'))?.status?.conditions?.find(({ type }) => type === 'APIReachable');
  const endpoints = async () =>
    (await findSlices(east, ns, 'web-north')).flatMap((slice) => slice.endpoints ?? []);

  before(async () => {
    north = await bareCluster('north');
    ({ east } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(north, 'north');
    await ensureNamespace(east, ns);
    await apply(north, ...exportedObjects(ns, 'web'));
    await apply(east, ...linkObjects(north, links, 'north'));
    controller = startController(east, { namespace: links });
    await eventually(
      'the mirror is there',
      async () => (await mirror('web-north')) && (await endpoints()).length > 0,
      wait,
    );
  });

  after(async () => {
    await controller.stop();
    await north.stop();
  });

  it('keeps its mirrors and their endpoints, and says so', async () => {
    north.signal('kube-apiserver', 'SIGKILL');
    const condition = await eventually(
      'the condition says so',
      async () => {
        const found = await api();
        return found?.status === 'False' ? found : undefined;
      },
      wait,
    );
    expect(condition.reason).to.equal('Unreachable');
    expect(condition.message).to.contain(north.server);
    expect(await mirror('web-north')).not.to.equal(undefined);
    expect(await endpoints()).to.have.length(1);
  });

  it('is not mistaken for an empty one when the controller starts meanwhile', async () => {
    await controller.stop();
    controller = startController(east, { namespace: links });
    const peer = await eventually('the link runs', () => controller.runs.get(`${links}/north`)?.peer, wait);
    await eventually('it has tried', () => peer.exports.error !== undefined, wait);
    expect(await mirror('web-north')).not.to.equal(undefined);
    expect(await endpoints()).to.have.length(1);
  });

  it('is caught up with when it is back', async () => {
    await north.restart('kube-apiserver');
    await apply(north, ...exportedObjects(ns, 'later'));
    await change(
      north,
      services,
      { namespace: ns, name: 'web' },
      { metadata: { labels: { 'mirror.linkerd.io/exported': null } } },
    );
    await eventually('the new one is mirrored', () => mirror('later-north'), wait);
    await eventually('the old one is gone', async () => (await mirror('web-north')) === undefined, wait);
    await eventually('the condition says so', async () => (await api())?.status === 'True', wait);
  });
});
