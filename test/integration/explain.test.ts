import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { ensureNamespace, findAddresses } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { apply, installCrd, linkObjects } from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { timeoutMs: 30_000, everyMs: 50 };
const BIN = path.join(import.meta.dirname, '../../bin/linkspan.js');

/** The verbs as people type them, against a controller as people run it. */
describe('linkspan mirrors and linkspan explain', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let lost: string;
  let controller: ChildProcess;
  let admin: string;

  const linkspan = async (...args: string[]) => {
    const child = spawn(process.execPath, [
      BIN,
      ...args,
      '--kubeconfig',
      east.kubeconfigFile,
      '--controller-namespace',
      links,
    ]);
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    return { code, out, err };
  };
  const explain = (name: string, namespace = ns) =>
    linkspan('explain', 'svc', name, '-n', namespace, '--controller', admin);

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'explain');
    lost = await createNamespace(west, 'lost');
    await ensureNamespace(east, ns);
    await exportService(west, ns, 'web', { test: ns, federated: true });
    await exportService(west, lost, 'web', { test: ns });
    await exportService(west, ns, 'quiet', { test: ns, endpoints: [] });
    await exportService(west, ns, 'private', { test: ns, as: 'nothing' });
    await apply(east, ...linkObjects(west, links, 'west', ownSelectors(ns)));
    const port = await freePort();
    admin = `http://${address(11)}:${port}`;
    const args = [
      'controller',
      '--kubeconfig',
      east.kubeconfigFile,
      '--namespace',
      links,
      '--data-path',
      'gateway',
    ];
    args.push(
      '--admin',
      `${address(11)}:${port}`,
      '--replica',
      'not-a-pod',
      '--log-level',
      'error',
      '--no-annotation-exports',
    );
    controller = spawn(process.execPath, [BIN, ...args], { stdio: 'inherit' });
    await eventually(
      'it mirrors',
      async () => (await findAddresses(east, ns, 'web-west')).length === 1,
      wait,
    );
    await eventually(
      'it has looked at all',
      async () =>
        (await linkspan('mirrors', '--controller', admin, '-o', 'json')).out.includes('MissingNamespace'),
      wait,
    );
  });

  after(async () => {
    const exited = once(controller, 'exit');
    controller.kill('SIGTERM');
    await exited;
  });

  it('list every Service with what became of it', async () => {
    const { code, out } = await linkspan('mirrors', '--controller', admin);
    expect(code).to.equal(0);
    const rows = out
      .trim()
      .split('\n')
      .map((line) => line.split(/ {2,}/));
    expect(rows[0]).to.deep.equal(['NAMESPACE', 'NAME', 'CLUSTER', 'SERVICE', 'MODE', 'ENDPOINTS', 'REASON']);
    expect(rows).to.deep.include([ns, 'web-west', 'west', 'web', 'gateway', '1', 'Mirrored']);
    expect(rows).to.deep.include([ns, 'quiet-west', 'west', 'quiet', 'gateway', '0', 'NoReadyEndpoints']);
    expect(rows).to.deep.include([ns, 'web-federated', 'west', 'web', 'federated', '0', 'Mirrored']);
    expect(rows).to.deep.include([
      lost,
      'web-west',
      'west',
      'web',
      'gateway',
      '0',
      'MissingNamespace: Namespace does not exist',
    ]);
  });

  it('print JSON and YAML for programs, of one namespace', async () => {
    const json = JSON.parse(
      (await linkspan('mirrors', '--controller', admin, '-n', lost, '-o', 'json')).out,
    ) as { mirrors: object[] }[];
    expect(json[0]?.mirrors).to.have.length(1);
    expect((await linkspan('mirrors', '--controller', admin, '-o', 'yaml')).out).to.contain(
      'reason: MissingNamespace',
    );
  });

  it('say of a mirrored Service which endpoints it has and how old the last word is', async () => {
    const { code, out } = await explain('web');
    expect(code).to.equal(0);
    expect(out).to.match(/^Mirror +\S+\/web-west$/m);
    expect(out).to.match(/^Exported +yes, by selector$/m);
    expect(out).to.match(/^Over there +1 of 1 endpoints ready$/m);
    expect(out).to.match(/^Here +10\.\S+, endpoints: 10\.200\.0\.19$/m);
    expect(out).to.match(/^Last word +\d+s ago$/m);
    expect(out).to.match(/^Federated +\S+\/web-federated$/m);
  });

  it('find it by the name of its mirror too', async () => {
    expect((await explain('web-west')).out).to.match(/^Of +\S+\/web in cluster west/m);
  });

  it('say why a Service is not mirrored', async () => {
    expect((await explain('web', lost)).out).to.match(
      /^Verdict +MissingNamespace: Namespace does not exist$/m,
    );
    const unexported = await explain('private');
    expect(unexported.out).to.match(/^Exported +no$/m);
    expect(unexported.out).to.match(/^Verdict +NotExported$/m);
    expect((await explain('quiet')).out).to.match(/^Over there +0 of 0 endpoints ready$/m);
  });

  it('say what to do when no controller answers', async () => {
    const { code, out, err } = await linkspan('mirrors');
    expect(code).to.equal(1);
    expect(out).to.equal('');
    expect(err).to.match(/^linkspan: \[CONTROLLER_NOT_FOUND\] .*not-a-pod/);
    expect(err).to.contain('--controller');
  });

  it('refuse what they do not know', async () => {
    expect((await linkspan('explain', 'pod', 'x')).err).to.contain('CONFIG_INVALID');
    expect((await linkspan('mirrors', '-o', 'csv')).err).to.contain('must be table, json or yaml');
  });
});

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, address(11), resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
