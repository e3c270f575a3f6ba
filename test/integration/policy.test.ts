import { expect } from 'chai';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttp2Server } from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import type tls from 'node:tls';
import { parseAllDocuments } from 'yaml';
import { systemClock } from '../../src/base/clock.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import { Gateway } from '../../src/gateway/gateway.ts';
import { openKubePolicies } from '../../src/gateway/policy/kube-policies.ts';
import type { PolicySource } from '../../src/gateway/policy/source.ts';
import { meshNameOf } from '../../src/gateway/trust-domain.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/issue.ts';
import { loadAccess } from '../../src/kube/access.ts';
import { staticAuth } from '../../src/kube/auth.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { eventually } from '../support/eventually.ts';
import { exportedObjects } from '../support/linked-clusters.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { type Cluster, startCluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';

const wait = { timeoutMs: 20_000, everyMs: 50 };
const log = createLogger({ name: 'policy', level: process.env['LINKSPAN_TEST_LOG'] ?? 'silent' });
const shared = { clock: systemClock, random: Math.random, log };
const MULTICLUSTER = 'linkerd-multicluster';
const identityOf = (account: string, namespace: string) =>
  `${account}.${namespace}.serviceaccount.identity.linkerd.cluster.local`;
const GATEWAY = identityOf('linkerd-gateway', MULTICLUSTER);
const FRONT = identityOf('front', 'shop');
const OTHER = identityOf('other', 'shop');
const GROUP = 'policy.linkerd.io';

