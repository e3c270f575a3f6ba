import { expect } from 'chai';
import { ANY_MEMBER, readShard, shardName, shardOf } from '../../src/api/egress/egress-record.ts';
import { configMaps, endpointSlices, services } from '../../src/api/kubernetes/resource.ts';
import { links as linkResource } from '../../src/api/link/link-schema.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import {
  change,
  clientOf,
  ensureNamespace,
  findAddresses,
  findLink,
  findService,
  findSlices,
  remove,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors, type ExportOptions } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };

describe('modes of mirrors', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController;

  const service = (name: string) => findService(east, ns, name);
  const addresses = (name: string) => findAddresses(east, ns, name);
  const put = (name: string, options: Omit<ExportOptions, 'test'>) =>
    exportService(west, ns, name, { test: ns, ...options });
  const settled = <T>(what: string, probe: () => T | Promise<T>) => eventually(what, probe, wait);
  const restart = async (settings: Parameters<typeof startController>[1]) => {
    await controller.stop();
    controller = startController(east, settings);
  };

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'modes');
    await ensureNamespace(east, ns);
    // One API server stands for two clusters: only names tell Links apart.
    for (const name of ['west', 'north'])
      await apply(
        east,
        ...linkObjects(west, links, name, { gatewayAddress: '10.200.0.19', ...ownSelectors(ns) }),
      );
    controller = startController(east, { namespace: links });
  });

  after(() => controller.stop());

  describe('flat', () => {
    it('carries the labels by which Linkerd finds the pods, and no endpoints of its own', async () => {
      await put('flat', { as: 'flat', spec: { ports: [{ port: 80 }], sessionAffinity: 'ClientIP' } });
      const mirror = await settled('the mirror appears', () => service('flat-west'));
      expect(mirror.metadata?.labels).to.include({
        'multicluster.linkerd.io/remote-discovery': 'west',
        'multicluster.linkerd.io/remote-service': 'flat',
      });
      expect(mirror.spec?.sessionAffinity).to.equal('ClientIP');
      expect(await findSlices(east, ns, 'flat-west')).to.deep.equal([]);
    });

    it('becomes a gateway mirror in place when the label changes, and back: the ClusterIP stays', async () => {
      const before = (await service('flat-west'))?.spec?.clusterIP;
      await put('flat', { as: 'gateway', spec: { ports: [{ name: 'http', port: 80, targetPort: 8080 }] } });
      await settled(
        'it leads to the gateway',
        async () => (await addresses('flat-west'))[0] === '10.200.0.19',
      );
      const mirror = await service('flat-west');
      expect(mirror?.metadata?.labels).not.to.have.property('multicluster.linkerd.io/remote-discovery');
      expect(mirror?.spec?.clusterIP).to.equal(before);
      await put('flat', { as: 'flat' });
      await settled(
        'its endpoints are gone',
        async () => (await findSlices(east, ns, 'flat-west')).length === 0,
      );
      expect((await service('flat-west'))?.spec?.clusterIP).to.equal(before);
    });

    it('gets the pods themselves with flat endpoints, and follows them', async () => {
      await restart({ namespace: links, flatEndpoints: true });
      await settled('the pods are there', async () => (await addresses('flat-west')).includes('10.200.0.18'));
      const [slice] = await findSlices(east, ns, 'flat-west');
      expect(slice?.ports?.map(({ name, port }) => [name, port])).to.deep.equal([['http', 8080]]);
      const endpoints = [
        {
          addresses: ['10.200.0.17'],
          conditions: { ready: true, serving: true, terminating: false },
          zone: 'a',
        },
        { addresses: ['10.200.0.18'], conditions: { ready: false, serving: true, terminating: true } },
      ];
      await change(west, endpointSlices, { namespace: ns, name: 'flat-1' }, { endpoints });
      await settled('they follow', async () => (await addresses('flat-west')).join() === '10.200.0.17');
      await change(west, endpointSlices, { namespace: ns, name: 'flat-1' }, { endpoints: [] });
      await settled('none is left', async () => (await addresses('flat-west')).length === 0);
      await restart({ namespace: links });
    });
  });

  describe('federated', () => {
    const name = 'shop-federated';
    const discovery = async () =>
      (await service(name))?.metadata?.annotations?.['multicluster.linkerd.io/remote-discovery'];

    it('joins the members of every cluster, and takes metadata and ports from the oldest Link', async () => {
      await put('shop', { as: 'nothing', federated: true, labels: { team: 'blue' } });
      await settled('both have joined', async () => (await discovery())?.split(',').length === 2);
      expect((await discovery())?.split(',').sort()).to.deep.equal(['shop@north', 'shop@west']);
      const federated = await service(name);
      expect(federated?.metadata?.labels).to.deep.equal({
        team: 'blue',
        'mirror.linkerd.io/mirrored-service': 'true',
        'linkspan.test/federated': ns,
      });
      expect(await findSlices(east, ns, name), 'Linkerd resolves the members').to.deep.equal([]);
      await put('shop', {
        as: 'nothing',
        federated: true,
        labels: { team: 'red' },
        spec: { ports: [{ name: 'http', port: 90 }] },
      });
      await settled('the port follows', async () => (await service(name))?.spec?.ports?.[0]?.port === 90);
      expect((await service(name))?.metadata?.labels).to.include({ team: 'red' });
    });

    it('has the member of the source cluster too, which then leads', async () => {
      const own = {
        labels: { 'mirror.linkerd.io/federated': 'member', team: 'home' },
        spec: { ports: [{ name: 'http', port: 70 }] },
      };
      await exportService(east, ns, 'shop', { test: ns, as: 'nothing', ...own });
      await settled(
        'it has joined',
        async () =>
          (await service(name))?.metadata?.annotations?.['multicluster.linkerd.io/local-discovery'] ===
          'shop',
      );
      await settled('it leads', async () => (await service(name))?.spec?.ports?.[0]?.port === 70);
      // Linkerd's --excluded-labels of the local service mirror: what a Link keeps out came back by the
      // member that is here.
      const team = async () => (await service(name))?.metadata?.labels?.['team'];
      expect(await team()).to.equal('home');
      const west = { namespace: links, name: 'west' };
      await change(east, linkResource, west, { spec: { excludedLabels: ['team'] } });
      await settled('what any Link excludes is not passed on', async () => (await team()) === undefined);
      await change(east, linkResource, west, { spec: { excludedLabels: null } });
      await settled('it is passed on again', async () => (await team()) === 'home');
      await remove(east, services, { namespace: ns, name: 'shop' });
      await settled(
        'it has left',
        async () =>
          (await service(name))?.metadata?.annotations?.['multicluster.linkerd.io/local-discovery'] ===
          undefined,
      );
      await settled(
        'the oldest Link leads again',
        async () => (await service(name))?.spec?.ports?.[0]?.port === 90,
      );
    });

    it('heals an entry that was edited away by hand', async () => {
      const annotations = { 'multicluster.linkerd.io/remote-discovery': 'shop@west' };
      await change(east, services, { namespace: ns, name }, { metadata: { annotations } });
      await settled('both are members again', async () => (await discovery())?.split(',').length === 2);
    });

    it('is a union of real endpoints with flat endpoints', async () => {
      await restart({ namespace: links, flatEndpoints: true });
      await settled(
        'each cluster has its slice',
        async () => (await findSlices(east, ns, name)).length === 2,
      );
      expect(await addresses(name)).to.deep.equal(['10.200.0.18', '10.200.0.18']);
      await exportService(east, ns, 'shop', {
        test: ns,
        as: 'nothing',
        labels: { 'mirror.linkerd.io/federated': 'member' },
        spec: { ports: [{ name: 'http', port: 90, targetPort: 8080 }] },
        endpoints: [{ addresses: ['10.200.0.16'], conditions: { ready: true } }],
      });
      await settled('the own pods are in it too', async () =>
        (await addresses(name)).includes('10.200.0.16'),
      );
      await remove(east, services, { namespace: ns, name: 'shop' });
      await settled('… and out of it', async () => !(await addresses(name)).includes('10.200.0.16'));
      await restart({ namespace: links });
      await settled('they go with the setting', async () => (await findSlices(east, ns, name)).length === 0);
    });

    it('is a union of relayed endpoints on ports of their own', async () => {
      await apply(east, {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          name: 'egress-1',
          namespace: links,
          labels: { 'kubernetes.io/service-name': 'linkspan-egress' },
        },
        addressType: 'IPv4',
        endpoints: [{ addresses: ['10.200.0.16'], conditions: { ready: true } }],
        ports: [],
      });
      await restart({ namespace: links, dataPath: 'relay' });
      await settled('each cluster has its slice', async () => (await addresses(name)).length === 2);
      const ports = (await findSlices(east, ns, name)).map((slice) => slice.ports?.[0]?.port);
      expect(new Set(ports).size).to.equal(2);
      // Annotations show what slices already do.
      await settled('the Service shows the port', async () => {
        const annotations = (await service(name))?.metadata?.annotations;
        return expect(JSON.parse(annotations?.['egress-ports.linkspan.dev/west'] ?? '{}'))
          .to.have.property('90')
          .that.is.oneOf(ports);
      });
      // An egress of this release says so, and the union is one port that leads to both clusters; pods of the
      // release before serve the ports of each.
      const portsNow = async () => {
        const slices = await findSlices(east, ns, name);
        return [...new Set(slices.map((slice) => slice.ports?.[0]?.port))];
      };
      const egressPod = { namespace: links, name: 'egress-1' };
      await change(east, endpointSlices, egressPod, { ports: [{ name: 'groups', port: 4193 }] });
      await settled('both lead to one port', async () => (await portsNow()).length === 1);
      const [port] = await portsNow();
      expect(ports).not.to.include(port);
      const shard = await clientOf(east).get(configMaps, {
        namespace: links,
        name: shardName(shardOf(port ?? 0)),
      });
      const entry = readShard(shardOf(port ?? 0), shard.data).get(port ?? 0);
      expect(entry).to.deep.equal({ mirror: `${ns}/${name}`, member: ANY_MEMBER, port: 90 });
      // The pods of this cluster stood beside the egress pods, and kube-proxy chose between them.
      await exportService(east, ns, 'shop', {
        test: ns,
        as: 'nothing',
        labels: { 'mirror.linkerd.io/federated': 'member' },
        spec: { ports: [{ name: 'http', port: 90, targetPort: 8080 }] },
        endpoints: [{ addresses: ['10.200.0.21'], conditions: { ready: true } }],
      });
      const own = async () =>
        (await findSlices(east, ns, name))
          .filter((slice) => slice.metadata?.name?.startsWith(`${name}.local-`))
          .flatMap(({ endpoints = [], ports: its }) =>
            endpoints.map(({ addresses: [ip = ''] }) => `${ip}:${its?.[0]?.port}`),
          )
          .join();
      await settled(
        'so does the member of this cluster',
        async () => (await own()) === `10.200.0.16:${port}`,
      );
      await settled('and all others still', async () => (await portsNow()).join() === String(port));
      await change(east, endpointSlices, egressPod, { endpoints: [] });
      await settled('its pods serve without an egress', async () => (await own()) === '10.200.0.21:8080');
      const back = [{ addresses: ['10.200.0.16'], conditions: { ready: true } }];
      await change(east, endpointSlices, egressPod, { endpoints: back });
      await settled('the egress is back', async () => (await own()) === `10.200.0.16:${port}`);
      await change(east, endpointSlices, egressPod, { ports: [{ name: 'admin', port: 4192 }] });
      await settled(
        'its pods serve beside an older egress',
        async () => (await own()) === '10.200.0.21:8080',
      );
      await remove(east, services, { namespace: ns, name: 'shop' });
      await settled('it has left', async () => (await own()) === '');
      await settled('each leads to its own again', async () => (await portsNow()).length === 2);
      await restart({ namespace: links });
      await settled('they go with the setting', async () => (await findSlices(east, ns, name)).length === 0);
    });

    it('loses a cluster with its Link, and goes with the last member', async () => {
      await remove(east, linkResource, { namespace: links, name: 'north' });
      await settled('north is out', async () => (await discovery()) === 'shop@west');
      await remove(west, services, { namespace: ns, name: 'shop' });
      await settled('the federated Service is gone', async () => (await service(name)) === undefined);
      expect((await findLink(east, links, 'west'))?.status?.federatedServices ?? []).to.be.an('array');
    });

    it('leaves a Service of a user that has the name alone', async () => {
      await apply(east, {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'mine-federated', namespace: ns },
        spec: { ports: [{ port: 1 }] },
      });
      const before = await service('mine-federated');
      await put('mine', { as: 'nothing', federated: true });
      await settled('the conflict is known', () => {
        const peer = controller.runs.get(`${links}/west`)?.peer;
        return peer?.federated.reconciler.outcomes.get(`${ns}/mine`)?.reason === 'NameConflict';
      });
      await remove(west, services, { namespace: ns, name: 'mine' });
      await settled(
        'it is forgotten',
        () => controller.runs.get(`${links}/west`)?.peer?.federated.reconciler.outcomes.size === 0,
      );
      expect(await service('mine-federated')).to.deep.equal(before);
    });
  });

  describe('headless', () => {
    const spec = { clusterIP: 'None', ports: [{ name: 'db', port: 5432, targetPort: 5432 }] };
    const ports = [{ name: 'db', port: 5432, protocol: 'TCP' }];
    const hosts = (...names: string[]) =>
      names.map((hostname, index) => ({
        addresses: [`10.200.0.${17 + index}`],
        hostname,
        conditions: { ready: true },
      }));

    before(() => restart({ namespace: links, headless: true, hostGraceMs: 300 }));

    it('has one endpoint mirror for each host, whose addresses the headless mirror names', async () => {
      await put('db', { spec, ports, endpoints: hosts('db-0', 'db-1') });
      await settled('both hosts are named', async () => (await addresses('db-west')).length === 2);
      const mirror = await service('db-west');
      expect(mirror?.spec?.clusterIP).to.equal('None');
      const [first, second] = await Promise.all([service('db-0-west'), service('db-1-west')]);
      const [slice] = await findSlices(east, ns, 'db-west');
      expect(slice?.endpoints?.map(({ hostname, addresses }) => [hostname, addresses[0]])).to.deep.equal([
        ['db-0', first?.spec?.clusterIP],
        ['db-1', second?.spec?.clusterIP],
      ]);
      expect(await addresses('db-0-west')).to.deep.equal(['10.200.0.19']);
      expect((await findSlices(east, ns, 'db-0-west'))[0]?.metadata?.annotations).to.include({
        'mirror.linkerd.io/remote-svc-fq-name': `db-0.db.${ns}.svc.cluster.local`,
      });
    });

    it('keeps a host that restarts, with its ClusterIP, and forgets one that stays away', async () => {
      const before = (await service('db-1-west'))?.spec?.clusterIP;
      await change(west, endpointSlices, { namespace: ns, name: 'db-1' }, { endpoints: hosts('db-0') });
      await settled('DNS names it no more', async () => (await addresses('db-west')).length === 1);
      await change(
        west,
        endpointSlices,
        { namespace: ns, name: 'db-1' },
        { endpoints: hosts('db-0', 'db-1') },
      );
      await settled('it is back', async () => (await addresses('db-west')).length === 2);
      expect((await service('db-1-west'))?.spec?.clusterIP).to.equal(before);
      await change(west, endpointSlices, { namespace: ns, name: 'db-1' }, { endpoints: hosts('db-0') });
      await settled('its mirror is gone', async () => (await service('db-1-west')) === undefined);
      expect(await service('db-0-west')).not.to.equal(undefined);
    });

    it('keeps the hosts of two headless Services apart', async () => {
      await put('db2', { spec, ports, endpoints: hosts('db-0') });
      await settled('it has a host of its own', async () => (await addresses('db2-west')).length === 1);
      const other = (await findSlices(east, ns, 'db2-west'))[0]?.endpoints?.[0]?.addresses[0];
      expect(other).not.to.equal((await service('db-0-west'))?.spec?.clusterIP);
      await remove(west, services, { namespace: ns, name: 'db2' });
      await settled('it is gone', async () => (await service('db2-west')) === undefined);
      expect(await service('db-0-west'), "the other one's host stays").not.to.equal(undefined);
    });

    it('keeps its form and its ClusterIP through restarts and times without pods, where pods have no host names', async () => {
      // linkerd2#10916: a headless Service over a Deployment.
      const pods = [{ addresses: ['10.200.0.17'], conditions: { ready: true } }];
      await put('cache', { spec, ports, endpoints: pods });
      await settled(
        'it leads to the gateway',
        async () => (await addresses('cache-west')).join() === '10.200.0.19',
      );
      const first = await service('cache-west');
      expect(first?.spec?.clusterIP).not.to.equal('None');
      for (const endpoints of [[], pods]) {
        await change(west, endpointSlices, { namespace: ns, name: 'cache-1' }, { endpoints });
        await settled('it follows', async () => (await addresses('cache-west')).length === endpoints.length);
        await restart({ namespace: links, headless: true, hostGraceMs: 300 });
        await settled(
          'it is looked at',
          () =>
            controller.runs.get(`${links}/west`)?.peer?.mirrors.reconciler.outcomes.get(`${ns}/cache`)
              ?.reason === (endpoints.length === 0 ? 'NoReadyEndpoints' : 'Mirrored'),
        );
        const { metadata, spec: now } = (await service('cache-west')) ?? {};
        expect([metadata?.uid, now?.clusterIP]).to.deep.equal([first?.metadata?.uid, first?.spec?.clusterIP]);
      }
    });

    it('is flat too where it is exported so', async () => {
      await restart({ namespace: links, headless: true, flatEndpoints: true });
      await put('db', { as: 'flat', spec, ports, endpoints: hosts('db-0') });
      await settled('its pods are named', async () => (await addresses('db-west')).join() === '10.200.0.17');
      expect((await service('db-west'))?.spec?.clusterIP).to.equal('None');
      await settled('the endpoint mirror is gone', async () => (await service('db-0-west')) === undefined);
    });

    it('is an ordinary Service where headless mirrors are off', async () => {
      await put('db', { as: 'gateway', spec, ports, endpoints: hosts('db-0') });
      await restart({ namespace: links });
      await settled('it has a ClusterIP', async () => {
        const ip = (await service('db-west'))?.spec?.clusterIP;
        return ip !== undefined && ip !== 'None' && (await addresses('db-west')).join() === '10.200.0.19';
      });
    });
  });
});
