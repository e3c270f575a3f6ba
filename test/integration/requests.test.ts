import { expect } from 'chai';
import { once } from 'node:events';
import http2 from 'node:http2';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { systemClock } from '../../src/base/clock.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import { Gateway } from '../../src/gateway/gateway.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/issue.ts';
import { loadAccess } from '../../src/kube/access.ts';
import { staticAuth } from '../../src/kube/auth.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { captureLog } from '../support/captured-log.ts';
import { eventually } from '../support/eventually.ts';
import { exportedObjects } from '../support/linked-clusters.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { type Cluster, startCluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';

const wait = { timeoutMs: 20_000, everyMs: 50 };
const MULTICLUSTER = 'linkerd-multicluster';
const HOST = 'web.demo.svc.cluster.local';

/** What Linkerd's chart installs, with the fields that matter here. */
const CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'serviceprofiles.linkerd.io' },
  spec: {
    group: 'linkerd.io',
    scope: 'Namespaced',
    names: { kind: 'ServiceProfile', plural: 'serviceprofiles', singular: 'serviceprofile' },
    versions: [
      {
        name: 'v1alpha2',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: { spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
          },
        },
      },
    ],
  },
};

/** Who sets retries at the Service that is mirrored expects them for clients of every cluster, at the next request, as the account of the manifest: an edit that takes effect at a restart is one that is made in vain in a bad hour. */
describe('retries and timeouts that a cluster says', () => {
  let cluster: Cluster;
  let client: MeshClient;
  const { log, lines } = captureLog();
  const said = () => lines.flatMap(({ problems }) => (problems as string[] | undefined) ?? []).join('\n');
  const shared = { clock: systemClock, random: Math.random, log };
  /** Requests that came, by path. */
  const seen = new Map<string, number>();
  let asked = 0;
  const closing: (() => Promise<unknown>)[] = [];
  const closed = <T>(thing: T, close: (thing: T) => unknown): T => {
    closing.unshift(async () => close(thing));
    return thing;
  };

  before(async () => {
    cluster = closed(await startCluster({ name: 'requests' }), (one) => one.stop());
    await cluster.kubectl('create', 'namespace', 'demo');
    await cluster.apply(rbac());
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

    const issuer = await createIssuer(await createAnchor({}), {});
    const own = await issueLeaf(issuer, { identity: 'gateway.west' });
    const token = await cluster.kubectl('-n', MULTICLUSTER, 'create', 'token', 'linkerd-gateway');
    const access = {
      ...loadAccess({ file: cluster.kubeconfigFile }),
      cert: undefined,
      key: undefined,
      auth: staticAuth(`Bearer ${token.trim()}`),
    };
    const kube = closed(new KubeClient(access, shared), (one) => one.close());
    const targets = closed(
      openKubeTargets({ ...shared, client: kube, clusterDomain: 'cluster.local', profileLookMs: 300 }),
      (one) => one.close(),
    );
    const gateway = closed(
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
        graceMs: 0,
      }),
      (one) => one.stop(),
    );
    const [{ port }] = await gateway.start();
    const identity = await issueLeaf(issuer, { identity: 'client.east' });
    client = closed(new MeshClient({ port, gatewayIdentity: 'gateway.west', identity }), (one) =>
      one.close(),
    );
    await eventually('the export is known', async () => (await first()) === 503, wait);
  });

  after(async () => {
    for (const close of closing) await close();
  });

  it('begin with an annotation of the Service, on the connection that is open', async () => {
    await annotate('retry.linkerd.io/http=5xx', 'timeout.linkerd.io/request=400ms');
    await eventually('a 503 is asked for again', async () => (await first()) === 200, wait);
    expect(await status('/silence/a')).to.equal(504);
  });

  it('survive an annotation that is wrong, which the log names', async () => {
    await annotate('timeout.linkerd.io/request=soon');
    await eventually(
      'it is said',
      () =>
        Promise.resolve(said().includes('timeout.linkerd.io/request: "soon" is not valid, it is left out')),
      wait,
    );
    expect(await first()).to.equal(200);
  });

  it('end with the annotation', async () => {
    await annotate('retry.linkerd.io/http-', 'timeout.linkerd.io/request-');
    await eventually('a 503 is an answer', async () => (await first()) === 503, wait);
  });

  it('are those of a ServiceProfile when the kind is installed, instead of the annotations', async () => {
    await annotate('retry.linkerd.io/http=5xx');
    await eventually('the annotation holds', async () => (await first()) === 200, wait);
    await cluster.apply([CRD]);
    await cluster.kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=20s');
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
    await cluster.kubectl('delete', 'crd', 'serviceprofiles.linkerd.io');
    await eventually('it does again', async () => (await first()) === 200, wait);
  });

  const status = async (at: string) => (await client.request('http2', HOST, { path: at })).status;
  /** The status for a page that nobody has asked for. */
  const first = (under = '/page') => status(`${under}/${++asked}`);
  const annotate = (...what: string[]) =>
    cluster.kubectl('-n', 'demo', 'annotate', '--overwrite', 'service', 'web', ...what);
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

/** Namespace, accounts and rules of the manifest that people apply. */
function rbac(): object[] {
  const text = readFileSync(path.join(import.meta.dirname, '../../manifests/target.yaml'), 'utf8');
  const kinds = new Set(['Namespace', 'ServiceAccount', 'ClusterRole', 'ClusterRoleBinding']);
  const objects = parseAllDocuments(text).map((document) => document.toJS() as { kind: string });
  return objects.filter(({ kind }) => kinds.has(kind));
}
