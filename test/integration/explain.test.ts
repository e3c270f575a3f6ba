import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import type { LinkRow } from '../../src/cli/queries/link-rows.ts';
import { ensureNamespace, findAddresses } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { apply, installCrd, linkObjects } from '../support/linked-clusters.ts';
import { keptLinkspan, linkspan as run } from '../support/linkspan.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };
const BIN = path.join(import.meta.dirname, '../../bin/linkspan.js');

/** The verbs as people type them, against a controller as people run it. */
describe('the verbs that read', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let lost: string;
  let controller: ChildProcess;
  let admin: string;

  const linkspan = async (...args: string[]) => {
    const where = ['--kubeconfig', east.kubeconfigFile, '--controller-namespace', links];
    const { code, stdout: out, stderr: err } = await keptLinkspan(...args, ...where);
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
    await exportService(east, ns, 'own', { test: ns, as: 'nothing', federated: true });
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
      '--federated-service-selector',
      `linkspan.test/federated=${ns}`,
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

  // Their verdicts, NameConflict too, stood in debug lines of one replica only.
  it("say what became of this cluster's own members of federated Services", async () => {
    const row = new RegExp(`^${ns} +own-federated +local +own +federated +\\d+ +Mirrored$`, 'm');
    const listed = async () => (await linkspan('mirrors', '--controller', admin)).out;
    await eventually('it is listed', async () => row.test(await listed()), wait);
    const { out } = await explain('own');
    expect(out).to.match(/^Federated +\S+\/own-federated$/m);
    expect(out).to.match(/^Of +\S+\/own of this cluster$/m);
    expect(out).to.match(/^Itself +1 of 1 endpoints ready$/m);
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

  it('links: how each is, who keeps it, when the target was last heard of', async () => {
    const flags = ['links', '--kubeconfig', east.kubeconfigFile, '-n', links, '--controller', admin];
    const row = await eventually(
      'its conditions are written',
      async () => {
        const { code, stdout } = await keptLinkspan(...flags, '-o', 'json');
        expect(code).to.equal(0);
        const [found] = JSON.parse(stdout) as LinkRow[];
        return found?.conditions?.['APIReachable']?.status === 'True' ? found : undefined;
      },
      wait,
    );
    expect(row).to.include({ name: 'west', cluster: 'west', keptBy: 'not-a-pod' });
    // The testbed's accounts have client certificates.
    expect(Date.parse(row.credentialsExpireAt ?? '')).to.be.greaterThan(Date.now());
    expect(row.lastWordSeconds).to.be.within(0, 60);
    expect(row.conditions)
      .to.have.property('APIReachable')
      .that.includes({ status: 'True', reason: 'Connected' });
    const wide = await keptLinkspan(...flags, '-o', 'wide');
    expect(wide.stdout).to.match(/^NAME .* KEPT BY +AGE +LAST WORD +CREDENTIALS UNTIL$/m);
    expect(wide.stdout).to.match(/^west: Synced: SomeNotMirrored: /m);
    expect(wide.stderr).to.equal('');
  });

  it('links: without a controller all but what only it knows, and a word about that', async () => {
    const flags = ['links', '--kubeconfig', east.kubeconfigFile, '-n', links, '-o', 'json'];
    const { code, stdout, stderr } = await run(...flags, '--controller', 'http://127.0.0.1:1');
    expect(code).to.equal(0);
    expect((JSON.parse(stdout) as LinkRow[])[0]).to.include({ name: 'west', lastWordSeconds: null });
    expect(stderr).to.match(/^linkspan: no answer from the controllers: .*127\.0\.0\.1:1/);
  });

  it("gateways: Linkerd's keys, and the mirrors counted", async () => {
    const { code, out } = await linkspan('gateways', '--controller', admin, '-o', 'json');
    expect(code).to.equal(0);
    const rows = JSON.parse(out) as { clusterName: string; numberOfServices: number }[];
    expect(rows.map((row) => Object.keys(row))).to.deep.equal([
      ['clusterName', 'alive', 'numberOfServices', 'latency'],
    ]);
    expect(rows[0]?.clusterName).to.equal('west');
    expect(rows[0]?.numberOfServices).to.be.at.least(2);
    const other = await linkspan('gateways', '--controller', admin, '--cluster-name', 'south');
    expect(other.out).to.equal('No linked cluster has a gateway.\n');
  });

  it('explain link: what each condition means and what to do', async () => {
    const { code, out } = await linkspan('explain', 'link', 'west', '--controller', admin);
    expect(code).to.equal(0);
    expect(out).to.match(/^Kept by +not-a-pod$/m);
    expect(out).to.match(/^Synced +False  SomeNotMirrored: .*\n.*\n +What to do: See `linkspan mirrors`/m);
    const missing = await linkspan('explain', 'link', 'north', '--controller', admin);
    expect(missing.code).to.equal(1);
    expect(missing.err).to.match(/\[LINK_NOT_FOUND\] namespace \S+ has no Link "north", only west/);
  });

  it('do with rights to list, and name the one that is missing', async () => {
    const role = `reader-${ns}`;
    const resources = 'links.multicluster.linkerd.io,services';
    await east.kubectl('create', 'clusterrole', role, '--verb=list', `--resource=${resources}`);
    await east.kubectl('create', 'clusterrolebinding', role, `--clusterrole=${role}`, `--user=${role}`);
    const flags = ['--kubeconfig', east.kubeconfigFile, '--as', role];
    // Who keeps it stands in a Lease, and those may not be listed.
    const listed = await run('links', '-n', links, ...flags);
    expect(listed.stderr).to.equal('');
    expect(listed.stdout).to.match(/^west +west .* - +\d+[smh]$/m);
    const alive = await linkspan('gateways', '--controller', admin, '--as', role);
    expect(alive.code, alive.err).to.equal(0);
    const refused = await linkspan('mirrors', '--as', role);
    expect(refused.code).to.equal(1);
    expect(refused.err).to.match(/^linkspan: \[KUBE_FORBIDDEN\] .*leases/);
    const nobody = await run('links', '-n', links, '--kubeconfig', east.kubeconfigFile, '--as', 'nobody');
    expect(nobody.code).to.equal(1);
    expect(nobody.stderr).to.match(/^linkspan: \[KUBE_FORBIDDEN\] .*links/);
  });

  it('say what to do when no controller answers', async () => {
    const { code, out, err } = await linkspan('mirrors');
    expect(code).to.equal(1);
    expect(out).to.equal('');
    expect(err).to.match(/^linkspan: \[CONTROLLER_NOT_FOUND\] .*not-a-pod/);
    expect(err).to.contain('--controller');
  });

  it('refuse what they do not know', async () => {
    expect((await linkspan('explain', 'pod', 'x')).err).to.contain('USAGE');
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
