import type { V1Secret } from '@kubernetes/client-node';
import { expect } from 'chai';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/api/errors/linkspan-error.ts';
import { TOKEN_TTL } from '../../src/api/names.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import {
  configMaps,
  endpoints,
  endpointSlices,
  events,
  namespaces,
  nodes,
  pods,
  secrets,
  services,
  serviceAccounts,
  roleBindings,
} from '../../src/api/kubernetes/resource.ts';
import { accessFromSecret } from '../../src/linking/credentials.ts';
import { remoteAccessManifests } from '../../src/linking/remote-access.ts';
import { requestToken, tokenFacts } from '../../src/linking/token.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import {
  change,
  clientOf,
  ensureNamespace,
  find,
  findCondition,
  findService,
  remove,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };

/** The kubeconfig of a link's Secret, with an account's token. */
function kubeconfig(cluster: Cluster, token: string): string {
  const { ca } = loadAccess({ file: cluster.kubeconfigFile });
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'target',
    clusters: [
      {
        name: 'target',
        cluster: {
          server: cluster.server,
          'certificate-authority-data': Buffer.from(ca ?? '').toString('base64'),
        },
      },
    ],
    contexts: [{ name: 'target', context: { cluster: 'target', user: 'mirror' } }],
    users: [{ name: 'mirror', user: { token } }],
  });
}