/** What Linkerd's chart of CRDs installs, with the fields that matter here. */
function crd(group: string, kind: string, plural: string, version: string): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              required: ['spec'],
              properties: { spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
            },
          },
        },
      ],
    },
  };
}
const CRDS = [
  crd(GROUP, 'Server', 'servers', 'v1beta3'),
  crd(GROUP, 'ServerAuthorization', 'serverauthorizations', 'v1beta1'),
  crd(GROUP, 'AuthorizationPolicy', 'authorizationpolicies', 'v1alpha1'),
  crd(GROUP, 'MeshTLSAuthentication', 'meshtlsauthentications', 'v1alpha1'),
  crd(GROUP, 'NetworkAuthentication', 'networkauthentications', 'v1alpha1'),
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

/** Who may use what in a cluster with Linkerd, from the first CRD to the last, as the account of the manifest: the gateway is where the client is still known. */
describe("a gateway in a cluster with Linkerd's policies", () => {
  let cluster: Cluster;
  let gateway: Gateway;
  let policies: PolicySource;
  let front: MeshClient;
  let other: MeshClient;
  const closing: (() => Promise<unknown>)[] = [];
  const closed = <T>(thing: T, close: (thing: T) => unknown): T => {
    closing.unshift(async () => close(thing));
    return thing;
  };

  before(async () => {
    cluster = closed(await startCluster({ name: 'policy' }), (one) => one.stop());
    await cluster.kubectl('create', 'namespace', 'demo');
    await cluster.apply(rbac());
    await cluster.kubectl('-n', 'demo', 'create', 'serviceaccount', 'default');
    const services = [
      ['web', 16],
      ['db', 17],
      ['queue', 18],
    ] as const;
    for (const [name, at] of services) {
      await pod('demo', name, name, address(at));
      await cluster.apply(exportedObjects('demo', name, { addresses: [address(at)] }));
    }
    await pod(MULTICLUSTER, 'gw-1', 'linkerd-gateway', address(15), 'linkerd-gateway');
    const web = createHttp2Server((_, response) => response.end('web'));
    await listen(web, address(16));
    for (const at of [17, 18]) await listen(rawEcho(), address(at));

    const issuer = await createIssuer(await createAnchor({}), {});
    const [own, frontLeaf, otherLeaf] = await Promise.all(
      [GATEWAY, FRONT, OTHER].map((identity) => issueLeaf(issuer, { identity })),
    );
    if (own === undefined || frontLeaf === undefined || otherLeaf === undefined) throw new Error('no leaf');
    const client = closed(await clientAs('linkerd-gateway'), (one) => one.close());
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
    gateway = closed(
      new Gateway({
        ...shared,
        listen: { host: '127.0.0.1', port: 0 },
        identity: {
          current: () => own,
          subscribe: () => () => undefined,
          ready: { ok: true, reason: '' },
          close: () => Promise.resolve(),
        },
        targets,
        policies,
        graceMs: 0,
      }),
      (one) => one.stop(),
    );
    const [{ port }] = await gateway.start();
    const clientOf = (identity: typeof own) =>
      closed(new MeshClient({ port, gatewayIdentity: GATEWAY, identity }), (one) => one.close());
    front = clientOf(frontLeaf);
    other = clientOf(otherLeaf);
    await eventually('the gateway is ready', () => gateway.ready.ok, wait);
  });

  after(async () => {
    for (const close of closing) await close();
  });

  it('lets everybody in where there are no such policies', async () => {
    await eventually('exports are known', async () => (await status(front)) === 200, wait);
    expect(await status(other)).to.equal(200);
  });

  it('notices that they are installed, and refuses whom they do not name, on the connection that is open', async () => {
    await cluster.apply(CRDS);
    await cluster.kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=20s');
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
    expect([...gateway.accounts.authorizations.keys()]).to.include.members([
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
    const gone = once(ended.resume(), 'end');
    await cluster.kubectl('-n', 'demo', 'delete', 'authorizationpolicies.policy.linkerd.io', 'db-front');
    await gone;
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
    await cluster.kubectl('-n', 'demo', 'label', 'pod', 'web', 'app=public', '--overwrite');
    await eventually('no Server selects the pod', async () => (await status(other)) === 200, wait);
    await cluster.kubectl('-n', 'demo', 'label', 'pod', 'web', 'app=web', '--overwrite');
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
    await cluster.kubectl('delete', 'crd', '--all');
    await eventually('no rule is left', async () => (await status(other)) === 200, wait);
    expect(await echoes(other, 'db')).to.equal(true);
    expect(gateway.ready.ok).to.equal(true);
  });

  it('refuses everybody when it may not read them', async () => {
    const client = closed(await clientAs('nobody'), (one) => one.close());
    await cluster.apply(CRDS);
    await cluster.kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=20s');
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

  /** A pod that a kubelet would run. */
  async function pod(
    namespace: string,
    name: string,
    app: string,
    ip: string,
    account = 'default',
  ): Promise<void> {
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, labels: { app } },
      spec: {
        serviceAccountName: account,
        securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: 'main',
            image: 'none',
            ports: [{ name: 'http', containerPort: 8080 }],
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          },
        ],
      },
    });
    const text = JSON.stringify({ status: { phase: 'Running', podIP: ip, podIPs: [{ ip }] } });
    const command = ['patch', 'pod', name, '--subresource=status', '--type=merge', '-p', text];
    await cluster.kubectl('-n', namespace, ...command);
  }

  /** A client as a service account of the multicluster namespace. */
  async function clientAs(account: string): Promise<KubeClient> {
    const token = await cluster.kubectl('-n', MULTICLUSTER, 'create', 'token', account);
    const access = {
      ...loadAccess({ file: cluster.kubeconfigFile }),
      cert: undefined,
      key: undefined,
      auth: staticAuth(`Bearer ${token.trim()}`),
    };
    return new KubeClient(access, shared);
  }
});

/** Namespace, accounts and rules of the manifest that people apply, and an account that may do nothing. */
function rbac(): object[] {
  const text = readFileSync(path.join(import.meta.dirname, '../../manifests/target.yaml'), 'utf8');
  const kinds = new Set(['Namespace', 'ServiceAccount', 'ClusterRole', 'ClusterRoleBinding']);
  const objects = parseAllDocuments(text).map((document) => document.toJS() as { kind: string });
  return [
    ...objects.filter(({ kind }) => kinds.has(kind)),
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'nobody', namespace: MULTICLUSTER } },
  ];
}

function rawEcho(): net.Server {
  return net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
}
