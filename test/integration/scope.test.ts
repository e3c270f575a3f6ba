import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { READABLE_NAMESPACES, REMOTE_ACCESS_ACCOUNT } from '../../src/api/names.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import { isForbidden, KubeClient } from '../../src/kube/client/kube-client.ts';
import { endpointSlices, pods, secrets, services } from '../../src/api/kubernetes/resource.ts';
import { clientFor } from '../../src/kube/client/scoped-client.ts';
import { clusterUid } from '../../src/linking/cluster-uid.ts';
import { CredentialsRole } from '../../src/controllers/link/credentials-role.ts';
import { gatherTargetFacts } from '../../src/linking/link-gen.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { clientAs, kubeconfigAs } from '../support/account-client.ts';
import { chartAccounts } from '../support/chart.ts';
import { links as linkResource } from '../../src/api/link/link-schema.ts';
import { closedIn } from '../support/closed-in.ts';
import { ensureNamespace, findCondition, findService, remove } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import {
  apply,
  exportedObjects,
  installCrd,
  linkObjects,
  startController,
} from '../support/linked-clusters.ts';
import { useTempDir } from '../support/temp-dir.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };
const log = createLogger({ name: 'scope', level: process.env['LINKSPAN_TEST_LOG'] ?? 'silent' });
const shared = { clock: systemClock, random: Math.random, log };

/**
 * A team that has some namespaces of a cluster could not import into them without somebody granting writes to
 * every Service of the cluster.
 */
