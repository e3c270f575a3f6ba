import { expect } from 'chai';
import { namespaces, services } from '../../src/api/kubernetes/resource.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import {
  change,
  clientOf,
  ensureNamespace,
  eventReasonsIn,
  findAddresses,
  findService,
  findSlices,
  remove,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportObjects, exportService, ownSelectors } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };

describe('what is exported, and what of it', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController;

  const service = (name: string, namespace = ns) => findService(east, namespace, name);
  const settled = <T>(what: string, probe: () => T | Promise<T>) => eventually(what, probe, wait);
  const outcome = (name: string, namespace = ns) =>
    controller.runs.get(`${links}/west`)?.peer?.mirrors.reconciler.outcomes.get(`${namespace}/${name}`);

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'exports');
    await ensureNamespace(east, ns);
    await apply(
      east,
      ...linkObjects(
        west,
        links,
        'west',
        // Probes of gateways that exports name have the path and the period of the Link.
        {
          excludedLabels: ['ci/*'],
          probeSpec: { path: '/ready', port: '4191', period: '1s' },
          ...ownSelectors(ns),
        },
        {
          'linkspan.dev/import-gateways': JSON.stringify([
            { addresses: ['10.200.0.15'], port: 5143, identity: 'side.door', probePort: 5191 },
          ]),
        },
      ),
    );
    controller = startController(east, { namespace: links });
  });

  after(async () => {
    await controller.stop();
    // Exported by annotation, it is exported to every Link of every test.
    await remove(west, services, { namespace: ns, name: 'old' });
  });

  it('leaves out UDP and SCTP ports, says so, and follows renames and removals', async () => {
    const ports = [
      { name: 'web', port: 80, targetPort: 8080, appProtocol: 'kubernetes.io/h2c' },
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'sig', port: 3868, protocol: 'SCTP' },
    ];
    await exportService(west, ns, 'mixed', { test: ns, spec: { ports } });
    const mirror = await settled('it is mirrored', () => service('mixed-west'));
    expect(
      mirror.spec?.ports?.map(({ name, port, protocol, appProtocol }) => [name, port, protocol, appProtocol]),
    ).to.deep.equal([['web', 80, 'TCP', 'kubernetes.io/h2c']]);
    const [slice] = await settled('its slice is there', async () => {
      const slices = await findSlices(east, ns, 'mixed-west');
      return slices.length === 0 ? undefined : slices;
    });
    expect(slice?.ports?.map(({ name }) => name)).to.deep.equal(['web']);
    await settled('the verdict names them', () => outcome('mixed')?.message.includes('53/UDP, 3868/SCTP'));
    await settled('an Event says so', async () =>
      (await eventReasonsIn(east, links)).includes('PortsLeftOut'),
    );
    await change(
      west,
      services,
      { namespace: ns, name: 'mixed' },
      { spec: { ports: [{ name: 'www', port: 81, targetPort: 8080 }] } },
    );
    await settled(
      'the port is renamed',
      async () => (await service('mixed-west'))?.spec?.ports?.[0]?.name === 'www',
    );
    await settled(
      'the slice too',
      async () => (await findSlices(east, ns, 'mixed-west'))[0]?.ports?.[0]?.name === 'www',
    );
  });

  it('has an empty mirror where nobody has made a slice, until somebody does', async () => {
    const [service, slice] = exportObjects(ns, 'handmade', { test: ns });
    await apply(west, service ?? {});
    await settled('its mirror is empty', () => outcome('handmade')?.reason === 'NoReadyEndpoints');
    expect(await findAddresses(east, ns, 'handmade-west')).to.deep.equal([]);
    await apply(west, slice ?? {});
    await settled('it has endpoints', () => outcome('handmade')?.reason !== 'NoReadyEndpoints');
  });

  it('mirrors NodePort and LoadBalancer Services as ClusterIP, and refuses ExternalName', async () => {
    await exportService(west, ns, 'node', {
      test: ns,
      spec: {
        type: 'NodePort',
        ports: [{ port: 80 }],
        internalTrafficPolicy: 'Local',
        sessionAffinity: 'ClientIP',
      },
    });
    const mirror = await settled('it is mirrored', () => service('node-west'));
    expect(mirror.spec?.type).to.equal('ClusterIP');
    expect(mirror.spec?.ports?.[0]?.nodePort).to.equal(undefined);
    // They speak of nodes over there, and of pods that a gateway stands in front of.
    expect(mirror.spec?.internalTrafficPolicy).to.equal('Cluster');
    expect(mirror.spec?.sessionAffinity).to.equal('None');
    await apply(west, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'alias', namespace: ns, labels: { 'linkspan.test/exported': ns } },
      spec: { type: 'ExternalName', externalName: 'example.com' },
    });
    await settled('it is refused', () => outcome('alias')?.reason === 'InvalidService');
    expect(await service('alias-west')).to.equal(undefined);
    await remove(west, services, { namespace: ns, name: 'alias' });
  });

  it('says that a name is too long', async () => {
    const name = 'n'.repeat(60);
    await exportService(west, ns, name, { test: ns });
    await settled('it is refused', () => outcome(name)?.reason === 'NameTooLong');
    await remove(west, services, { namespace: ns, name });
    await settled('it is forgotten', () => outcome(name) === undefined);
  });

  it('excludes groups of labels exactly, and copies no bookkeeping', async () => {
    await exportService(west, ns, 'labels', {
      test: ns,
      labels: { 'ci/build': '7', 'cid/b': 'kept', 'multicluster.linkerd.io/remote-discovery': 'zzz' },
      annotations: { 'mirror.linkerd.io/remote-gateway-identity': 'evil', note: 'hello' },
    });
    const mirror = await settled('it is mirrored', () => service('labels-west'));
    expect(mirror.metadata?.labels).to.include({ 'cid/b': 'kept' });
    expect(mirror.metadata?.labels).not.to.have.any.keys(
      'ci/build',
      'multicluster.linkerd.io/remote-discovery',
    );
    expect(mirror.metadata?.annotations).to.include({ note: 'hello' });
    expect(mirror.metadata?.annotations).not.to.have.any.keys(
      'mirror.linkerd.io/remote-gateway-identity',
      'kubectl.kubernetes.io/last-applied-configuration',
    );
  });

  describe('by annotation', () => {
    it('is honoured, with an Event that names the label', async () => {
      await exportService(west, ns, 'old', {
        test: ns,
        as: 'nothing',
        annotations: { 'mirror.linkerd.io/exported': 'true' },
      });
      await settled('it is mirrored', () => service('old-west'));
      await settled('an Event names the label', async () =>
        (await eventReasonsIn(east, links)).includes('AnnotationExport'),
      );
    });

    it('goes through the gateway that it names, and follows its address', async () => {
      const gateway = (ip: string) => ({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: {
          name: 'side-door',
          namespace: ns,
          annotations: {
            'mirror.linkerd.io/gateway-identity': 'side.door',
            'mirror.linkerd.io/probe-path': '/ready',
            'mirror.linkerd.io/probe-period': '1',
          },
        },
        spec: {
          type: 'LoadBalancer',
          ports: [
            { name: 'mc-gateway', port: 5143 },
            { name: 'mc-probe', port: 5191 },
          ],
        },
        status: { loadBalancer: { ingress: [{ ip }] } },
      });
      await apply(west, gateway('10.200.0.15'));
      const { status } = gateway('10.200.0.15');
      await clientOf(west).patch(
        services,
        { namespace: ns, name: 'side-door' },
        { status },
        { type: 'merge', subresource: 'status' },
      );
      const annotations = {
        'mirror.linkerd.io/gateway-ns': ns,
        'mirror.linkerd.io/gateway-name': 'side-door',
      };
      await exportService(west, ns, 'other', { test: ns, as: 'nothing', annotations });
      // Nobody answers there: it is mirrored, without endpoints, and the reason says why.
      await settled('its gateway is found dead', () => outcome('other')?.reason === 'GatewayDead');
      const [slice] = await findSlices(east, ns, 'other-west');
      expect(slice?.ports?.[0]?.port).to.equal(5143);
      expect(slice?.metadata?.annotations).to.include({
        'mirror.linkerd.io/remote-gateway-identity': 'side.door',
      });
      expect(await findAddresses(east, ns, 'other-west')).to.deep.equal([]);
      await remove(west, services, { namespace: ns, name: 'other' });
      await settled('it is gone', async () => (await service('other-west')) === undefined);
    });

    it('is not honoured where it is turned off', async () => {
      await controller.stop();
      controller = startController(east, { namespace: links, annotationExports: false });
      await settled('its mirror is gone', async () => (await service('old-west')) === undefined);
      expect(await service('node-west')).not.to.equal(undefined);
      await controller.stop();
      controller = startController(east, { namespace: links });
      await settled('it is back', () => service('old-west'));
    });
  });

  it('makes a namespace that is missing, where that is asked for, with our labels', async () => {
    const late = await createNamespace(west, 'late');
    await exportService(west, late, 'web', { test: ns });
    await settled('it is missed', () => outcome('web', late)?.reason === 'MissingNamespace');
    const isTold = async () => (await eventReasonsIn(east, links)).includes('MissingNamespace');
    await settled('an Event', isTold);
    await controller.stop();
    controller = startController(east, { namespace: links, createNamespaces: true });
    await settled('the mirror is there', () => service('web-west', late));
    expect((await clientOf(east).get(namespaces, { name: late })).metadata?.labels).to.include({
      'mirror.linkerd.io/mirrored-service': 'true',
      'mirror.linkerd.io/cluster-name': 'west',
    });
  });

  it('copies only what is on the allow list, where there is one', async () => {
    await controller.stop();
    controller = startController(east, {
      namespace: links,
      allowedLabel: (key) => key === 'cid/b',
      allowedAnnotation: () => false,
    });
    await settled(
      'the rest is taken back',
      async () => (await service('labels-west'))?.metadata?.annotations?.['note'] === undefined,
    );
    expect((await service('labels-west'))?.metadata?.labels).to.include({ 'cid/b': 'kept' });
  });
});
