import { expect } from 'chai';
import { stringify } from 'yaml';
import { codeOf, LinkspanError } from '../../src/api/errors/linkspan-error.ts';
import { systemClock } from '../../src/base/clock.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { applyAll, deleteAll, type ApplyOptions } from '../../src/manifests/apply.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { configMaps, namespaces, services, type KubeObject } from '../../src/api/kubernetes/resource.ts';
import { parseManifests } from '../../src/manifests/manifests.ts';
import { closedIn } from '../support/closed-in.ts';
import { change, clientOf, find } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { ownClusters } from '../testbed/shared.ts';

/**
 * An installation that is refused in its middle leaves a cluster that nobody knows the state of. All of a set
 * is asked about before any of it is written, whose an object is that has the same name is looked at, and
 * what had to be made for the asking is taken away again.
 */
describe('objects that are applied and deleted together', () => {
  const closed = closedIn(after);
  let cluster: Cluster;
  const options: ApplyOptions = { fieldManager: 'linkspan', dryRun: false };
  const labels = { 'linkerd.io/extension': 'multicluster' };

  const namespace = (name: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  });
  const settings = (ns: string, name: string, data: object = { a: '1' }): KubeObject =>
    ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: ns, labels }, data }) as KubeObject;
  const service = (ns: string, name: string, port = 80): KubeObject =>
    ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: ns, labels },
      spec: { ports: [{ name: 'web', port }] },
    }) as KubeObject;
  const crd = (kind: string): KubeObject =>
    parseManifests(
      stringify({
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        metadata: { name: `${kind.toLowerCase()}s.apply.linkspan.dev` },
        spec: {
          group: 'apply.linkspan.dev',
          scope: 'Namespaced',
          names: { kind, plural: `${kind.toLowerCase()}s`, singular: kind.toLowerCase() },
          versions: [
            {
              name: 'v1',
              served: true,
              storage: true,
              schema: {
                openAPIV3Schema: {
                  type: 'object',
                  properties: { size: { type: 'integer', minimum: 1 } },
                },
              },
            },
          ],
        },
      }),
      'crd',
    )[0] ?? {};
  const custom = (ns: string, kind: string, size: number): KubeObject =>
    ({
      apiVersion: 'apply.linkspan.dev/v1',
      kind,
      metadata: { name: 'one', namespace: ns },
      size,
    }) as KubeObject;

  const refusal = async (what: Promise<unknown>): Promise<LinkspanError> => {
    try {
      await what;
    } catch (error) {
      if (error instanceof LinkspanError) return error;
      throw error;
    }
    throw new Error('it was not refused');
  };
  const findNamespace = (name: string) => find(cluster, namespaces, { name });

  before(async () => {
    ({ east: cluster } = closed(await ownClusters(), (one) => one.giveBack()));
  });

  it('applies in order, whatever order they come in, and knows what has changed', async () => {
    const set = [service('in-order', 'web'), settings('in-order', 'config'), namespace('in-order')];
    const first = await applyAll(clientOf(cluster), set, options);
    expect(first.map(({ object, what }) => `${object.kind ?? ''} ${what}`)).to.deep.equal([
      'Namespace created',
      'ConfigMap created',
      'Service created',
    ]);
    const again = await applyAll(
      clientOf(cluster),
      [...set.slice(1), service('in-order', 'web', 81)],
      options,
    );
    expect(again.map(({ what }) => what)).to.deep.equal(['unchanged', 'unchanged', 'configured']);
    const found = await find(cluster, services, { namespace: 'in-order', name: 'web' });
    expect(found?.spec?.ports?.map(({ port }) => port)).to.deep.equal([81]);
    expect(found?.metadata?.managedFields?.map(({ manager }) => manager)).to.include('linkspan');
  });

  it('writes nothing when one of them is refused, and names all that are', async () => {
    await applyAll(clientOf(cluster), [namespace('refused')], options);
    const set = [settings('refused', 'good'), service('refused', 'bad', 70_000), service('refused', 'Worse')];
    const error = await refusal(applyAll(clientOf(cluster), set, options));
    expect(error.code).to.equal('APPLY_REFUSED');
    expect(error.message).to.include('Service refused/bad: ').and.include('Service refused/Worse: ');
    expect(await find(cluster, configMaps, { namespace: 'refused', name: 'good' })).to.equal(undefined);
  });

  it('refuses to write what is immutable before anything is written, and says what helps', async () => {
    // bitnami/sealed-secrets#1395: other tools make Secrets immutable. `link` said "repeat the command: it
    // completes what is there", which it never did.
    const fixed = { ...settings('frozen', 'fixed'), immutable: true };
    await applyAll(clientOf(cluster), [namespace('frozen'), fixed], { ...options, fieldManager: 'kubectl' });
    for (const force of [false, true]) {
      const set = [settings('frozen', 'other'), settings('frozen', 'fixed')];
      const error = await refusal(applyAll(clientOf(cluster), set, { ...options, force }));
      expect(error.code).to.equal('APPLY_REFUSED');
      expect(error.message).to.equal('immutable: ConfigMap frozen/fixed');
      expect(error.hint).to.include('Delete it');
    }
    expect(await find(cluster, configMaps, { namespace: 'frozen', name: 'other' })).to.equal(undefined);
  });

  it('takes a new Namespace away again when what should be in it is refused', async () => {
    const set = [
      namespace('short-lived'),
      settings('short-lived', 'good'),
      service('short-lived', 'bad', 70_000),
    ];
    expect((await refusal(applyAll(clientOf(cluster), set, options))).code).to.equal('APPLY_REFUSED');
    await eventually('it is gone', async () => (await findNamespace('short-lived')) === undefined);
    const good = set.slice(0, 2);
    await applyAll(clientOf(cluster), good, { ...options, dryRun: true });
    expect(await findNamespace('short-lived'), 'a dry run makes none').to.equal(undefined);
  });

  it('applies a CRD and objects of its kind together; a refused object takes the CRD along', async () => {
    const refused = [crd('Widget'), namespace('crds'), custom('crds', 'Widget', 0)];
    expect((await refusal(applyAll(clientOf(cluster), refused, options))).message).to.match(
      /Widget crds\/one: .*size/,
    );
    const left = await cluster.kubectl('get', 'crd', 'widgets.apply.linkspan.dev', '--ignore-not-found');
    expect(left).to.equal('');
    const applied = await applyAll(
      clientOf(cluster),
      [crd('Gadget'), namespace('crds'), custom('crds', 'Gadget', 1)],
      options,
    );
    expect(applied.map(({ what }) => what)).to.deep.equal(['created', 'created', 'created']);
    const unknown = await refusal(applyAll(clientOf(cluster), [custom('crds', 'Gizmo', 1)], options));
    expect(unknown.code).to.equal('KIND_NOT_SERVED');
    expect(unknown.message).to.include('Gizmo of apply.linkspan.dev/v1');
  });

  it("refuses to take over somebody else's object, by name, unless it is told to", async () => {
    await applyAll(clientOf(cluster), [namespace('foreign')], options);
    await cluster.kubectl('create', '-n', 'foreign', 'configmap', 'theirs', '--from-literal=a=0');
    const set = [settings('foreign', 'ours'), settings('foreign', 'theirs')];
    const error = await refusal(applyAll(clientOf(cluster), set, options));
    expect(error.code).to.equal('APPLY_FOREIGN');
    expect(error.message).to.include('ConfigMap foreign/theirs').and.not.include('foreign/ours');
    expect(await find(cluster, configMaps, { namespace: 'foreign', name: 'ours' })).to.equal(undefined);
    await applyAll(clientOf(cluster), set, { ...options, force: true });
    const taken = await find(cluster, configMaps, { namespace: 'foreign', name: 'theirs' });
    expect(taken?.data).to.deep.equal({ a: '1' });
  });

  it('refuses a field that somebody keeps, and takes over what kubectl and Helm have applied', async () => {
    const ns = 'fields';
    await applyAll(clientOf(cluster), [namespace(ns)], options);
    await cluster.kubectl('create', '-n', ns, 'configmap', 'kept', '--from-literal=a=0');
    await cluster.kubectl('label', '-n', ns, 'configmap', 'kept', 'linkerd.io/extension=multicluster');
    const error = await refusal(applyAll(clientOf(cluster), [settings(ns, 'kept')], options));
    expect(error.code).to.equal('APPLY_CONFLICT');
    expect(error.message).to.match(/ConfigMap fields\/kept: \.data\.a \(conflict with "kubectl-create"/);
    const helm = { ...options, fieldManager: 'helm' };
    await applyAll(clientOf(cluster), [settings(ns, 'installed', { a: '0' })], helm);
    const [applied] = await applyAll(clientOf(cluster), [settings(ns, 'installed')], options);
    expect(applied?.what).to.equal('configured');
  });

  it('says which rights are missing before anything is written', async () => {
    const ns = 'rights';
    await applyAll(clientOf(cluster), [namespace(ns)], options);
    await cluster.kubectl('create', 'serviceaccount', 'reader', '-n', ns);
    await cluster.kubectl('create', 'role', 'reader', '-n', ns, '--verb=*', '--resource=configmaps');
    const subject = `--serviceaccount=${ns}:reader`;
    await cluster.kubectl('create', 'rolebinding', 'reader', '-n', ns, '--role=reader', subject);
    const admin = loadAccess({ file: cluster.kubeconfigFile });
    const token = await cluster.kubectl('create', 'token', 'reader', '-n', ns);
    const auth = { authorization: () => Promise.resolve(`Bearer ${token.trim()}`) };
    const { cert: _cert, key: _key, ...anonymous } = admin as unknown as Record<string, unknown>;
    const client = new KubeClient({ ...anonymous, auth } as never, {
      clock: systemClock,
      random: Math.random,
    });
    try {
      const set = [settings(ns, 'allowed'), service(ns, 'forbidden')];
      const error = await refusal(applyAll(client, set, options));
      expect(error.code).to.equal('RIGHTS_MISSING');
      expect(error.message).to.equal(
        `you may not get services in ${ns}, create services in ${ns}, patch services in ${ns}`,
      );
      expect(await find(cluster, configMaps, { namespace: ns, name: 'allowed' })).to.equal(undefined);
    } finally {
      await client.close();
    }
  });

  it('passes on what the API server warns about, once', async () => {
    const warnings: string[] = [];
    const ns = namespace('warned');
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'root', namespace: 'warned', labels },
      spec: { containers: [{ name: 'a', image: 'a' }] },
    } as KubeObject;
    const strict = { 'pod-security.kubernetes.io/warn': 'restricted' };
    await applyAll(
      clientOf(cluster),
      [{ ...ns, metadata: { ...ns.metadata, labels: { ...labels, ...strict } } }, pod],
      { ...options, onWarning: (text) => warnings.push(text) },
    );
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.include('would violate PodSecurity "restricted:latest"');
  });

  it('deletes what is there, in the opposite order, and waits; a dry run deletes nothing', async () => {
    const ns = 'deleted';
    const set = [namespace(ns), settings(ns, 'one'), service(ns, 'two')];
    await applyAll(clientOf(cluster), set, options);
    await deleteAll(clientOf(cluster), set, { dryRun: true });
    expect(await find(cluster, services, { namespace: ns, name: 'two' })).to.not.equal(undefined);
    const order: string[] = [];
    const gone = settings(ns, 'never-there');
    await deleteAll(clientOf(cluster), [...set, gone], {
      dryRun: false,
      waitMs: 30_000,
      onDeleted: ({ kind = '' }) => order.push(kind),
    });
    expect(order).to.deep.equal(['Service', 'ConfigMap', 'Namespace']);
    expect(await findNamespace(ns)).to.equal(undefined);
    await deleteAll(clientOf(cluster), set, { dryRun: false, waitMs: 1000 });
  });

  it('deletes only the object that was meant, and says what a finalizer holds', async () => {
    const ns = 'held';
    const [, created] = await applyAll(clientOf(cluster), [namespace(ns), settings(ns, 'one')], options);
    const other = {
      ...created?.object,
      metadata: { name: 'one', namespace: ns, uid: 'another' },
    } as KubeObject;
    expect(await deleteAll(clientOf(cluster), [other], { dryRun: false })).to.deep.equal([]);
    const ref = { namespace: ns, name: 'one' };
    await change(cluster, configMaps, ref, { metadata: { finalizers: ['linkspan.dev/test'] } });
    const error = await refusal(
      deleteAll(clientOf(cluster), [settings(ns, 'one')], { dryRun: false, waitMs: 300 }),
    );
    expect(codeOf(error)).to.equal('DELETE_INCOMPLETE');
    expect(error.message).to.equal('still there: ConfigMap held/one (held by linkspan.dev/test)');
    await change(cluster, configMaps, ref, { metadata: { finalizers: null } });
  });
});
