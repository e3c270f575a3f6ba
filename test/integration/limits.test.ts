import { expect } from 'chai';
import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import { services } from '../../src/api/kubernetes/resource.ts';
import { systemClock } from '../../src/base/clock.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import type { Gateway } from '../../src/gateway/gateway.ts';
import { openKubePolicies } from '../../src/gateway/authorization/kube-policies.ts';
import { ensureNamespace, change, createAccount, removeAll } from '../support/cluster-objects.ts';
import { captureLog } from '../support/captured-log.ts';
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
const captured = captureLog();
const shared = { clock: systemClock, random: Math.random, log: captured.log };
const identityOf = (account: string, namespace: string) =>
  `${account}.${namespace}.serviceaccount.identity.linkerd.cluster.local`;
const GATEWAY = identityOf('linkerd-gateway', MULTICLUSTER);
const GROUP = 'policy.linkerd.io';
const TOTAL = 'linkspan.dev/rate-limit';
const FAULTS = 'linkspan.dev/faults';

const CRDS = [
  linkerdKind(GROUP, 'Server', 'servers', 'v1beta3'),
  linkerdKind(GROUP, 'HTTPLocalRateLimitPolicy', 'httplocalratelimitpolicies', 'v1alpha1'),
];

/**
 * Limits and drills are begun and ended by people with kubectl: what they write holds from the next request
 * on, without a restart, with the account of the manifest.
 */