describe('the account that a source has in its target, on a real API server', () => {
  let west: Cluster;
  let ns: string;
  let other: string;
  /** With the rights of `linkspan allow`: for mirroring only, and with tokens of limited life. */
  let account: KubeClient;
  /** With those that Linkerd in the source wants too. */
  let linkerd: KubeClient;

  const clientWith = (token: string) =>
    new KubeClient(loadAccess({ text: kubeconfig(west, token), source: 'the test' }), {
      clock: systemClock,
      random: Math.random,
    });
  const tokenFor = (name: string, seconds = 600) =>
    requestToken(clientOf(west), { namespace: ns, name }, seconds * 1000);

  before(async () => {
    ({ west } = await sharedClusters());
    ns = await createNamespace(west, 'access');
    other = await createNamespace(west, 'other');
    const allow = (name: string, more: { linkerd: boolean; boundTokens: boolean }) =>
      remoteAccessManifests({ account: { namespace: ns, name }, version: 'test', ...more });
    await west.apply(allow(`east-${ns}`, { linkerd: false, boundTokens: true }));
    await west.apply(allow(`linkerd-${ns}`, { linkerd: true, boundTokens: false }));
    await west.apply([
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web', namespace: other },
        spec: { ports: [{ port: 80 }] },
      },
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'password', namespace: other },
        stringData: { a: 'b' },
      },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'somebody', namespace: ns } },
    ]);
    account = clientWith(await tokenFor(`east-${ns}`));
    linkerd = clientWith(await tokenFor(`linkerd-${ns}`));
  });

  after(async () => {
    await Promise.all([account.close(), linkerd.close()]);
    for (const name of [`east-${ns}`, `linkerd-${ns}`]) {
      await west.kubectl('delete', 'clusterrole,clusterrolebinding', name);
    }
  });

  /** What somebody with the token could try. */
  const deeds = {
    'read the Services of every namespace': (client) => client.list(services),
    'read one Service': (client) => client.get(services, { namespace: other, name: 'web' }),
    'read EndpointSlices': (client) => client.list(endpointSlices),
    "learn the cluster's identity": (client) =>
      client.get(services, { namespace: 'default', name: 'kubernetes' }),
    'read the version': (client) => client.raw('GET', '/version'),
    'get a new token for itself': (client) =>
      requestToken(client, { namespace: ns, name: `east-${ns}` }, 600_000),
    "get another account's token": (client) =>
      requestToken(client, { namespace: ns, name: 'somebody' }, 600_000),
    "get another namespace's token": (client) =>
      requestToken(client, { namespace: other, name: 'default' }, 600_000),
    'list Secrets of every namespace': (client) => client.list(secrets),
    'list Secrets of its own namespace': (client) => client.list(secrets, { namespace: ns }),
    'read a Secret': (client) => client.get(secrets, { namespace: other, name: 'password' }),
    'read ConfigMaps': (client) => client.list(configMaps, { namespace: other }),
    'read Pods': (client) => client.list(pods),
    'read Endpoints': (client) => client.list(endpoints),
    'read Nodes': (client) => client.list(nodes),
    'read Namespaces': (client) => client.list(namespaces),
    'read ServiceAccounts': (client) => client.list(serviceAccounts, { namespace: ns }),
    'make a Service': (client) =>
      client.create(services, {
        metadata: { name: 'mine', namespace: other },
        spec: { ports: [{ port: 80 }] },
      }),
    'change a Service': (client) =>
      client.patch(
        services,
        { namespace: other, name: 'web' },
        { metadata: { labels: { a: 'b' } } },
        { type: 'merge' },
      ),
    'delete a Service': (client) => client.delete(services, { namespace: other, name: 'web' }),
    'write EndpointSlices': (client) =>
      client.create(endpointSlices, {
        metadata: { name: 'mine', namespace: other },
        addressType: 'IPv4',
        endpoints: [],
      }),
    'make a ServiceAccount': (client) =>
      client.create(serviceAccounts, { metadata: { name: 'mine', namespace: ns } }),
    'write Events': (client) =>
      client.create(events, {
        metadata: { name: `e-${Math.floor(performance.now())}`, namespace: other },
        involvedObject: { kind: 'Service', namespace: other, name: 'web' },
        reason: 'Test',
      }),
    'use the proxy of a pod': (client) => client.raw('GET', `/api/v1/namespaces/${other}/pods/a/proxy/`),
  } satisfies Record<string, (client: KubeClient) => Promise<unknown>>;
  type Deed = keyof typeof deeds;

  const outcome = async (client: KubeClient, deed: Deed): Promise<string> => {
    try {
      await deeds[deed](client);
      return 'done';
    } catch (error) {
      return codeOf(error) ?? String(error);
    }
  };
  const allowed: readonly Deed[] = [
    'read the Services of every namespace',
    'read one Service',
    'read EndpointSlices',
    'read Endpoints',
    "learn the cluster's identity",
    'read the version',
  ];
  const forLinkerd: readonly Deed[] = ['read Pods'];
  const own: Deed = 'get a new token for itself';

  it('does what mirroring needs and renews its own token; everything else is refused', async () => {
    const outcomes = await Promise.all(
      (Object.keys(deeds) as Deed[]).map(async (deed) => [deed, await outcome(account, deed)] as const),
    );
    for (const [deed, result] of outcomes) {
      const may = deed === own || allowed.includes(deed);
      if (may) expect(result, deed).to.equal('done');
      else expect(result, deed).to.be.oneOf(['KUBE_FORBIDDEN', 'TOKEN_REFUSED']);
    }
  });

  it("for Linkerd's controllers it reads Pods too, and gets no tokens at all", async () => {
    const outcomes = await Promise.all(
      (Object.keys(deeds) as Deed[]).map(async (deed) => [deed, await outcome(linkerd, deed)] as const),
    );
    for (const [deed, result] of outcomes) {
      const may = [...allowed, ...forLinkerd].includes(deed);
      if (may) expect(result, deed).to.equal('done');
      else expect(result, deed).to.be.oneOf(['KUBE_FORBIDDEN', 'TOKEN_REFUSED']);
    }
  });

  it('has a token Secret that never expires only where its tokens are not of limited life', async () => {
    const filled = await eventually('the Secret is filled', async () => {
      const secret = await find(west, secrets, { namespace: ns, name: `linkerd-${ns}-token` });
      return secret?.data?.['token'];
    });
    expect(tokenFacts(Buffer.from(filled, 'base64').toString()).expiresAt).to.equal(undefined);
    expect(await find(west, secrets, { namespace: ns, name: `east-${ns}-token` })).to.equal(undefined);
  });
});

