import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import {
  clientOf,
  ensureNamespace,
  findAddresses,
  findLink,
  findService,
  remove,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import { services } from '../../src/api/kubernetes/resource.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };
const GATEWAY = '10.200.0.19';

/**
 * Somebody runs Linkerd's multicluster extension and swaps the controller. What Linkerd's one has made must
 * go on to work as it is: a mirror that is deleted and made anew gets another ClusterIP, and clients that
 * have resolved the old one fail.
 */
describe('objects that Linkerd made', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController | undefined;
  const seen: string[] = [];
  const old = new Map<string, V1Service>();
  let stopWatching: () => Promise<void> = async () => {};

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'migration');
    await ensureNamespace(east, ns);
    await exportService(west, ns, 'web', { test: ns, labels: { team: 'shop' } });
    await exportService(west, ns, 'flat', { test: ns, as: 'flat' });
    await exportService(west, ns, 'member', { test: ns, as: 'nothing', federated: true });
    await apply(east, ...madeByLinkerd(ns));
    for (const name of ['web-west', 'flat-west', 'member-federated'])
      old.set(name, (await findService(east, ns, name)) as V1Service);
    stopWatching = await watchServices();
    await apply(east, ...linkObjects(west, links, 'west', { gatewayAddress: GATEWAY, ...ownSelectors(ns) }));
    controller = startController(east, { namespace: links });
    await eventually(
      'the Link is synced',
      async () =>
        (await findLink(east, links, 'west'))?.status?.conditions?.some(
          ({ type, status }) => type === 'Synced' && status === 'True',
        ),
      wait,
    );
  });

  after(async () => {
    await stopWatching();
    await controller?.stop();
  });

  it('are adopted: the same Services with the same ClusterIPs, none deleted on the way', async () => {
    await eventually(
      'they are ours now',
      async () =>
        (await findService(east, ns, 'web-west'))?.metadata?.annotations?.['linkspan.dev/link'] !== undefined,
      wait,
    );
    for (const [name, was] of old) {
      const now = await findService(east, ns, name);
      expect(now?.metadata?.uid, name).to.equal(was.metadata?.uid);
      expect(now?.spec?.clusterIP, name).to.equal(was.spec?.clusterIP);
    }
    expect(seen.filter((event) => event.startsWith('DELETED'))).to.deep.equal([]);
  });

  it('lead where they led, by the labels and annotations that Linkerd reads', async () => {
    expect(await findAddresses(east, ns, 'web-west')).to.deep.equal([GATEWAY]);
    const web = await findService(east, ns, 'web-west');
    expect(web?.metadata?.labels).to.include({
      'mirror.linkerd.io/mirrored-service': 'true',
      'mirror.linkerd.io/cluster-name': 'west',
      team: 'shop',
    });
    const flat = await findService(east, ns, 'flat-west');
    expect(flat?.metadata?.labels).to.include({ 'multicluster.linkerd.io/remote-discovery': 'west' });
    const federated = await findService(east, ns, 'member-federated');
    expect(federated?.metadata?.annotations?.['multicluster.linkerd.io/remote-discovery']).to.equal(
      'member@west',
    );
  });

  it('go when what they mirror goes, as those that Linkspan made', async () => {
    await remove(west, services, { namespace: ns, name: 'web' });
    await eventually('it is gone', async () => (await findService(east, ns, 'web-west')) === undefined, wait);
  });

  async function watchServices(): Promise<() => Promise<void>> {
    const client = clientOf(east);
    const { resourceVersion } = await client.list(services, { namespace: ns });
    const end = new AbortController();
    const done = (async () => {
      const events = client.watch(services, {
        namespace: ns,
        resourceVersion,
        timeoutSeconds: 120,
        signal: end.signal,
      });
      for await (const event of events) {
        if ('object' in event) seen.push(`${event.type} ${(event.object as V1Service).metadata?.name ?? ''}`);
      }
    })().catch(() => undefined);
    return async () => {
      end.abort();
      await done;
    };
  }
});

/**
 * As Linkerd's service mirror writes them (linkerd2 b24cd4059,
 * `multicluster/service-mirror/cluster_watcher.go` and `cluster_watcher_headless.go`).
 */
function madeByLinkerd(namespace: string): object[] {
  const labels = {
    'mirror.linkerd.io/mirrored-service': 'true',
    'mirror.linkerd.io/cluster-name': 'west',
  };
  const ports = [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 }];
  const mirror = (name: string, metadata: { labels?: object; annotations?: object }) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, ...metadata },
    spec: { ports },
  });
  const origin = (service: string) => ({
    'mirror.linkerd.io/remote-resource-version': '1',
    'mirror.linkerd.io/remote-svc-fq-name': `${service}.${namespace}.svc.cluster.local`,
  });
  return [
    mirror('web-west', { labels, annotations: origin('web') }),
    {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: {
        name: 'web-west',
        namespace,
        labels,
        annotations: {
          'mirror.linkerd.io/remote-svc-fq-name': `web.${namespace}.svc.cluster.local`,
          'mirror.linkerd.io/remote-gateway-identity': 'gw.identity',
        },
      },
      subsets: [{ addresses: [{ ip: GATEWAY }], ports: [{ name: 'http', protocol: 'TCP', port: 4143 }] }],
    },
    mirror('flat-west', {
      labels: {
        ...labels,
        'multicluster.linkerd.io/remote-discovery': 'west',
        'multicluster.linkerd.io/remote-service': 'flat',
      },
      annotations: origin('flat'),
    }),
    mirror('member-federated', {
      labels: { 'mirror.linkerd.io/mirrored-service': 'true' },
      annotations: { 'multicluster.linkerd.io/remote-discovery': 'member@west' },
    }),
  ];
}