describe('with scope.namespaces', () => {
  const dir = useTempDir();
  const opened = closedIn(afterEach);
  let east: Cluster;
  let west: Cluster;
  let home: string;
  let [shop, pay, other] = ['', '', ''];

  beforeEach(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    home = await createNamespace(east, 'scope');
    [shop, pay, other] = (await Promise.all(
      ['shop', 'pay', 'other'].map(async (prefix) => {
        const name = await createNamespace(east, prefix);
        await ensureNamespace(west, name);
        return name;
      }),
    )) as [string, string, string];
    const scope = `scope.namespaces={${shop},${pay}},identity.source=secrets,remoteMirrorServiceAccount=false`;
    const objects = await chartAccounts(home, [`--set=${scope}`]);
    expect(objects.filter((object) => (object as { kind: string }).kind.startsWith('Cluster'))).to.deep.equal(
      [],
    );
    await east.apply(objects);
    const client = opened(await clientAs(east, { namespace: home, name: 'linkspan-signer' }, shared), (one) =>
      one.close(),
    );
    const role = 'linkspan-controller-credentials';
    opened(new CredentialsRole({ client, namespace: home, role, ...shared }), (one) => one.stop()).start();
  });

  it('mirrors are made in those namespaces by an account that has no right in the whole cluster', async () => {
    const file = path.join(dir(), 'kubeconfig');
    await kubeconfigAs(east, { namespace: home, name: 'linkspan-controller' }, file);
    const account = opened(new KubeClient(loadAccess({ file }), shared), (one) => one.close());
    const refused = await account.list(services).catch((error: unknown) => error);
    expect(isForbidden(refused)).to.equal(true);

    const exports = [shop, pay, other].flatMap((namespace) => exportedObjects(namespace, 'web'));
    await apply(west, ...exports);
    const controller = opened(
      startController(east, { namespace: home, namespaces: [shop, pay] }, { kubeconfigFile: file }),
      (one) => one.stop(),
    );
    const cluster = `west-${home}`;
    await east.apply(linkObjects(west, home, cluster));
    const mirrorIn = (namespace: string, name = 'web') => findService(east, namespace, `${name}-${cluster}`);
    for (const namespace of [shop, pay])
      await eventually(`a mirror in ${namespace}`, () => mirrorIn(namespace), wait);
    expect(controller.ready).to.deep.equal({ ok: true, reason: '' });
    expect(await mirrorIn(other)).to.equal(undefined);

    // Later ones come by the watches of both, and what is deleted here comes back.
    await apply(west, ...exportedObjects(pay, 'late'));
    await eventually('a later mirror', () => mirrorIn(pay, 'late'), wait);
    await remove(east, services, { namespace: shop, name: `web-${cluster}` });
    await eventually('a mirror that was deleted', () => mirrorIn(shop), wait);
    await remove(west, services, { namespace: pay, name: 'late' });
    await eventually('no mirror', async () => (await mirrorIn(pay, 'late')) === undefined, wait);

    await remove(east, linkResource, { namespace: home, name: cluster });
    await eventually(
      'nothing is left',
      async () => (await mirrorIn(shop)) === undefined && (await mirrorIn(pay)) === undefined,
      wait,
    );
  });

  it('the gateway serves what is exported in those namespaces, and knows of nothing else', async () => {
    await apply(east, ...[shop, pay, other].flatMap((namespace) => exportedObjects(namespace, 'api')));
    const file = path.join(dir(), 'kubeconfig');
    await kubeconfigAs(east, { namespace: home, name: 'linkerd-gateway' }, file);
    const client = opened(clientFor(loadAccess({ file }), shared, [shop, pay, home]), (one) => one.close());
    const targets = opened(openKubeTargets({ ...shared, client, clusterDomain: 'cluster.local' }), (one) =>
      one.close(),
    );
    await eventually('the targets are known', () => targets.ready.ok, wait);
    const serves = (namespace: string, name = 'api') =>
      targets.get(`${name}.${namespace}.svc.cluster.local`, 80) !== undefined;
    expect([shop, pay, other].map((namespace) => serves(namespace))).to.deep.equal([true, true, false]);
    await apply(east, ...exportedObjects(shop, 'late'));
    await eventually('a later export', () => serves(shop, 'late'), wait);
  });

  // The accounts of other clusters could read every Service and every address of a cluster of which one team
  // exports from two namespaces.
  it('source clusters read those namespaces and no others, and their Links work with that', async () => {
    const scope = `scope.namespaces={${shop},${pay}},identity.source=secrets,remoteAccess.tokenSecrets=false`;
    await west.apply(await chartAccounts(home, [`--set=${scope}`]));
    const account = { namespace: home, name: REMOTE_ACCESS_ACCOUNT };
    const client = opened(await clientAs(west, account, shared), (one) => one.close());
    const may = async (what: Promise<unknown>): Promise<boolean> => {
      try {
        await what;
        return true;
      } catch (error) {
        if (isForbidden(error)) return false;
        throw error;
      }
    };
    for (const namespace of [shop, pay, home]) {
      expect(await may(client.list(services, { namespace })), namespace).to.equal(true);
      expect(await may(client.list(endpointSlices, { namespace })), namespace).to.equal(true);
      expect(await may(client.list(pods, { namespace })), namespace).to.equal(false);
      expect(await may(client.list(secrets, { namespace })), namespace).to.equal(false);
    }
    for (const namespace of [undefined, other, 'default', 'kube-system']) {
      const where = namespace === undefined ? {} : { namespace };
      expect(await may(client.list(services, where)), namespace).to.equal(false);
      expect(await may(client.list(endpointSlices, where)), namespace).to.equal(false);
    }
    // What tells the cluster from another in its place.
    expect(await clusterUid(client)).to.be.a('string');

    const admin = opened(new KubeClient(loadAccess({ file: west.kubeconfigFile }), shared), (one) =>
      one.close(),
    );
    const facts = await gatherTargetFacts(admin, {
      serviceAccount: account.name,
      namespace: home,
      linkerdNamespace: 'linkerd',
      gateway: undefined,
      tokenTtlMs: 3_600_000,
    });
    expect(facts.readableNamespaces).to.deep.equal([shop, pay, home]);
    const file = path.join(dir(), 'west');
    await kubeconfigAs(west, account, file);
    const cluster = `west-${home}`;
    const annotations = { [READABLE_NAMESPACES]: (facts.readableNamespaces ?? []).join(',') };
    const [secret, link] = linkObjects(west, home, cluster, {}, annotations) as [object, object];
    await east.apply([{ ...secret, data: { kubeconfig: readFileSync(file).toString('base64') } }, link]);
    await apply(west, ...[shop, pay, other].flatMap((namespace) => exportedObjects(namespace, 'web')));
    opened(startController(east, { namespace: home }), (one) => one.stop());
    for (const namespace of [shop, pay])
      await eventually(
        `a mirror in ${namespace}`,
        () => findService(east, namespace, `web-${cluster}`),
        wait,
      );
    await apply(west, ...exportedObjects(pay, 'late'));
    await eventually('a later mirror', () => findService(east, pay, `late-${cluster}`), wait);
    expect(await findService(east, other, `web-${cluster}`)).to.equal(undefined);
    await eventually(
      'the Link says that it reads the target',
      async () => (await findCondition(east, home, cluster, 'APIReachable'))?.status === 'True',
      wait,
    );
  });
});
