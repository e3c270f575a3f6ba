import { expect } from 'chai';
import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import net from 'node:net';
import type tls from 'node:tls';
import { pods } from '../../src/api/kubernetes/resource.ts';
import { systemClock } from '../../src/base/clock.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import type { Gateway } from '../../src/gateway/gateway.ts';
import { openKubePolicies } from '../../src/gateway/authorization/kube-policies.ts';
import type { PolicySource } from '../../src/gateway/authorization/policy-source.ts';
import { meshNameOf } from '../../src/identity/names/trust-domain.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { ensureNamespace, change, createAccount } from '../support/cluster-objects.ts';
import { closedIn } from '../support/closed-in.ts';
import { installKinds, linkerdKind, runPod } from '../support/linkerd-objects.ts';
import { clientAs } from '../support/account-client.ts';
import { chartAccounts, MULTICLUSTER } from '../support/chart.ts';
import { eventually } from '../support/eventually.ts';
import { exportedObjects } from '../support/linked-clusters.ts';
import { issuedGateway } from '../support/local-gateway.ts';
import type { MeshClient } from '../support/mesh-client.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { bareCluster } from '../testbed/shared.ts';
import { address } from '../testbed/netns.ts';

const wait = { everyMs: 50 };
const log = createLogger({ name: 'policy', level: process.env['LINKSPAN_TEST_LOG'] ?? 'silent' });
const shared = { clock: systemClock, random: Math.random, log };
const identityOf = (account: string, namespace: string) =>
  `${account}.${namespace}.serviceaccount.identity.linkerd.cluster.local`;
const GATEWAY = identityOf('linkerd-gateway', MULTICLUSTER);
const FRONT = identityOf('front', 'shop');
const OTHER = identityOf('other', 'shop');
const GROUP = 'policy.linkerd.io';

const CRDS = [
  linkerdKind(GROUP, 'Server', 'servers', 'v1beta3'),
  linkerdKind(GROUP, 'ServerAuthorization', 'serverauthorizations', 'v1beta1'),
  linkerdKind(GROUP, 'AuthorizationPolicy', 'authorizationpolicies', 'v1alpha1'),
  linkerdKind(GROUP, 'MeshTLSAuthentication', 'meshtlsauthentications', 'v1alpha1'),
  linkerdKind(GROUP, 'NetworkAuthentication', 'networkauthentications', 'v1alpha1'),
];

const object = (kind: string, version: string, namespace: string, name: string, spec: object) => ({
  apiVersion: `${GROUP}/${version}`,
  kind,
  metadata: { name, namespace },
  spec,
});
const server = (namespace: string, name: string, app: string, port: number | string) =>
  object('Server', 'v1beta3', namespace, name, { podSelector: { matchLabels: { app } }, port });
const meshTls = (namespace: string, name: string, ...identities: string[]) =>
  object('MeshTLSAuthentication', 'v1alpha1', namespace, name, { identities });
const network = (namespace: string, name: string, ...cidrs: string[]) =>
  object('NetworkAuthentication', 'v1alpha1', namespace, name, {
    networks: cidrs.map((cidr) => ({ cidr })),
  });
const policy = (namespace: string, name: string, of: string, ...refs: [kind: string, name: string][]) =>
  object('AuthorizationPolicy', 'v1alpha1', namespace, name, {
    targetRef: { group: GROUP, kind: 'Server', name: of },
    requiredAuthenticationRefs: refs.map(([kind, ref]) => ({ group: GROUP, kind, name: ref })),
  });

/**
 * Who may use what in a cluster with Linkerd, from the first CRD to the last, as the account of the manifest:
 * the gateway is where the client is still known.
 */
