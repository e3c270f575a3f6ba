import { expect } from 'chai';
import { secrets, services } from '../../src/api/kubernetes/resource.ts';
import { links as linkResource } from '../../src/api/link/link-schema.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import {
  change,
  clientOf,
  ensureNamespace,
  findAddresses,
  findCondition,
  findService,
  remove,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import { misbehavingApi, type MisbehavingApi } from '../support/misbehaving-proxy.ts';
import { startCluster, type Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { bareCluster, createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { timeoutMs: 100_000, everyMs: 100 };
const COUNT = 24;

/**
 * What happens to API servers in production: they stall, restart, lose their data, cut watches, answer with
 * errors. Whatever happened, afterwards the mirrors equal the exports, and meanwhile nothing that carries
 * traffic was taken away.
 */
describe('mirroring through chaos', function () {
  let east: Cluster;
  let north: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController;
  let proxy: MisbehavingApi;
  const test = 'chaos';
  const names = Array.from({ length: COUNT }, (_, index) => `svc${index}`);

  const settled = <T>(what: string, probe: () => T | Promise<T>) => eventually(what, probe, wait);
  const selectors = { selector: { matchLabels: { 'linkspan.test/exported': test } } };

  /** Names of the mirrors that exist and have endpoints. */
  const mirrored = async (cluster = 'north') => {
    const labelSelector = `mirror.linkerd.io/cluster-name=${cluster}`;
    const { items } = await clientOf(east).list(services, { namespace: ns, labelSelector });
    return items.map(({ metadata }) => metadata?.name ?? '').sort();
  };
  const exported = async () => {
    const labelSelector = `linkspan.test/exported=${test}`;
    const { items } = await clientOf(north).list(services, { namespace: ns, labelSelector });
    return items.map(({ metadata }) => `${metadata?.name ?? ''}-north`).sort();
  };
  const equal = async () => (await mirrored()).join() === (await exported()).join();
  const exportAll = async () => {
    await ensureNamespace(north, ns);
    for (const name of names) await exportService(north, ns, name, { test });
  };

  before(async () => {
    ({ east } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(east, 'chaos');
    north = await startCluster({ name: 'north', controllerManager: false });
    await exportAll();
    await apply(east, ...linkObjects(north, links, 'north', selectors));
    controller = startController(east, { namespace: links });
    await settled('all is mirrored', async () => (await mirrored()).length === COUNT);
  });

  after(async () => {
    await controller.stop();
    await proxy?.close();
    await north.stop();
  });

  it('keeps everything while the target API server stands still for 25 s, and catches up', async () => {
    const before = await mirrored();
    north.signal('kube-apiserver', 'SIGSTOP');
    try {
      await settled(
        'it is found unreachable',
        async () => (await findCondition(east, links, 'north', 'APIReachable'))?.status === 'False',
      );
      const end = performance.now() + 12_000;
      await settled('the stall is over', async () => {
        expect(await mirrored()).to.deep.equal(before);
        return performance.now() > end;
      });
    } finally {
      north.signal('kube-apiserver', 'SIGCONT');
    }
    await remove(north, services, { namespace: ns, name: 'svc0' });
    await exportService(north, ns, 'after-stall', { test });
    await settled('mirrors equal exports', equal);
  });

  it('survives kill and restart of the target API server', async () => {
    await north.restart('kube-apiserver');
    await remove(north, services, { namespace: ns, name: 'after-stall' });
    await exportService(north, ns, 'svc0', { test });
    await settled('mirrors equal exports', equal);
  });

  it('survives kill and restart of its own API server', async () => {
    await change(
      north,
      services,
      { namespace: ns, name: 'svc1' },
      { metadata: { labels: { note: 'before' } } },
    );
    await east.restart('kube-apiserver');
    await remove(north, services, { namespace: ns, name: 'svc1' });
    await settled('mirrors equal exports', equal);
    await exportService(north, ns, 'svc1', { test });
    await settled('mirrors equal exports again', equal);
  });

  it('holds on to its mirrors when the target comes back empty, until its exports are back', async () => {
    await north.restart('etcd', { wipe: true });
    const condition = await settled('it says that the cluster was replaced', async () => {
      const synced = await findCondition(east, links, 'north', 'Synced');
      return synced?.reason === 'ClusterReplaced' ? synced : undefined;
    });
    expect(condition.message).to.match(/kubectl -n .* annotate link north .*linkspan.dev\/accept-cluster=/);
    expect(await mirrored()).to.have.length(COUNT);
    expect(await findAddresses(east, ns, 'svc3-north')).to.have.length(1);
    await exportAll();
    await settled('the exports are taken up', async () => {
      const uid = (await findService(north, ns, 'svc3'))?.metadata?.uid;
      return (
        (await findService(east, ns, 'svc3-north'))?.metadata?.annotations?.['linkspan.dev/remote-uid'] ===
        uid
      );
    });
    await settled('mirrors equal exports', equal);
    await settled(
      'all is well again',
      async () => (await findCondition(east, links, 'north', 'Synced'))?.status === 'True',
    );
  });

  it('gives them up when a person accepts the new cluster', async () => {
    await north.restart('etcd', { wipe: true });
    const condition = await settled('it says that the cluster was replaced', async () => {
      const synced = await findCondition(east, links, 'north', 'Synced');
      return synced?.reason === 'ClusterReplaced' ? synced : undefined;
    });
    const command = /annotate link north --overwrite (\S+)=(\S+)/.exec(condition.message);
    const annotations = { [command?.[1] ?? '']: command?.[2] };
    await change(east, linkResource, { namespace: links, name: 'north' }, { metadata: { annotations } });
    await settled('all mirrors are gone', async () => (await mirrored()).length === 0);
    await exportAll();
    await settled(
      'mirrors equal exports',
      async () => (await mirrored()).length === COUNT && (await equal()),
    );
  });

  it('converges through watches that are cut every 200 ms and every fifth answer a 500', async () => {
    proxy = await misbehavingApi(north, { address: address(13) });
    Object.assign(proxy.does, { errors: 0.2, cutWatchesMs: 200 });
    const data = { kubeconfig: Buffer.from(proxy.kubeconfig).toString('base64') };
    await change(east, secrets, { namespace: links, name: 'cluster-credentials-north' }, { data });
    for (let round = 0; round < 3; round++) {
      await remove(north, services, { namespace: ns, name: `svc${round}` });
      await exportService(north, ns, `extra${round}`, { test });
    }
    await settled('mirrors equal exports', equal);
    // Watches are cut five times a second: it need not have asked that often before all was mirrored.
    await settled('it goes through the proxy', async () => (proxy?.requests.length ?? 0) > 10);
  });

  it('lets a target that hangs or answers rubbish disturb nobody else', async () => {
    const other = await bareCluster('south');
    try {
      await ensureNamespace(other, ns);
      await apply(east, ...linkObjects(other, links, 'south', selectors));
      for (const trouble of ['hang', 'garbage'] as const) {
        Object.assign(proxy.does, {
          errors: 0,
          cutWatchesMs: 50,
          hang: false,
          garbage: false,
          [trouble]: true,
        });
        await exportService(other, ns, `while-${trouble}`, { test });
        await settled(
          'the other is served',
          async () => (await findAddresses(east, ns, `while-${trouble}-south`)).length === 1,
        );
        await settled(
          'the trouble is seen',
          async () => (await findCondition(east, links, 'north', 'APIReachable'))?.status === 'False',
        );
        expect((await mirrored()).length, 'its mirrors are kept').to.be.at.least(COUNT);
      }
      Object.assign(proxy.does, { errors: 0, cutWatchesMs: 0, hang: false, garbage: false });
      await settled('mirrors equal exports', equal);
      await remove(east, linkResource, { namespace: links, name: 'south' });
      await settled('its mirrors are gone', async () => (await mirrored('south')).length === 0);
    } finally {
      await other.stop();
    }
  });
});
