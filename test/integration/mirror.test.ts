import { expect } from 'chai';
import { endpoints, endpointSlices, services, namespaces } from '../../src/api/kubernetes/resource.ts';
import { links as linkResource } from '../../src/api/link/link-schema.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import {
  change,
  ensureNamespace,
  find,
  findLink,
  findService,
  findSlices,
  remove,
  eventReasonsIn,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import {
  apply,
  exportedObjects,
  installCrd,
  linkObjects,
  startController,
} from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 100 };
const UNEXPORTED = { 'mirror.linkerd.io/exported': null };

describe('mirroring through the gateway', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController;

  const mirror = (name: string, namespace = ns) => findService(east, namespace, name);
  const slices = (name: string) => findSlices(east, ns, name);
  const addresses = async (name: string) =>
    (await slices(name)).flatMap((slice) =>
      (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses),
    );
  const condition = async (link: string, type: string) =>
    (await findLink(east, links, link))?.status?.conditions?.find((candidate) => candidate.type === type);

  const label = (cluster: Cluster, name: string, labels: Readonly<Record<string, string | null>>) =>
    change(cluster, services, { namespace: ns, name }, { metadata: { labels } });

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'app');
    await ensureNamespace(east, ns);
    await apply(east, ...linkObjects(west, links, 'west'));
    controller = startController(east, { namespace: links });
  });

  after(() => controller.stop());

  it('makes a mirror whose endpoints are the gateway, with what Linkerd reads', async () => {
    await apply(west, ...exportedObjects(ns, 'web'));
    await eventually('the mirror has endpoints', async () => (await addresses('web-west')).length > 0, wait);
    const service = await mirror('web-west');
    expect(service?.metadata?.labels).to.include({
      team: 'blue',
      'mirror.linkerd.io/mirrored-service': 'true',
      'mirror.linkerd.io/cluster-name': 'west',
    });
    expect(service?.metadata?.annotations).to.include({
      'mirror.linkerd.io/remote-svc-fq-name': `web.${ns}.svc.cluster.local`,
    });
    expect(service?.spec?.ports?.map(({ name, port }) => [name, port])).to.deep.equal([['http', 80]]);
    const [slice, ...others] = await slices('web-west');
    expect(others).to.deep.equal([]);
    expect(slice?.ports?.map(({ name, port }) => [name, port])).to.deep.equal([['http', 4143]]);
    expect(slice?.endpoints?.[0]?.addresses).to.deep.equal(['10.200.0.19']);
    expect(slice?.metadata?.annotations).to.include({
      'mirror.linkerd.io/remote-gateway-identity': 'gw.identity',
    });
    expect(slice?.metadata?.ownerReferences?.[0]?.uid).to.equal(service?.metadata?.uid);
  });

  it('says on the Link that all is well', async () => {
    await eventually(
      'it is synced',
      async () => (await condition('west', 'Synced'))?.status === 'True',
      wait,
    );
    expect((await condition('west', 'APIReachable'))?.reason).to.equal('Connected');
    expect(await east.kubectl('-n', links, 'get', 'links')).to.match(
      /west\s+west\s+10\.200\.0\.19\s+True\s+Unknown\s+True/,
    );
  });

  it('follows ports and labels of the export, and leaves what others put on the mirror', async () => {
    await label(east, 'web-west', { theirs: 'kept' });
    const ref = { namespace: ns, name: 'web' };
    await change(west, services, ref, {
      metadata: { labels: { team: null, tier: 'gold' } },
      spec: { ports: [{ name: 'http', port: 81, targetPort: 8080 }] },
    });
    await eventually(
      'the port changed',
      async () => (await mirror('web-west'))?.spec?.ports?.[0]?.port === 81,
      wait,
    );
    const labels = (await mirror('web-west'))?.metadata?.labels;
    expect(labels).to.include({ tier: 'gold', theirs: 'kept' });
    expect(labels).not.to.have.property('team');
  });

  it('empties the mirror when the export has no ready endpoints, and fills it again', async () => {
    await change(west, endpointSlices, { namespace: ns, name: 'web-1' }, { endpoints: [] });
    await eventually('the mirror is empty', async () => (await addresses('web-west')).length === 0, wait);
    await apply(west, ...exportedObjects(ns, 'web').slice(1));
    await eventually('the mirror is filled', async () => (await addresses('web-west')).length > 0, wait);
  });

  it('heals what is edited or deleted by hand', async () => {
    const ref = { namespace: ns, name: 'web-west' };
    await change(east, services, ref, { spec: { ports: [{ name: 'http', port: 9999 }] } });
    await eventually(
      'the port is restored',
      async () => (await mirror('web-west'))?.spec?.ports?.[0]?.port === 81,
      wait,
    );
    for (const { metadata } of await slices('web-west'))
      await remove(east, endpointSlices, { namespace: ns, name: metadata?.name ?? '' });
    await eventually('the slice is restored', async () => (await addresses('web-west')).length > 0, wait);
    await remove(east, services, ref);
    await eventually(
      'mirror and slice are restored',
      async () => (await mirror('web-west')) && (await addresses('web-west')).length > 0,
      wait,
    );
  });

  it('puts back whatever a hand has done to the spec of a mirror, in each form that a Service can have', async () => {
    // `externalIPs`, `externalName` and `publishNotReadyAddresses` stayed behind; with source ranges the API
    // server would not take the mirror back.
    const edits: object[] = [
      { externalIPs: ['192.0.2.9'], externalTrafficPolicy: 'Local' },
      { publishNotReadyAddresses: true, selector: { app: 'x' } },
      { type: 'ExternalName', externalName: 'x.example' },
      { type: 'NodePort', externalTrafficPolicy: 'Local' },
      {
        type: 'LoadBalancer',
        loadBalancerClass: 'x.example/y',
        loadBalancerIP: '192.0.2.1',
        loadBalancerSourceRanges: ['10.0.0.0/8'],
        externalTrafficPolicy: 'Local',
        allocateLoadBalancerNodePorts: false,
      },
    ];
    // A mirror that was an ExternalName gets another address.
    const spec = async () => {
      const { clusterIP: _ip, clusterIPs: _ips, ...rest } = (await mirror('web-west'))?.spec ?? {};
      return JSON.stringify(rest);
    };
    const before = await spec();
    for (const edit of edits) {
      await change(east, services, { namespace: ns, name: 'web-west' }, { spec: edit });
      await eventually(`${JSON.stringify(edit)} is put back`, async () => (await spec()) === before, wait);
    }
    // kube makes a slice of local pods while there is a selector, and leaves it when that is gone.
    const makers = async () => (await slices('web-west')).map(({ metadata }) => metadata?.name);
    await eventually(
      'what kube made goes too',
      async () => (await makers()).join() === 'web-west-linkspan-ipv4',
      wait,
    );
  });

  it('waits for a missing namespace, says so, and mirrors at once when it appears', async () => {
    const late = await createNamespace(west, 'late');
    await apply(west, ...exportedObjects(late, 'web'));
    await eventually(
      'the condition says so',
      async () => (await condition('west', 'Synced'))?.message.includes('1 MissingNamespace'),
      wait,
    );
    const isTold = async () => (await eventReasonsIn(east, links)).includes('MissingNamespace');
    await eventually('an Event', isTold, wait);
    await ensureNamespace(east, late);
    await eventually('the mirror appears', () => mirror('web-west', late), wait);
    await remove(west, namespaces, { name: late });
  });

  it('never touches a Service of somebody else that has the name of a mirror', async () => {
    await apply(east, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'mine-west', namespace: ns },
      spec: { ports: [{ port: 1234 }] },
    });
    const before = await mirror('mine-west');
    await apply(west, ...exportedObjects(ns, 'mine'));
    await eventually(
      'the conflict is reported',
      async () => (await condition('west', 'Synced'))?.message.includes('1 NameConflict'),
      wait,
    );
    await remove(west, services, { namespace: ns, name: 'mine' });
    await eventually(
      'the conflict is over',
      async () => (await condition('west', 'Synced'))?.status === 'True',
      wait,
    );
    expect(await mirror('mine-west')).to.deep.equal(before);
    expect(await slices('mine-west')).to.deep.equal([]);
  });

  it('writes nothing when it is started again', async () => {
    const versions = async () => [
      (await mirror('web-west'))?.metadata?.resourceVersion,
      (await slices('web-west'))[0]?.metadata?.resourceVersion,
    ];
    const before = await versions();
    await controller.stop();
    controller = startController(east, { namespace: links });
    const run = await eventually('the link runs', () => controller.runs.get(`${links}/west`)?.peer, wait);
    await run.exports.whenSynced();
    await eventually(
      'everything was looked at',
      () => run.depth === 0 && run.mirrors.reconciler.outcomes.size > 0,
      wait,
    );
    expect(await versions()).to.deep.equal(before);
  });

  it('collects what was unexported while it was away', async () => {
    await apply(west, ...exportedObjects(ns, 'gone'));
    await eventually('the mirror is there', () => mirror('gone-west'), wait);
    await controller.stop();
    await label(west, 'gone', UNEXPORTED);
    controller = startController(east, { namespace: links });
    await eventually('the mirror is gone', async () => (await mirror('gone-west')) === undefined, wait);
    await eventually('so are its slices', async () => (await slices('gone-west')).length === 0, wait);
  });

  it('holds back the removal of more than half of the mirrors until a second list has confirmed it', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `bulk${index}`);
    await apply(west, ...names.flatMap((name) => exportedObjects(ns, name)));
    await eventually(
      'all are mirrored',
      async () => (await mirror('bulk11-west')) && (await mirror('bulk0-west')),
      wait,
    );
    await controller.stop();
    for (const name of names) await label(west, name, UNEXPORTED);
    controller = startController(east, { namespace: links });
    await eventually(
      'confirmed and removed',
      async () => (await mirror('bulk0-west')) === undefined && (await mirror('bulk11-west')) === undefined,
      wait,
    );
    expect(await mirror('web-west'), 'what is still exported stays').not.to.equal(undefined);
  });

  it('writes Endpoints beside its slice for a Linkerd that reads them, and kube makes no second slice', async () => {
    await controller.stop();
    controller = startController(east, { namespace: links, writeEndpoints: true });
    const written = () => find(east, endpoints, { namespace: ns, name: 'web-west' });
    await eventually('the Endpoints are there', written, wait);
    expect((await written())?.subsets?.[0]?.addresses?.[0]?.ip).to.equal('10.200.0.19');
    expect((await slices('web-west')).map((slice) => slice.metadata?.name)).to.deep.equal([
      'web-west-linkspan-ipv4',
    ]);
    await controller.stop();
    controller = startController(east, { namespace: links });
    await eventually('unwanted Endpoints go', async () => (await written()) === undefined, wait);
  });

  it('removes the mirror when the label goes', async () => {
    await label(west, 'web', UNEXPORTED);
    await eventually('the mirror is gone', async () => (await mirror('web-west')) === undefined, wait);
    await eventually('its slice too', async () => (await slices('web-west')).length === 0, wait);
  });

  it('names what is wrong with a Link or its Secret, keeps serving the others, and picks the correction up', async () => {
    const [secret, link] = linkObjects(west, links, 'broken', { gatewayPort: 'abc' });
    await apply(east, link ?? {});
    await eventually(
      'the field is named',
      async () => (await condition('broken', 'CredentialsValid'))?.message.includes('gatewayPort "abc"'),
      wait,
    );
    const ref = { namespace: links, name: 'broken' };
    await change(east, linkResource, ref, { spec: { gatewayPort: '4143' } });
    await eventually(
      'the Secret is missed',
      async () => (await condition('broken', 'CredentialsValid'))?.reason === 'SecretNotFound',
      wait,
    );
    await apply(east, { ...secret, data: { kubeconfig: Buffer.from('not: [a').toString('base64') } });
    await eventually(
      'the kubeconfig is refused',
      async () => (await condition('broken', 'CredentialsValid'))?.reason === 'InvalidCredentials',
      wait,
    );
    await apply(east, secret ?? {});
    await eventually('it works', async () => (await condition('broken', 'Synced'))?.status === 'True', wait);
    expect((await condition('west', 'APIReachable'))?.status).to.equal('True');
    await remove(east, linkResource, ref);
  });
});