describe('a token of limited life', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController;
  let account: { namespace: string; name: string };
  const secretRef = () => ({ namespace: links, name: 'cluster-credentials-west' });
  const settled = <T>(what: string, probe: () => T | Promise<T>) => eventually(what, probe, wait);
  const condition = () => findCondition(east, links, 'west', 'CredentialsValid');
  const current = async () => {
    const secret = await find(east, secrets, secretRef());
    return accessFromSecret(secret as V1Secret).bearer ?? '';
  };
  const peer = () => controller.runs.get(`${links}/west`)?.peer;
  const metrics = () => controller.runs.get(`${links}/west`)?.renewals;
  const give = (token: string, ttl: string | null) =>
    change(east, secrets, secretRef(), {
      metadata: { annotations: { [TOKEN_TTL]: ttl } },
      data: { kubeconfig: Buffer.from(kubeconfig(west, token)).toString('base64') },
    });

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'tokens');
    ns = await createNamespace(west, 'tokens');
    await ensureNamespace(east, ns);
    account = { namespace: ns, name: `mirror-${ns}` };
    await west.apply(remoteAccessManifests({ account, linkerd: false, boundTokens: true, version: 'test' }));
    await exportService(west, ns, 'web', { test: ns });
    await apply(east, ...linkObjects(west, links, 'west', ownSelectors(ns)));
    await give(await requestToken(clientOf(west), account, 3_600_000), '1h');
    controller = startController(east, { namespace: links });
    await settled('it works', async () => await findService(east, ns, 'web-west'));
  });

  after(async () => {
    await controller.stop();
    await remove(west, services, { namespace: ns, name: 'web' });
    await west.kubectl('delete', 'clusterrole,clusterrolebinding', account.name);
  });

  it('says until when it is valid', async () => {
    const { expiresAt = 0 } = tokenFacts(await current());
    const said = await settled('it is said', async () => {
      const found = await condition();
      return found?.message === '' ? undefined : found;
    });
    expect(said).to.include({ status: 'True', reason: 'Accepted' });
    expect(said.message).to.equal(
      `the token is valid until ${new Date(expiresAt).toISOString().replace('.000Z', 'Z')}`,
    );
  });

  it('is renewed by the account itself, in the Secret, and the peer goes on without listing anew', async () => {
    const before = peer();
    // A token Secret's token has no end, and is replaced by one that has as soon as a life is asked for.
    const forever = await longLived();
    await give(forever, '10m');
    await settled('another token is there', async () => (await current()) !== forever);
    const facts = tokenFacts(await current());
    expect(facts.account).to.deep.equal(account);
    expect((facts.expiresAt ?? 0) - (facts.issuedAt ?? 0)).to.equal(600_000);
    await settled('it is counted', () => metrics()?.renewed === 1);
    expect(metrics()).to.deep.equal({ renewed: 1, failed: 0 });
    expect(peer()).to.equal(before);
    const stored = await find(east, secrets, secretRef());
    expect(stored?.type).to.equal('mirror.linkerd.io/remote-kubeconfig');
    // What is exported now is mirrored with the new token, once the watches begin anew with it.
    await exportService(west, ns, 'later', { test: ns });
    await settled('a later export is mirrored', async () => findService(east, ns, 'later-west'));
    await remove(west, services, { namespace: ns, name: 'later' });
  });

  /** The token of a Secret of the account, made here. */
  async function longLived(): Promise<string> {
    const name = `${account.name}-forever`;
    await west.apply({
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/service-account-token',
      metadata: {
        name,
        namespace: ns,
        annotations: { 'kubernetes.io/service-account.name': account.name },
      },
    });
    const token = await settled(
      'the token Secret is filled',
      async () => (await find(west, secrets, { namespace: ns, name }))?.data?.['token'],
    );
    return Buffer.from(token, 'base64').toString();
  }

  it('that cannot be renewed says so while it still works, and heals', async () => {
    await remove(west, roleBindings, { namespace: ns, name: account.name });
    await give(await longLived(), '20m');
    const failed = await settled('it is said', async () => {
      const found = await condition();
      return found?.reason === 'RenewalFailed' ? found : undefined;
    });
    expect(failed.status).to.equal('True');
    expect(failed.message).to.include('[TOKEN_REFUSED]');
    await west.apply(remoteAccessManifests({ account, linkerd: false, boundTokens: true, version: 'test' }));
    await settled('it is renewed', async () => (await condition())?.reason === 'Accepted');
  });

  it('of an account that was deleted is rejected, and mirrors stay', async () => {
    await remove(west, serviceAccounts, { namespace: ns, name: account.name });
    await settled('it is said', async () => (await condition())?.reason === 'CredentialsRejected');
    expect(await findService(east, ns, 'web-west')).not.to.equal(undefined);
    // Made anew it has another UID: only a new token helps.
    await west.apply(remoteAccessManifests({ account, linkerd: false, boundTokens: true, version: 'test' }));
    await give(await requestToken(clientOf(west), account, 600_000), null);
    await settled('it is accepted', async () => (await condition())?.status === 'True');
  });
});
