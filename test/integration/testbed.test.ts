import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from '../support/eventually.ts';
import { installKinds, linkerdKind } from '../support/linkerd-objects.ts';
import { type Cluster, startCluster } from '../testbed/cluster.ts';
import { processesWith } from '../testbed/processes.ts';
import { bareCluster, createNamespace, sharedClusters } from '../testbed/shared.ts';

describe('testbed', () => {
  let east: Cluster;
  let west: Cluster;

  before(async () => {
    ({ east, west } = await sharedClusters());
  });

  it('gives two clusters at addresses of a network, not of loopback', () => {
    expect(east.server).to.match(/^https:\/\/10\.200\.0\.\d+:\d+$/);
    expect(west.server).to.match(/^https:\/\/10\.200\.0\.\d+:\d+$/);
    expect(east.server).not.to.equal(west.server);
    expect(east.serviceCidr).not.to.equal(west.serviceCidr);
  });

  it('answers its administrator, who may do everything', async () => {
    expect(await east.kubectl('auth', 'can-i', '*', '*', '--all-namespaces')).to.equal('yes\n');
    expect(await west.kubectl('config', 'current-context')).to.equal('west\n');
    expect(JSON.parse(await west.kubectl('get', '--raw', '/version'))).to.include({ gitVersion: 'v1.34.2' });
  });

  // Objects that are not there are created without kubectl: what kubectl makes of them later must be what it
  // makes of its own.
  it('applies as kubectl does: what is left out the next time goes, and unknown fields are refused', async () => {
    const namespace = await createNamespace(west, 'applied');
    const service = (annotations: object, more: object = {}) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace, annotations },
      spec: { ports: [{ port: 80 }], ...more },
    });
    await west.apply(service({ first: 'a', second: 'b' }));
    await west.apply(service({ second: 'c' }));
    const get = ['get', 'service', 'web', '-n', namespace, '-o', 'json', '--show-managed-fields'];
    const { metadata } = JSON.parse(await west.kubectl(...get)) as V1Service;
    const { 'kubectl.kubernetes.io/last-applied-configuration': _copy, ...annotations } =
      metadata?.annotations ?? {};
    expect(annotations).to.deep.equal({ second: 'c' });
    expect(new Set(metadata?.managedFields?.map(({ manager }) => manager))).to.deep.equal(
      new Set(['kubectl-client-side-apply']),
    );
    const refused = west.apply({ ...service({}, { prots: [] }), metadata: { name: 'typo', namespace } });
    await refused.then(
      () => expect.fail('it was taken'),
      (error: Error) => expect(error.message).to.match(/unknown field "(spec\.)?prots"/),
    );
  });

  it('has a controller manager that puts a token into a service account Secret', async () => {
    const namespace = await createNamespace(west, 'token');
    await west.apply([
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'reader', namespace } },
      {
        apiVersion: 'v1',
        kind: 'Secret',
        type: 'kubernetes.io/service-account-token',
        metadata: {
          name: 'reader-token',
          namespace,
          annotations: { 'kubernetes.io/service-account.name': 'reader' },
        },
      },
    ]);
    const token = await eventually('a token in the Secret', () =>
      west
        .kubectl('get', 'secret', 'reader-token', '-n', namespace, '-o', 'jsonpath={.data.token}')
        .then((text) => text !== '' && text),
    );
    const bearer = Buffer.from(token as string, 'base64').toString();
    const access = [
      '--kubeconfig=/dev/null',
      `--server=${west.server}`,
      `--certificate-authority=${west.caFile}`,
    ];
    const user = ['auth', 'whoami', `--token=${bearer}`, '-o', 'jsonpath={.status.userInfo.username}'];
    expect(await west.kubectl(...access, ...user)).to.equal(`system:serviceaccount:${namespace}:reader`);
  });

  it('accepts Endpoints at the addresses on lo', async () => {
    const namespace = await createNamespace(east, 'endpoints');
    await east.apply({
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { name: 'web', namespace },
      subsets: [{ addresses: [{ ip: '10.200.0.9' }], ports: [{ port: 8080 }] }],
    });
    expect(
      await east.kubectl(
        'get',
        'endpoints',
        'web',
        '-n',
        namespace,
        '-o',
        'jsonpath={.subsets[0].addresses[0].ip}',
      ),
    ).to.equal('10.200.0.9');
  });

  it('restarts an API server on its address, and rebuilds a wiped cluster behind the same credentials', async () => {
    const cluster = await startCluster({ name: 'chaos' });
    try {
      await cluster.kubectl('create', 'namespace', 'kept');
      await cluster.restart('kube-apiserver');
      expect(await cluster.kubectl('get', 'namespace', 'kept', '-o', 'name')).to.equal('namespace/kept\n');
      await cluster.restart('etcd', { wipe: true });
      const names = await cluster.kubectl('get', 'namespaces', '-o', 'name');
      expect(names).to.include('namespace/default').and.not.include('namespace/kept');
    } finally {
      await cluster.stop();
    }
    expect(existsSync(path.dirname(cluster.kubeconfigFile))).to.equal(false);
  });

  // A cluster of one's own was started for each file that wanted one: three seconds of CPU each time.
  it('has a bare cluster that is as new for whoever gets it next, whatever was done to it', async () => {
    const kind = linkerdKind('example.com', 'Odd', 'odds', 'v1');
    const names = (...what: string[]) => second.kubectl('get', ...what, '-o', 'name');
    const first = await bareCluster('first');
    await installKinds(first, [kind]);
    await first.kubectl('create', 'namespace', 'mine');
    const odd = { apiVersion: 'example.com/v1', kind: 'Odd', spec: {} };
    const metadata = { name: 'odd', namespace: 'mine', finalizers: ['example.com/held'] };
    await first.apply([{ ...odd, metadata }]);
    await first.kubectl('label', 'namespace', 'default', 'mine=yes');
    await first.kubectl('delete', 'clusterrole', 'view');
    await first.stop();
    const second = await bareCluster('second');
    try {
      expect(second.server).to.equal(first.server);
      expect(second.kubeconfig).to.match(/^current-context: second$/m);
      expect(await names('namespaces', '-l', 'mine=yes')).to.equal('');
      expect(await names('namespaces'))
        .to.include('namespace/default')
        .and.not.include('mine');
      expect(await names('clusterrole', 'view')).to.equal('clusterrole.rbac.authorization.k8s.io/view\n');
      expect(await names('crd')).to.equal('');
      await installKinds(second, [kind]);
      expect(await names('odds', '-A')).to.equal('');
    } finally {
      await second.stop();
    }
  });

  it('leaves no process and no file when the process that started it is killed', async () => {
    const script = path.join(import.meta.dirname, '../support/hold-cluster.ts');
    const holder = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exit = once(holder, 'exit');
    const [line] = (await once(createInterface(holder.stdout), 'line')) as [string];
    const { directory, marker } = JSON.parse(line) as { directory: string; marker: string };
    expect(processesWith(marker), 'etcd, API server, controller manager').to.have.length(3);
    holder.kill('SIGKILL');
    await exit;
    await eventually('no process left', () => processesWith(marker).length === 0);
    await eventually('no file left', () => !existsSync(directory));
  });

  it('says what to install when there are neither binaries nor Go', async () => {
    const script = path.join(import.meta.dirname, '../../scripts/prepare.ts');
    const env = { PATH: '/nonexistent', HOME: '/nonexistent', LINKSPAN_TESTBED_GO: '/nonexistent/go' };
    const child = spawn(process.execPath, [script], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    const said: string[] = [];
    child.stderr.setEncoding('utf8').on('data', (text: string) => void said.push(text));
    const [code] = (await once(child, 'close')) as [number];
    expect(code).to.equal(1);
    expect(said.join('').split('\n')[0]).to.equal(
      'testbed: missing here: etcd, kube-apiserver, kubectl, kube-controller-manager to download; helm to build with Go',
    );
    expect(said.join('')).to.include(
      '[TESTBED_NO_BINARIES] helm: neither in $KUBEBUILDER_ASSETS (not set) nor in the cache, and there is no Go to build it with. ' +
        'Install Go 1.24 or newer (https://go.dev/dl) and run again; or put helm 3.19 into the directory that KUBEBUILDER_ASSETS names.',
    );
  });
});