describe('rate limits and faults of exported Services', () => {
  let cluster: Cluster;
  let gateway: Gateway;
  let front: MeshClient;
  let other: MeshClient;
  const closed = closedIn(after);

  before(async () => {
    cluster = closed(await bareCluster('limits'), (one) => one.stop());
    await ensureNamespace(cluster, 'demo');
    await cluster.apply(await chartAccounts());
    await createAccount(cluster, 'demo', 'default');
    await cluster.apply(exportedObjects('demo', 'web', { addresses: [address(16)] }));
    await cluster.apply(exportedObjects('demo', 'api', { addresses: [address(16)] }));
    await runPod(cluster, { namespace: 'demo', name: 'web', ip: address(16) });
    const web = createHttp2Server((_, response) => response.end('web'));
    web.listen(8080, address(16));
    await once(web, 'listening');
    closed(web, (one) => one.close());

    const client = closed(await clientAs(cluster, { name: 'linkerd-gateway' }, shared), (one) => one.close());
    const targets = closed(
      openKubeTargets({ ...shared, client, clusterDomain: 'cluster.local', faultInjection: true }),
      (one) => one.close(),
    );
    const policies = closed(
      openKubePolicies({
        ...shared,
        client,
        setting: () => ({ controlNamespace: 'linkerd', trustDomain: 'cluster.local', clusterNetworks: [] }),
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
    front = await started.clientOf(identityOf('front', 'shop'));
    other = await started.clientOf(identityOf('other', 'shop'));
    await eventually('exports are known', async () => (await status(front)) === 200, wait);
  });

  it('limits by annotation, from when it is written until it is taken away', async () => {
    await annotate(TOTAL, '1/h burst 3');
    await eventually('the limit holds', async () => (await status(front)) === 429, wait);
    const answer = await ask(other);
    expect(answer.status).to.equal(429);
    expect(answer.body.toString()).to.equal(
      'web.demo.svc.cluster.local:80: over the rate limit of core/service/web for all clients together (1 an hour, 3 at once)\n',
    );
    await annotate(TOTAL, '1/h burst 50');
    await eventually('the new limit holds', async () => (await status(front)) === 200, wait);
    await annotate(TOTAL, 'unlimited');
    await eventually(
      'it cannot be read',
      async () => {
        for (let i = 0; i < 60; i++) if ((await status(front)) !== 200) return false;
        return true;
      },
      wait,
    );
    await eventually(
      'the log says so',
      () => captured.lines.some((line) => JSON.stringify(line).includes('\\"unlimited\\" is not a rate')),
      wait,
    );
    await annotate(TOTAL, undefined);
  });

  it('injects faults by annotation, changes them, and ends by itself', async () => {
    const until = (ms: number) => new Date(Date.now() + ms).toISOString();
    await annotate(FAULTS, JSON.stringify([{ until: until(60_000), abort: { status: 503 } }]));
    await eventually('requests fail', async () => (await status(front)) === 503, wait);
    expect((await ask(front)).headers['linkspan-injected-fault']).to.equal('abort');
    await annotate(
      FAULTS,
      JSON.stringify([{ until: until(60_000), headers: { 'x-drill': 'yes' }, abort: { status: 500 } }]),
    );
    await eventually('only those of the drill do', async () => (await status(front)) === 200, wait);
    expect((await ask(front, 'web', { 'x-drill': 'yes' })).status).to.equal(500);
    await annotate(FAULTS, undefined);
    await eventually(
      'none does',
      async () => (await ask(front, 'web', { 'x-drill': 'yes' })).status === 200,
      wait,
    );

    let end = 0;
    const fails = async () => {
      // Whoever stands still for three seconds misses it, and writes another one.
      if (Date.now() >= end) {
        end = Date.now() + 3000;
        const rule = { until: new Date(end).toISOString(), abort: { status: 503 } };
        await annotate(FAULTS, JSON.stringify([rule]));
      }
      return (await status(front)) === 503;
    };
    await eventually('requests fail', fails, wait);
    await eventually('it is over', async () => (await status(front)) === 200, wait);
    expect(Date.now()).to.be.at.least(end);
    await annotate(FAULTS, undefined);
  });

  it("limits by Linkerd's policy of the Server behind Services, each identity and all Services together", async () => {
    await installKinds(cluster, CRDS);
    await cluster.apply([
      object('Server', 'v1beta3', 'web', {
        podSelector: { matchLabels: { app: 'web' } },
        port: 'http',
        accessPolicy: 'all-unauthenticated',
      }),
      limit({ identity: { requestsPerSecond: 1 } }),
    ]);
    await eventually('the limit holds', async () => (await burst(front)).includes(429), wait);
    const text = (await refused(front)).body.toString();
    expect(text).to.match(
      /over the rate limit of policy\.linkerd\.io\/httplocalratelimitpolicy\/web for each client \(1 a second, 1 at once\)/,
    );
    await eventually(
      'another identity has its own',
      async () => {
        await refused(front);
        return (await status(other)) === 200;
      },
      wait,
    );
    await eventually(
      'one limit for both Services',
      async () => {
        await refused(front);
        return (await status(front, 'api')) === 429;
      },
      wait,
    );
  });

  it('follows changes of the policy, overrides, and its removal', async () => {
    await cluster.apply(
      limit({
        identity: { requestsPerSecond: 1 },
        overrides: [
          {
            requestsPerSecond: 1000,
            clientRefs: [{ kind: 'ServiceAccount', name: 'front', namespace: 'shop' }],
          },
        ],
      }),
    );
    await eventually('the one that is named may', async () => !(await burst(front)).includes(429), wait);
    expect(await burst(other)).to.include(429);
    await cluster.kubectl('-n', 'demo', 'delete', `httplocalratelimitpolicies.${GROUP}`, 'web');
    await eventually('nobody is limited', async () => !(await burst(other)).includes(429), wait);
    expect([...gateway.counters.rateLimits.keys()]).to.include(
      'web.demo.svc.cluster.local:80\tpolicy.linkerd.io/httplocalratelimitpolicy/web\tidentity',
    );
    await removeAll(cluster, services, 'demo');
  });

  const ask = (client: MeshClient, service = 'web', headers: Record<string, string> = {}) =>
    client.request('http2', `${service}.demo.svc.cluster.local`, { path: '/', headers });
  const status = async (client: MeshClient, service?: string) => (await ask(client, service)).status;
  /** Statuses of ten requests at once. */
  const burst = async (client: MeshClient) => Promise.all(Array.from({ length: 10 }, () => status(client)));
  /** Asks until it is refused. */
  const refused = (client: MeshClient) =>
    eventually(
      'a refusal',
      async () => {
        const answer = await ask(client);
        return answer.status === 429 ? answer : undefined;
      },
      { everyMs: 0 },
    );
  const annotate = (key: string, value: string | undefined) => {
    const annotations = { [key]: value ?? null };
    return change(cluster, services, { namespace: 'demo', name: 'web' }, { metadata: { annotations } });
  };
  const object = (kind: string, version: string, name: string, spec: object) => ({
    apiVersion: `${GROUP}/${version}`,
    kind,
    metadata: { name, namespace: 'demo' },
    spec,
  });
  const limit = (spec: object) =>
    object('HTTPLocalRateLimitPolicy', 'v1alpha1', 'web', {
      targetRef: { group: GROUP, kind: 'Server', name: 'web' },
      ...spec,
    });
});