describe("a gateway in a cluster with Linkerd's policies", () => {
  let cluster: Cluster;
  let gateway: Gateway;
  let policies: PolicySource;
  let front: MeshClient;
  let other: MeshClient;
  const closed = closedIn(after);

  before(async () => {
    cluster = closed(await bareCluster('policy'), (one) => one.stop());
    await ensureNamespace(cluster, 'demo');
    await cluster.apply([
      ...(await chartAccounts()),
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'nobody', namespace: MULTICLUSTER } },
    ]);
    await createAccount(cluster, 'demo', 'default');
    const services = [
      ['web', 16],
      ['db', 17],
      ['queue', 18],
    ] as const;
    for (const [name, at] of services) {
      await runPod(cluster, { namespace: 'demo', name, ip: address(at) });
      await cluster.apply(exportedObjects('demo', name, { addresses: [address(at)] }));
    }
    await runPod(cluster, {
      namespace: MULTICLUSTER,
      name: 'gw-1',
      app: 'linkerd-gateway',
      ip: address(15),
      account: 'linkerd-gateway',
    });
    const web = createHttp2Server((_, response) => response.end('web'));
    await listen(web, address(16));
    for (const at of [17, 18]) await listen(rawEcho(), address(at));

    const client = closed(await clientAs(cluster, { name: 'linkerd-gateway' }, shared), (one) => one.close());
    const targets = closed(openKubeTargets({ ...shared, client, clusterDomain: 'cluster.local' }), (one) =>
      one.close(),
    );
    policies = closed(
      openKubePolicies({
        ...shared,
        client,
        setting: () => ({
          ...(meshNameOf(GATEWAY) ?? { controlNamespace: '', trustDomain: '' }),
          clusterNetworks: ['10.0.0.0/8'],
        }),
        own: { namespace: MULTICLUSTER, name: 'gw-1', port: 4143 },
        targets: true,
        lookMs: 300,
      }),
      (one) => one.close(),
    );
    const started = closed(await issuedGateway(GATEWAY, targets, { ...shared, policies }), (one) =>
      one.close(),
    );
    gateway = started.gateway;
    front = await started.clientOf(FRONT);
    other = await started.clientOf(OTHER);
    await eventually('the gateway is ready', () => gateway.ready.ok, wait);
  });

  it('lets everybody in where there are no such policies', async () => {
    await eventually('exports are known', async () => (await status(front)) === 200, wait);
    expect(await status(other)).to.equal(200);
  });

  it('notices that they are installed, and refuses whom they do not name, on the connection that is open', async () => {
    await installKinds(cluster, CRDS);
    await cluster.apply([
      meshTls('demo', 'front', FRONT),
      policy('demo', 'only-front', 'web', ['MeshTLSAuthentication', 'front']),
      server('demo', 'web', 'web', 'http'),
    ]);
    await eventually('the other is refused', async () => (await status(other)) === 403, wait);
    expect(await body(other)).to.contain(
      `web.demo:80: AuthorizationPolicy demo/only-front does not allow client ${OTHER} from 127.0.0.1`,
    );
    expect(await status(front)).to.equal(200);
    expect([...gateway.counters.authorizations.keys()]).to.include.members([
      `http\tallow\t${FRONT}\tpolicy.linkerd.io/authorizationpolicy/only-front`,
      `http\tdeny\t${OTHER}\tpolicy.linkerd.io/server/web`,
    ]);
  });

  it('ends a raw connection when the policy that let it in goes; others live on', async () => {
    await cluster.apply([
      policy('demo', 'db-front', 'db', ['MeshTLSAuthentication', 'front']),
      policy('demo', 'queue-front', 'queue', ['MeshTLSAuthentication', 'front']),
      server('demo', 'db', 'db', 8080),
      server('demo', 'queue', 'queue', 8080),
    ]);
    await eventually('they hold', async () => !(await echoes(other, 'queue')), wait);
    const [ended, lives] = await Promise.all([tunnel(front, 'db'), tunnel(front, 'queue')]);
    expect([await echo(ended), await echo(lives)]).to.deep.equal(['ping', 'ping']);
    const gone = once(ended.resume(), 'close').catch(({ code }: NodeJS.ErrnoException) => code);
    await cluster.kubectl('-n', 'demo', 'delete', 'authorizationpolicies.policy.linkerd.io', 'db-front');
    // By a reset, which nobody takes for a proper end.
    expect(await gone).to.equal('ECONNRESET');
    expect(await echo(lives)).to.equal('ping');
    expect(await echoes(front, 'db')).to.equal(false);
    lives.destroy();
  });

  it("holds clients to what linkerd-multicluster installs for the gateway, by the client's address", async () => {
    const install = (...cidrs: string[]) =>
      cluster.apply([
        meshTls(MULTICLUSTER, 'any-meshed', '*'),
        network(MULTICLUSTER, 'source-cluster', ...cidrs),
        policy(
          MULTICLUSTER,
          'linkerd-gateway',
          'linkerd-gateway',
          ['MeshTLSAuthentication', 'any-meshed'],
          ['NetworkAuthentication', 'source-cluster'],
        ),
        server(MULTICLUSTER, 'linkerd-gateway', 'linkerd-gateway', 'linkerd-proxy'),
      ]);
    await install('192.0.2.0/24');
    await eventually('nobody of another network comes in', async () => (await status(front)) === 403, wait);
    expect(await body(front)).to.contain(
      `web.demo:80: AuthorizationPolicy ${MULTICLUSTER}/linkerd-gateway does not allow client ${FRONT} from 127.0.0.1`,
    );
    await install('0.0.0.0/0', '::/0');
    await eventually('all networks may', async () => (await status(front)) === 200, wait);
    expect(await status(other)).to.equal(403);
  });

  it('goes by the labels that pods have now', async () => {
    await change(
      cluster,
      pods,
      { namespace: 'demo', name: 'web' },
      { metadata: { labels: { app: 'public' } } },
    );
    await eventually('no Server selects the pod', async () => (await status(other)) === 200, wait);
    await change(cluster, pods, { namespace: 'demo', name: 'web' }, { metadata: { labels: { app: 'web' } } });
    await eventually('one does', async () => (await status(other)) === 403, wait);
  });

  it('goes by what it knew last while the API server is away', async () => {
    cluster.signal('kube-apiserver', 'SIGSTOP');
    try {
      expect(await status(other)).to.equal(403);
      expect(await status(front)).to.equal(200);
      expect(gateway.ready.ok).to.equal(true);
    } finally {
      cluster.signal('kube-apiserver', 'SIGCONT');
    }
    await cluster.restart('kube-apiserver');
    expect(await status(other)).to.equal(403);
    await cluster.apply([meshTls('demo', 'front', FRONT, OTHER)]);
    await eventually('it follows again', async () => (await status(other)) === 200, wait);
    await cluster.apply([meshTls('demo', 'front', FRONT)]);
    await eventually('it follows again', async () => (await status(other)) === 403, wait);
  });

  it('lets everybody in again when they are taken away', async () => {
    await cluster.kubectl('delete', 'crd', '--all', '--wait=false');
    await eventually('no rule is left', async () => (await status(other)) === 200, wait);
    expect(await echoes(other, 'db')).to.equal(true);
    expect(gateway.ready.ok).to.equal(true);
  });

  it('refuses everybody when it may not read them', async () => {
    const client = closed(await clientAs(cluster, { name: 'nobody' }, shared), (one) => one.close());
    await installKinds(cluster, CRDS);
    const blind = closed(
      openKubePolicies({
        ...shared,
        client,
        setting: () => ({ controlNamespace: 'linkerd', trustDomain: 'cluster.local', clusterNetworks: [] }),
        own: undefined,
        targets: true,
        lookMs: 300,
      }),
      (one) => one.close(),
    );
    await eventually('it says why', () => blind.ready.reason.includes('KUBE_FORBIDDEN'), wait);
    expect(blind.ready.ok).to.equal(false);
    const spec = { name: 'web.demo.svc.cluster.local', port: 80, endpoints: [] };
    expect(blind.verdict(spec, 'demo', { identity: FRONT, address: '127.0.0.1' }).allowed).to.equal(false);
  });

  const host = (service: string) => `${service}.demo.svc.cluster.local`;
  const ask = (client: MeshClient) => client.request('http2', host('web'), { path: '/' });
  const status = async (client: MeshClient) => (await ask(client)).status;
  const body = async (client: MeshClient) => (await ask(client)).body.toString();
  const tunnel = (client: MeshClient, service: string) => client.connect(host(service), 80, 'opaque');

  async function echo(socket: tls.TLSSocket): Promise<string> {
    socket.write('ping');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    return answer.toString();
  }

  /** Whether a new raw connection carries bytes, rather than being ended. */
  async function echoes(client: MeshClient, service: string): Promise<boolean> {
    const socket = await tunnel(client, service);
    const ended = once(socket, 'end').then(() => false);
    const answered = echo(socket).then(
      () => true,
      () => false,
    );
    const answer = await Promise.race([ended, answered]);
    socket.destroy();
    return answer;
  }

  async function listen(listener: net.Server, at: string): Promise<void> {
    listener.listen(8080, at);
    await once(listener, 'listening');
    closed(listener, (one) => one.close());
  }
});

function rawEcho(): net.Server {
  return net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
}
