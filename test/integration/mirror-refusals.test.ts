import { expect } from 'chai';
import { endpointSlices, services, events } from '../../src/api/kubernetes/resource.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { change, ensureNamespace, findAddresses, findService, clientOf } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors, type ExportOptions } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };
const GATEWAY = '10.200.0.19';

describe('mirrors that the source does not let be', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController;

  const service = (name: string) => findService(east, ns, name);
  const addresses = (name: string) => findAddresses(east, ns, name);
  const put = (name: string, options: Omit<ExportOptions, 'test'> = {}) =>
    exportService(west, ns, name, { test: ns, ...options });
  const pods = (name: string, endpoints: readonly object[]) =>
    change(west, endpointSlices, { namespace: ns, name: `${name}-1` }, { endpoints });
  const settled = <T>(what: string, probe: () => T | Promise<T>) => eventually(what, probe, wait);
  const writer = () => controller.runs.get(`${links}/west`)?.peer?.mirrors.reconciler;
  const outcome = (name: string) => writer()?.outcomes.get(`${ns}/${name}`);
  const READY = [{ addresses: ['10.200.0.18'], conditions: { ready: true } }];

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'refusals');
    await ensureNamespace(east, ns);
    await apply(east, ...linkObjects(west, links, 'west', { gatewayAddress: GATEWAY, ...ownSelectors(ns) }));
    controller = startController(east, { namespace: links, headless: true, hostGraceMs: 300 });
  });

  after(() => controller.stop());

  it('follow their pods although a policy refuses their annotations', async () => {
    // kyverno#7378, redis-operator#1902: a refused Service froze its endpoints, dead pods and all.
    const policy = `no-docs-${ns}`;
    await put('web');
    await settled('it is mirrored', async () => (await addresses('web-west')).join() === GATEWAY);
    await apply(
      east,
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingAdmissionPolicy',
        metadata: { name: policy },
        spec: {
          failurePolicy: 'Fail',
          matchConstraints: {
            namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': ns } },
            resourceRules: [
              {
                apiGroups: [''],
                apiVersions: ['v1'],
                operations: ['CREATE', 'UPDATE'],
                resources: ['services'],
              },
            ],
          },
          validations: [
            {
              expression:
                "!has(object.metadata.annotations) || !('example.com/doc' in object.metadata.annotations)",
              message: 'not allowed here',
            },
          ],
        },
      },
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingAdmissionPolicyBinding',
        metadata: { name: policy },
        spec: { policyName: policy, validationActions: ['Deny'] },
      },
    );
    try {
      await settled('the policy is in force', async () => {
        await put('web', { annotations: { 'example.com/doc': String(Math.random()) } });
        return outcome('web')?.reason === 'Error';
      });
      // cloudnative-pg#1028: what a quota or a policy refused was in the log only.
      const told = async () => (await clientOf(east).list(events, { namespace: links })).items;
      await settled('an Event says so', async () =>
        (await told()).some(({ message }) => message?.includes('not allowed here')),
      );
      await pods('web', []);
      await settled('the dead are withdrawn', async () => (await addresses('web-west')).length === 0);
      await pods('web', READY);
      await settled('the living are back', async () => (await addresses('web-west')).join() === GATEWAY);
      expect(outcome('web')).to.include({ reason: 'Error' });
      expect(outcome('web')?.message).to.include('not allowed here');
    } finally {
      await east.kubectl('delete', 'validatingadmissionpolicybinding,validatingadmissionpolicy', policy);
    }
    await settled('the annotation follows', async () => {
      await put('web', { annotations: { 'example.com/doc': 'x' } });
      return (await service('web-west'))?.metadata?.annotations?.['example.com/doc'] !== undefined;
    });
  });

  it('find no room in a quota: some are there, others say so, and come when there is room', async () => {
    // cloudnative-pg#1028, antrea#3024.
    const tight = await createNamespace(west, 'tight');
    await ensureNamespace(east, tight);
    const quota = (services: string) =>
      apply(east, {
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'few', namespace: tight },
        spec: { hard: { services } },
      });
    await quota('1');
    await settled('the quota is counted', async () => {
      const path = `/api/v1/namespaces/${tight}/resourcequotas/few`;
      const found = (await clientOf(east).raw('GET', path)) as { status?: { used?: { services?: string } } };
      return found.status?.used?.services !== undefined;
    });
    for (const name of ['one', 'two']) await exportService(west, tight, name, { test: ns });
    const reasons = () =>
      ['one', 'two']
        .map((name) => writer()?.outcomes.get(`${tight}/${name}`)?.reason ?? '')
        .toSorted((a, b) => (a < b ? -1 : 1));
    await settled('one has no room', () => reasons().join() === 'Error,Mirrored');
    const refused = [...(writer()?.outcomes.values() ?? [])].find(({ message }) => message.includes('quota'));
    expect(refused?.message).to.include('exceeded quota: few');
    await quota('5');
    await eventually('both are there', () => reasons().join() === 'Mirrored,Mirrored', wait);
  });

  it('are waited for while a finalizer holds them, and are then made anew', async () => {
    // opentelemetry-operator#2364: 87 requests a second.
    const spec = { clusterIP: 'None', ports: [{ name: 'http', port: 80, targetPort: 8080 }] };
    await put('db', { spec, endpoints: READY });
    await settled('it is mirrored', async () => (await addresses('db-west')).join() === GATEWAY);
    const ref = { namespace: ns, name: 'db-west' };
    await change(east, services, ref, { metadata: { finalizers: ['example.com/cleanup'] } });
    await pods('db', [{ ...READY[0], hostname: 'db-0' }]);
    await settled('it is being deleted', () => outcome('db')?.reason === 'BeingDeleted');
    expect(outcome('db')?.message).to.include('example.com/cleanup');
    const uid = (await service('db-west'))?.metadata?.uid;
    const written = writer()?.written;
    await put('web2');
    await settled('others are mirrored', async () => (await addresses('web2-west')).join() === GATEWAY);
    expect((writer()?.written ?? 0) - (written ?? 0), 'writes for the other, and none for it').to.be.at.most(
      3,
    );
    await change(east, services, ref, { metadata: { finalizers: null } });
    await settled('it is there anew, headless, with its host', async () => {
      const mirror = await service('db-west');
      return (
        mirror?.metadata?.uid !== uid &&
        mirror?.spec?.clusterIP === 'None' &&
        (await addresses('db-west')).length === 1
      );
    });
  });

  it('have hosts whose names begin with a digit', async () => {
    // skupper#649: pods may be named so, Services may not.
    const spec = { clusterIP: 'None', ports: [{ name: 'http', port: 80, targetPort: 8080 }] };
    await put('render', { spec, endpoints: [{ ...READY[0], hostname: '3d-render-0' }] });
    await settled('its host is named', async () => (await addresses('render-west')).length === 1);
    expect(outcome('render')).to.include({ reason: 'Mirrored' });
  });

  it('of a name that this cluster does not take are a verdict, not an endless error', async () => {
    // kubernetes#96147: a newer target allows names that begin with a digit.
    const [from, to] = [`${ns}/1st`, 'NameInvalid'];
    const peer = controller.runs.get(`${links}/west`)?.peer;
    peer?.exports.services.set({
      metadata: { name: '1st', namespace: ns, uid: 'x', labels: { 'linkspan.test/exported': ns } },
      spec: { ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
    });
    peer?.mirrors.resync(10);
    await settled('it is said', () => writer()?.outcomes.get(from)?.reason === to);
  });
});
