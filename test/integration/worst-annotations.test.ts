import { expect } from 'chai';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { ANNOTATION_GROUP_LIMITS, ANNOTATION_LIMITS, MAX_ANNOTATION } from '../../src/api/annotations.ts';
import { systemClock } from '../../src/base/clock.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import type { TargetSource } from '../../src/discovery/target-spec.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { services } from '../../src/kube/objects/resource.ts';
import { ensureNamespace } from '../support/cluster-objects.ts';
import { captureLog } from '../support/captured-log.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { exportedObjects } from '../support/linked-clusters.ts';
import { issuedGateway } from '../support/local-gateway.ts';
import { expectNoLag } from '../support/loop-lag.ts';
import type { MeshClient } from '../support/mesh-client.ts';
import { WORST_TEXTS } from '../support/worst-text.ts';
import { type Cluster, startCluster } from '../testbed/cluster.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { address } from '../testbed/netns.ts';

const wait = { timeoutMs: 20_000, everyMs: 50 };
const captured = captureLog();
const shared = { clock: systemClock, random: Math.random, log: captured.log };
const GATEWAY = 'gateway.west';
/** Characters of a text that is too long for every annotation but the record of copied keys; half as many as may be, because some take two bytes. */
const LONG = 120_000;
/** The last annotation of a change, by which it is seen that the change has come. */
const MARK = 'linkspan.dev/allowed-clients';

/** Every annotation that is read, with the longest text that is read of it and with a longer one. */
const NAMES: readonly (readonly [name: string, limit: number])[] = [
  ...Object.entries(ANNOTATION_LIMITS).filter(([name]) => name !== MARK),
  ...Object.entries(ANNOTATION_GROUP_LIMITS).map(([group, limit]) => [`${group}/west`, limit] as const),
];

// Who may patch one Service of one namespace stopped every gateway of the cluster with an annotation, and again after each restart, because the list came again. Nobody else may notice what
// a tenant writes, whichever annotation it is in.
describe('a tenant who writes the worst text into annotations of his Service', function () {
  this.timeout(120_000);
  let cluster: Cluster;
  let client: KubeClient;
  let targets: TargetSource;
  let other: MeshClient;
  const closed = closedIn(after);

  before(async () => {
    cluster = closed(await startCluster({ name: 'worst' }), (one) => one.stop());
    await ensureNamespace(cluster, 'tenant');
    await ensureNamespace(cluster, 'demo');
    await cluster.apply(exportedObjects('tenant', 'web', { addresses: [address(16)] }));
    await cluster.apply(exportedObjects('demo', 'api', { addresses: [address(16)] }));
    const api = createServer((_, response) => response.end('api'));
    api.listen(8080, address(16));
    await once(api, 'listening');
    closed(api, (one) => one.close());
    client = closed(new KubeClient(loadAccess({ file: cluster.kubeconfigFile }), { ...shared }), (one) =>
      one.close(),
    );
    targets = closed(
      openKubeTargets({ ...shared, client, clusterDomain: 'cluster.local', faultInjection: true }),
      (one) => one.close(),
    );
    const started = closed(await issuedGateway(GATEWAY, targets, shared), (one) => one.close());
    other = await started.clientOf('front.shop');
    await eventually('exports are known', async () => (await status()) === 200, wait);
  });

  async function status(): Promise<number> {
    return (await other.request('http1', 'api.demo.svc.cluster.local', { path: '/' })).status;
  }

  /** Gives the tenant's Service these annotations and none besides, and waits until the gateway has seen them. */
  async function annotate(annotations: Readonly<Record<string, string>>, nth: string): Promise<void> {
    const gone = Object.fromEntries(NAMES.map(([name]) => [name, null]));
    const patch = { metadata: { annotations: { ...gone, ...annotations, [MARK]: `client-${nth}` } } };
    await client.patch(services, { namespace: 'tenant', name: 'web' }, patch, { type: 'merge' });
    const seen = () => targets.get('web.tenant.svc.cluster.local', 80)?.allow?.includes(`client-${nth}`);
    await eventually('the change has come', () => seen() === true, wait);
  }

  it('holds up nobody, at the limit of each annotation', () =>
    expectNoLag('at the limit', async () => {
      // As many at a time as the API server takes: 256 KiB.
      const half = Math.ceil(NAMES.length / 2);
      // As many at a time as the API server takes: 256 KiB.
      for (const [nth, make] of WORST_TEXTS.entries())
        for (const names of [NAMES.slice(0, half), NAMES.slice(half)])
          await annotate(
            Object.fromEntries(names.map(([name]) => [name, make(MAX_ANNOTATION)])),
            `a${nth}-${names.length}-${names[0]?.[0]}`,
          );
      expect(await status()).to.equal(200);
    }));

  it('holds up nobody with a text of 120 KiB, and the log names the annotation', async () => {
    const long = NAMES.filter(([, limit]) => limit < LONG);
    await expectNoLag('beyond the limit', async () => {
      for (const [nth, [name]] of long.entries())
        await annotate({ [name]: WORST_TEXTS[nth % WORST_TEXTS.length]?.(LONG) ?? '' }, `b${nth}`);
      expect(await status()).to.equal(200);
    });
    const said = captured.lines
      .filter(({ msg, object }) => msg === 'annotations too long to be read' && object === 'tenant/web')
      .flatMap(({ problems }) => problems as string[]);
    for (const [name] of long)
      expect(
        said.some((line) => line.startsWith(`${name} has `)),
        name,
      ).to.equal(true);
  });

  it('lets nobody in where the list of clients is too long, and limits nobody else', async () => {
    const list = Array.from({ length: 2000 }, (_, nth) => `client-${nth}`).join();
    const patch = { metadata: { annotations: { [MARK]: list } } };
    await client.patch(services, { namespace: 'tenant', name: 'web' }, patch, { type: 'merge' });
    const allowed = () => targets.get('web.tenant.svc.cluster.local', 80)?.allow;
    await eventually('the change has come', () => allowed()?.length === 0, wait);
    expect(await status()).to.equal(200);
  });
});
