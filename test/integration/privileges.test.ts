import type { V1Role } from '@kubernetes/client-node';
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { TOKEN_TTL } from '../../src/api/names.ts';
import { createAnchor, createIssuer } from '../../src/identity/authority/issue.ts';
import { writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { isForbidden, type KubeClient } from '../../src/kube/client/kube-client.ts';
import { configMaps, roles, secrets } from '../../src/api/kubernetes/resource.ts';
import { CredentialsRole } from '../../src/controllers/link/credentials-role.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { clientAs, kubeconfigAs } from '../support/account-client.ts';
import { chartAccounts } from '../support/chart.ts';
import { links as linkResource } from '../../src/api/link/link-schema.ts';
import { closedIn } from '../support/closed-in.ts';
import { find, findCondition, remove } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import { root } from '../support/runtime-process.ts';
import { useTempDir } from '../support/temp-dir.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const ROLE = 'linkspan-controller-credentials';
const wait = { everyMs: 50 };
const log = createLogger({ name: 'privileges', level: process.env['LINKSPAN_TEST_LOG'] ?? 'silent' });
const shared = { clock: systemClock, random: Math.random, log };

/**
 * The controller reads what foreign API servers send. Its account could read every Secret of the namespace,
 * the issuer's key among them, and held that key in a volume too: whoever got into that one process was
 * everybody in the mesh.
 */
describe('Secrets and the controller', () => {
  const dir = useTempDir();
  const opened = closedIn(afterEach);
  let east: Cluster;
  let west: Cluster;
  let ns: string;
  let controller: KubeClient;

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
  });
  beforeEach(async () => {
    ns = await createNamespace(east, 'privileges');
    await east.apply(await chartAccounts(ns));
    controller = opened(await clientAs(east, { namespace: ns, name: 'linkspan-controller' }, shared), (one) =>
      one.close(),
    );
    await east.apply([
      { apiVersion: 'v1', kind: 'Secret', type: 'Opaque', metadata: { name: 'other', namespace: ns } },
      {
        apiVersion: 'v1',
        kind: 'Secret',
        type: 'kubernetes.io/tls',
        metadata: { name: 'linkspan-issuer', namespace: ns },
        data: { 'tls.crt': '', 'tls.key': '' },
      },
    ]);
  });

  /** What `linkspan signer --credentials-role` starts, as the account of the chart. */
  async function startSigner(): Promise<CredentialsRole> {
    const client = opened(await clientAs(east, { namespace: ns, name: 'linkspan-signer' }, shared), (one) =>
      one.close(),
    );
    const grants = opened(new CredentialsRole({ client, namespace: ns, role: ROLE, ...shared }), (one) =>
      one.stop(),
    );
    grants.start();
    return grants;
  }
  const rules = async () => (await find<V1Role>(east, roles, { namespace: ns, name: ROLE }))?.rules ?? [];
  const allowed = async (what: Promise<unknown>): Promise<boolean> => {
    try {
      await what;
      return true;
    } catch (error) {
      if (isForbidden(error)) return false;
      throw error;
    }
  };
  const mayRead = (name: string) => allowed(controller.get(secrets, { namespace: ns, name }));
  const mayPatch = (name: string) =>
    allowed(
      controller.patch(
        secrets,
        { namespace: ns, name },
        { metadata: { labels: { a: 'b' } } },
        { type: 'merge' },
      ),
    );

  it("those of Links are read, as Linkerd's link-gen prints them, and no others", async () => {
    await startSigner();
    await kubeconfigAs(east, { namespace: ns, name: 'linkspan-controller' }, path.join(dir(), 'kubeconfig'));
    opened(
      startController(east, { namespace: ns }, { kubeconfigFile: path.join(dir(), 'kubeconfig') }),
      (one) => one.stop(),
    );
    await east.apply(linkObjects(west, ns, 'west'));
    await eventually(
      'the controller works with the credentials',
      async () => (await findCondition(east, ns, 'west', 'APIReachable'))?.status === 'True',
      wait,
    );
    expect(await mayRead('cluster-credentials-west')).to.equal(true);
    expect(await mayPatch('cluster-credentials-west')).to.equal(false);
    expect(await mayRead('linkspan-issuer')).to.equal(false);
    expect(await mayRead('other')).to.equal(false);
    expect(await allowed(controller.list(secrets, { namespace: ns }))).to.equal(false);
    // A right that goes is no word about the Secret: the Link goes on.
    expect((await findCondition(east, ns, 'west', 'CredentialsValid'))?.status).to.equal('True');
  });

  it('those whose token is renewed can be changed', async () => {
    await startSigner();
    const [secret, link] = linkObjects(west, ns, 'west') as [{ metadata: object }, object];
    await east.apply([
      { ...secret, metadata: { ...secret.metadata, annotations: { [TOKEN_TTL]: '24h' } } },
      link,
    ]);
    await eventually('the right is there', () => mayPatch('cluster-credentials-west'), wait);
    expect(await mayPatch('linkspan-issuer')).to.equal(false);
  });

  it('a Link makes no way to a Secret that is for something else', async () => {
    const grants = await startSigner();
    await east.apply([
      ...linkObjects(west, ns, 'west'),
      ...linkObjects(west, ns, 'evil', { clusterCredentialsSecret: 'linkspan-issuer' }),
    ]);
    await eventually('the Role is written', () => mayRead('cluster-credentials-west'), wait);
    await eventually('nothing more is to be written', () => grants.ready.ok, wait);
    expect((await rules()).flatMap(({ resourceNames }) => resourceNames)).to.deep.equal([
      'cluster-credentials-west',
    ]);
    expect(await mayRead('linkspan-issuer')).to.equal(false);
  });

  it('the rights go with the Link, come back when somebody changes them, and are nobody else’s to give', async () => {
    await startSigner();
    await east.apply(linkObjects(west, ns, 'west'));
    await eventually('the right is there', () => mayRead('cluster-credentials-west'), wait);
    await east.kubectl(
      '-n',
      ns,
      'patch',
      'role',
      ROLE,
      '--type=json',
      '-p',
      '[{"op":"remove","path":"/rules"}]',
    );
    await eventually('the right is back', () => mayRead('cluster-credentials-west'), wait);
    const all = [{ apiGroups: [''], resources: ['secrets'], verbs: ['*'] }];
    const give = (client: KubeClient, name: string) =>
      allowed(client.patch(roles, { namespace: ns, name }, { rules: all }, { type: 'merge' }));
    expect(await give(controller, ROLE)).to.equal(false);
    const signer = opened(await clientAs(east, { namespace: ns, name: 'linkspan-signer' }, shared), (one) =>
      one.close(),
    );
    // More than it has itself, and another Role.
    expect(await give(signer, ROLE)).to.equal(false);
    expect(await give(signer, 'linkspan-controller')).to.equal(false);
    await remove(east, linkResource, { namespace: ns, name: 'west' });
    await eventually('the right is gone', async () => !(await mayRead('cluster-credentials-west')), wait);
  });

  it('the signer does both of its tasks as a process, and says on its own port when it may', async () => {
    const kubeconfig = path.join(dir(), 'signer');
    await kubeconfigAs(east, { namespace: ns, name: 'linkspan-signer' }, kubeconfig);
    const issuer = await createIssuer(await createAnchor({}), {});
    const files = { 'tls.crt': issuer.chain, 'tls.key': issuer.key, 'ca.crt': issuer.ca };
    await writePemFiles(
      dir(),
      Object.entries(files).map(([name, text]) => ({ name, text })),
      { force: true },
    );
    const admin = `127.0.0.1:${await freePort()}`;
    const flags = ['--kubeconfig', kubeconfig, '--namespace', ns, '--issuer-dir', dir(), '--admin', admin];
    const signer = opened(
      spawn(process.execPath, [
        path.join(root, 'bin/linkspan.js'),
        'signer',
        ...flags,
        '--credentials-role',
        ROLE,
      ]),
      (one) => one.kill('SIGKILL'),
    );
    let said = '';
    for (const out of [signer.stdout, signer.stderr])
      out.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ready = () => fetch(`http://${admin}/ready`).then(({ status }) => status === 200);
    await eventually('it is ready', ready, wait).catch((error: unknown) => {
      throw new Error(said, { cause: error });
    });
    await east.apply(linkObjects(west, ns, 'west'));
    await eventually('the right is there', () => mayRead('cluster-credentials-west'), wait);
    const metrics = await (await fetch(`http://${admin}/metrics`)).text();
    expect(metrics).to.match(/^linkspan_issuer_expiration_timestamp_seconds [1-9]/m);
    const trust = () => find(east, configMaps, { namespace: ns, name: 'linkspan-trust' });
    await eventually('the trust anchors are published', async () => (await trust())?.data?.['ca.crt'], wait);
    signer.kill('SIGTERM');
    const [code] = (await once(signer, 'exit')) as [number | null];
    expect(code, said).to.equal(0);
  });
});
