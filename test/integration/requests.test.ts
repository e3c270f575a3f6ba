import { expect } from 'chai';
import { once } from 'node:events';
import http2 from 'node:http2';
import { services, customResourceDefinitions } from '../../src/api/kubernetes/resource.ts';
import { systemClock } from '../../src/base/clock.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import { ensureNamespace, change, remove } from '../support/cluster-objects.ts';
import { captureLog } from '../support/captured-log.ts';
import { closedIn } from '../support/closed-in.ts';
import { installKinds, linkerdKind } from '../support/linkerd-objects.ts';
import { clientAs } from '../support/account-client.ts';
import { chartAccounts } from '../support/chart.ts';
import { eventually } from '../support/eventually.ts';
import { exportedObjects } from '../support/linked-clusters.ts';
import { issuedGateway } from '../support/local-gateway.ts';
import type { MeshClient } from '../support/mesh-client.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { bareCluster } from '../testbed/shared.ts';
import { address } from '../testbed/netns.ts';

const wait = { everyMs: 50 };
const HOST = 'web.demo.svc.cluster.local';

const SERVICE_PROFILE = linkerdKind('linkerd.io', 'ServiceProfile', 'serviceprofiles', 'v1alpha2');

/**
 * Who sets retries at the Service that is mirrored expects them for clients of every cluster, at the next
 * request, as the account of the manifest: an edit that takes effect at a restart is one that is made in vain
 * in a bad hour.
 */
describe('retries and timeouts that a cluster says', () => {
  let cluster: Cluster;
  let client: MeshClient;
  const { log, lines } = captureLog();
  const said = () => lines.flatMap(({ problems }) => (problems as string[] | undefined) ?? []).join('\n');
  const shared = { clock: systemClock, random: Math.random, log };
  /** Requests that came, by path. */
  const seen = new Map<string, number>();
  let asked = 0;
  const closed = closedIn(after);

  before(async () => {
    cluster = closed(await bareCluster('requests'), (one) => one.stop());
    await ensureNamespace(cluster, 'demo');
    await cluster.apply(await chartAccounts());
    await cluster.apply(exportedObjects('demo', 'web', { addresses: [address(19)] }));
    const server = http2.createServer(({ url }, response) => {
      const nth = (seen.get(url) ?? 0) + 1;
      seen.set(url, nth);
      if (url.startsWith('/silence')) return;
      response.statusCode = nth > 1 ? 200 : 503;
      response.end();
    });
    server.listen(8080, address(19));
    await once(server, 'listening');
    closed(server, (one) => one.close());

    const kube = closed(await clientAs(cluster, { name: 'linkerd-gateway' }, shared), (one) => one.close());
    const targets = closed(
      openKubeTargets({ ...shared, client: kube, clusterDomain: 'cluster.local', profileLookMs: 300 }),
      (one) => one.close(),
    );
    const gateway = closed(await issuedGateway('gateway.west', targets, shared), (one) => one.close());
    client = await gateway.clientOf('client.east');
    await eventually('the export is known', async () => (await first()) === 503, wait);
  });

  it('begin with an annotation of the Service, on the connection that is open', async () => {
    await annotate({ 'retry.linkerd.io/http': '5xx', 'timeout.linkerd.io/request': '400ms' });
    await eventually('a 503 is asked for again', async () => (await first()) === 200, wait);
    expect(await status('/silence/a')).to.equal(504);
  });

  it('survive an annotation that is wrong, which the log names', async () => {
    await annotate({ 'timeout.linkerd.io/request': 'soon' });
    await eventually(
      'it is said',
      () =>
        Promise.resolve(said().includes('timeout.linkerd.io/request: "soon" is not valid, it is left out')),
      wait,
    );
    expect(await first()).to.equal(200);
  });

  it('end with the annotation', async () => {
    await annotate({ 'retry.linkerd.io/http': null, 'timeout.linkerd.io/request': null });
    await eventually('a 503 is an answer', async () => (await first()) === 503, wait);
  });

  it('are those of a ServiceProfile when the kind is installed, instead of the annotations', async () => {
    await annotate({ 'retry.linkerd.io/http': '5xx' });
    await eventually('the annotation holds', async () => (await first()) === 200, wait);
    await installKinds(cluster, [SERVICE_PROFILE]);
    await profile({ name: 'good', condition: { pathRegex: '/good/.*' }, isRetryable: true });
    await eventually('the annotation does not hold', async () => (await first()) === 503, wait);
    expect(await first('/good')).to.equal(200);
  });

  it('follow an edit of the profile, and leave out a route that is wrong', async () => {
    await profile(
      { name: 'wrong', condition: { pathRegex: '/(' }, isRetryable: true },
      { name: 'slow', condition: { pathRegex: '/silence/.*' }, timeout: '200ms' },
    );
    await eventually('another route holds', async () => (await first('/good')) === 503, wait);
    expect(await status('/silence/b')).to.equal(504);
    expect(said()).to.contain('spec.routes[0] is not valid');
  });

  it('are the annotations again when the profile is gone, and when its kind is', async () => {
    await cluster.kubectl('-n', 'demo', 'delete', 'serviceprofiles.linkerd.io', '--all');
    await eventually('the annotation holds', async () => (await first()) === 200, wait);
    await profile({ name: 'other', condition: { pathRegex: '/none' } });
    await eventually('it does not', async () => (await first()) === 503, wait);
    await remove(cluster, customResourceDefinitions, { name: 'serviceprofiles.linkerd.io' });
    await eventually('it does again', async () => (await first()) === 200, wait);
  });

  const status = async (at: string) => (await client.request('http2', HOST, { path: at })).status;
  /** The status for a page that nobody has asked for. */
  const first = (under = '/page') => status(`${under}/${++asked}`);
  const annotate = (annotations: Readonly<Record<string, string | null>>) =>
    change(cluster, services, { namespace: 'demo', name: 'web' }, { metadata: { annotations } });
  const profile = (...routes: object[]) =>
    cluster.apply([
      {
        apiVersion: 'linkerd.io/v1alpha2',
        kind: 'ServiceProfile',
        metadata: { name: HOST, namespace: 'demo' },
        spec: { routes },
      },
    ]);
});
