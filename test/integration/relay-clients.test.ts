import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  RECORD_LABEL,
  RECORD_VALUE,
  shardName,
  shardOf,
  writeEntry,
} from '../../src/api/egress/egress-record.ts';
import { STATS_PAGE } from '../../src/api/answers/stats-report.ts';
import { services, pods, namespaces } from '../../src/api/kubernetes/resource.ts';
import { systemClock } from '../../src/base/clock.ts';
import { KubeNamespaceRules } from '../../src/egress/clients/namespace-rules.ts';
import { PodClients } from '../../src/egress/clients/pod-clients.ts';
import { Egress } from '../../src/egress/egress.ts';
import { RouteSource } from '../../src/egress/routes/route-source.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import { openKubePolicies } from '../../src/gateway/authorization/kube-policies.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { identityFiles, writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { ensureNamespace, change, createAccount, remove } from '../support/cluster-objects.ts';
import { noNames } from '../support/host-names.ts';
import { clientAs } from '../support/account-client.ts';
import { chartAccounts, MULTICLUSTER } from '../support/chart.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { fixedIdentity } from '../support/fixed-identity.ts';
import { LinkspanEgress } from '../support/linkspan-egress.ts';
import { installKinds, linkerdKind, patchPodStatus, runPod } from '../support/linkerd-objects.ts';
import { exportedObjects, installCrd, linkObjects } from '../support/linked-clusters.ts';
import { issuedGateway } from '../support/local-gateway.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { bareCluster } from '../testbed/shared.ts';
import { address } from '../testbed/netns.ts';

const wait = { everyMs: 50 };
const log = createLogger({ name: 'relay', level: process.env['LINKSPAN_TEST_LOG'] ?? 'silent' });
const shared = { clock: systemClock, random: Math.random, log };
const identityOf = (account: string, namespace: string) =>
  `${account}.${namespace}.serviceaccount.identity.linkerd.cluster.local`;
const GATEWAY = identityOf('linkerd-gateway', MULTICLUSTER);
const EGRESS = identityOf('linkspan-egress', MULTICLUSTER);
const POLICY = 'policy.linkerd.io';
const PORT = 12_000;
const [SHOP, OTHER, LATE, DONE] = [11, 12, 13, 14] as const;

interface Answer {
  readonly status: number;
  readonly body: string;
}

// Pods as an API server tells of them: who connects to the egress is whoever has the address now, and whom
// the mirror's and the target's owners let in is decided by that.
describe('an egress that knows the pods of its cluster', () => {
  let cluster: Cluster;
  let egress: Egress;
  let clients: PodClients;
  const closed = closedIn(after);

  before(async () => {
    cluster = closed(await bareCluster('relay-clients'), (one) => one.stop());
    await installCrd(cluster);
    await installKinds(cluster, [
      linkerdKind(POLICY, 'Server', 'servers', 'v1beta3'),
      linkerdKind(POLICY, 'AuthorizationPolicy', 'authorizationpolicies', 'v1alpha1'),
    ]);
    await cluster.apply(await chartAccounts());
    for (const namespace of ['demo', 'mine', 'shop', 'other']) {
      await ensureNamespace(cluster, namespace);
      for (const account of ['default', 'web']) await createAccount(cluster, namespace, account);
    }
    await target();
    await source();
  });

  it('names the pod to the target, whose policy by ServiceAccount decides', async () => {
    await eventually('it is served', async () => (await ask(SHOP)).status === 200, wait);
    expect((await ask(SHOP)).body).to.equal(identityOf('web', 'shop'));
    const refused = await ask(OTHER);
    expect([refused.status, refused.body]).to.satisfy(
      ([status, body]: [number, string]) => status === 403 && body.includes(identityOf('web', 'other')),
    );
  });

  it('lets in whom the mirror names, and nobody else from the moment it says otherwise, on open connections too', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    try {
      expect((await ask(SHOP, agent)).status).to.equal(200);
      await annotate('other');
      const refused = await eventually(
        'it is refused',
        async () => {
          const answer = await ask(SHOP, agent);
          return answer.status === 403 ? answer : undefined;
        },
        wait,
      );
      expect(refused.body).to.include('mine/web-west:80: only clients of some namespaces may use it');
      // The mirror would let it in, the target does not.
      expect((await ask(OTHER)).body).to.include('AuthorizationPolicy');
      await annotate('shop,somewhere');
      await eventually('it is let in again', async () => (await ask(SHOP, agent)).status === 200, wait);
      expect((await ask(OTHER)).body).to.include('only clients of some namespaces');
    } finally {
      agent.destroy();
    }
  });

  it('goes by the Namespace where the mirror says nothing: a mirror that was made again comes without what people had said on it', async () => {
    await allowOnly('nobody-else');
    await remove(cluster, services, { namespace: 'mine', name: 'web-west' });
    await cluster.apply(mirror());
    await eventually('it is refused', async () => (await ask(SHOP)).status === 403, wait);
    expect((await ask(SHOP)).body).to.include('only clients of some namespaces');
    await allowOnly(null);
    await eventually('it is let in', async () => (await ask(SHOP)).status === 200, wait);
    await annotate('shop');
  });

  it('waits for a pod whose address its kubelet tells a moment later', async () => {
    await runPod(cluster, { namespace: 'shop', name: 'late', ip: '', account: 'web' });
    const answer = ask(LATE);
    await patchPodStatus(cluster, 'shop', 'late', { podIP: address(LATE), podIPs: [{ ip: address(LATE) }] });
    expect((await answer).status).to.equal(200);
  });

  it('does not take whoever comes for a pod that has ended, though its status still has the address', async () => {
    await runPod(cluster, { namespace: 'shop', name: 'done', ip: address(DONE), account: 'web' });
    await eventually('it is known', async () => (await ask(DONE)).status === 200, wait);
    await patchPodStatus(cluster, 'shop', 'done', { phase: 'Succeeded' });
    await eventually('nobody is', () => clients.at(address(DONE)).kind === 'unknown', wait);
    expect((await ask(DONE)).body).to.include('no pod of this cluster has the address');
  });

  it('knows the new owner of an address while the last one is being deleted, and after', async () => {
    const web = { namespace: 'shop', name: 'web' };
    await change(cluster, pods, web, { metadata: { finalizers: ['linkspan.dev/test'] } });
    await remove(cluster, pods, web);
    await eventually(
      'it is leaving',
      () => {
        const client = clients.at(address(SHOP));
        return client.kind === 'pod' && client.leaving;
      },
      wait,
    );
    expect((await ask(SHOP)).status).to.equal(200);
    await runPod(cluster, { namespace: 'other', name: 'heir', ip: address(SHOP), account: 'web' });
    await eventually('it is refused', async () => (await ask(SHOP)).body.includes('other/heir'), wait);
    await change(cluster, pods, web, { metadata: { finalizers: null } });
    await eventually(
      'only the heir is there',
      async () => (await ask(SHOP)).body.includes('other/heir'),
      wait,
    );
    expect([...egress.refused.entries()].map(({ mirror, reason }) => [mirror, reason])).to.deep.include([
      'mine/web-west:80',
      'namespace',
    ]);
  });

  it('is what `linkspan egress` is, and ready when it knows them', async () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-egress-'));
    const issuer = await createIssuer(await createAnchor({}), {});
    await writePemFiles(dir, identityFiles(await issueLeaf(issuer, { identity: EGRESS })), { force: true });
    const program = await LinkspanEgress.start({ dir, kubeconfig: cluster.kubeconfigFile });
    try {
      await eventually('it is ready', async () => (await program.ready()) === 200, wait);
      expect(await program.metrics()).to.match(/^linkspan_relay_known_pods [1-9]/m);
      const answer = await fetch(`http://127.0.0.1:${program.admin}/stats?window=1m`);
      const { process: kind, sync = [], complete } = STATS_PAGE.read(await answer.json());
      expect([kind, complete]).to.deep.equal(['egress', false]);
      for (const name of ['configmaps', 'links', 'namespaces', 'pods', 'services']) {
        const { ok, ageS = -1 } = sync.find((one) => one.kind === name) ?? {};
        expect([name, ok]).to.deep.equal([name, true]);
        expect(ageS, name).to.be.at.least(0);
      }
    } finally {
      await program.kill();
      rmSync(dir, { recursive: true });
    }
  });

  /** Asks as the pod at an address would. */
  function ask(from: number, agent?: http.Agent): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const call = http.request(
        {
          host: address(20),
          port: PORT,
          localAddress: address(from),
          agent: agent ?? false,
          timeout: 10_000,
        },
        (response) => {
          let body = '';
          response.setEncoding('utf8').on('data', (text: string) => (body += text));
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
        },
      );
      call.on('timeout', () => call.destroy(new Error('no answer')));
      call.on('error', reject);
      call.end();
    });
  }

  const annotate = (list: string) =>
    change(cluster, services, { namespace: 'mine', name: 'web-west' }, allowed(list));
  const allowOnly = (list: string | null) => change(cluster, namespaces, { name: 'mine' }, allowed(list));
  const allowed = (list: string | null) => ({
    metadata: { annotations: { 'linkspan.dev/allowed-namespaces': list } },
  });

  /** The other side: an export whose Server lets in one ServiceAccount. */
  async function target(): Promise<void> {
    const origin = closed(
      http.createServer((request, response) => response.end(request.headers['l5d-client-id'])),
      (server) => void server.close(),
    );
    await new Promise<void>((resolve) => origin.listen(8080, address(16), resolve));
    await runPod(cluster, { namespace: 'demo', name: 'web', ip: address(16) });
    const of = { group: POLICY, kind: 'Server', name: 'web' };
    await cluster.apply([
      ...exportedObjects('demo', 'web', { addresses: [address(16)] }),
      {
        apiVersion: `${POLICY}/v1beta3`,
        kind: 'Server',
        metadata: { name: 'web', namespace: 'demo' },
        spec: { podSelector: { matchLabels: { app: 'web' } }, port: 'http' },
      },
      {
        apiVersion: `${POLICY}/v1alpha1`,
        kind: 'AuthorizationPolicy',
        metadata: { name: 'only-shop', namespace: 'demo' },
        spec: {
          targetRef: of,
          requiredAuthenticationRefs: [{ kind: 'ServiceAccount', name: 'web', namespace: 'shop' }],
        },
      },
    ]);
  }

  async function source(): Promise<void> {
    const client = closed(new KubeClient(loadAccess({ file: cluster.kubeconfigFile }), shared), (one) =>
      one.close(),
    );
    const targets = closed(openKubeTargets({ ...shared, client, clusterDomain: 'cluster.local' }), (one) =>
      one.close(),
    );
    const setting = { controlNamespace: 'linkerd', trustDomain: 'cluster.local', clusterNetworks: [] };
    const policies = closed(
      openKubePolicies({
        ...shared,
        client,
        setting: () => setting,
        own: undefined,
        targets: true,
        lookMs: 300,
      }),
      (one) => one.close(),
    );
    const gateway = closed(
      await issuedGateway(GATEWAY, targets, { ...shared, policies, trustedRelays: [EGRESS] }),
      (one) => one.close(),
    );
    await eventually('the gateway is ready', () => gateway.gateway.ready.ok, wait);
    await runPod(cluster, { namespace: 'shop', name: 'web', ip: address(SHOP), account: 'web' });
    await runPod(cluster, { namespace: 'other', name: 'web', ip: address(OTHER), account: 'web' });
    await cluster.apply([
      ...linkObjects(cluster, MULTICLUSTER, 'west', {
        gatewayAddress: '127.0.0.1',
        gatewayPort: String(gateway.port),
        gatewayIdentity: GATEWAY,
      }),
      mirror(),
      record(),
    ]);
    // With the rights that the chart gives it, and no others.
    const account = closed(await clientAs(cluster, { name: 'linkspan-egress' }, shared), (one) =>
      one.close(),
    );
    clients = closed(new PodClients({ ...shared, client: account }), (one) => one.stop());
    const namespaceRules = closed(new KubeNamespaceRules({ ...shared, client: account }), (one) =>
      one.stop(),
    );
    egress = closed(
      new Egress({
        ...shared,
        identity: fixedIdentity(await issueLeaf(gateway.issuer, { identity: EGRESS })),
        listenAddress: address(20),
        names: noNames(systemClock),
        clients,
        namespaceRules,
        graceMs: 0,
      }),
      (one) => one.stop(),
    );
    const routes = closed(
      new RouteSource({
        ...shared,
        client: account,
        namespace: MULTICLUSTER,
        onRoutes: (found) => egress.update(found),
      }),
      (one) => one.stop(),
    );
    clients.start();
    namespaceRules.start();
    routes.start();
    await eventually('pods and routes are known', () => clients.ready.ok && egress.ports.length > 0, wait);
  }
});

/** What the egress serves, as the controller writes it (ADR 0024). */
function record(): object {
  const entry = writeEntry({
    mirror: 'mine/web-west',
    port: 80,
    export: 'demo/web',
    link: `${MULTICLUSTER}/west`,
    cluster: 'west',
    target: 'web.demo.svc.cluster.local',
  });
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: shardName(shardOf(PORT)),
      namespace: MULTICLUSTER,
      labels: { [RECORD_LABEL]: RECORD_VALUE },
    },
    data: { [PORT]: entry },
  };
}

/** As the controller writes it. */
function mirror(): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'web-west',
      namespace: 'mine',
      labels: { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'west' },
      annotations: {
        'mirror.linkerd.io/remote-svc-fq-name': 'web.demo.svc.cluster.local',
        'linkspan.dev/data-path': 'relay',
        'linkspan.dev/egress-ports': JSON.stringify({ 80: PORT }),
      },
    },
    spec: { ports: [{ name: 'http', port: 80, appProtocol: 'http' }] },
  };
}
