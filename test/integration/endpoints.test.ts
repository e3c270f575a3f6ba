import { expect } from 'chai';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { patchPodStatus } from '../support/linkerd-objects.ts';
import { services } from '../../src/api/kubernetes/resource.ts';
import { change, createAccount, removeAll } from '../support/cluster-objects.ts';
import { systemClock } from '../../src/base/clock.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import type { TargetSource } from '../../src/discovery/target-spec.ts';
import { isNotFound, KubeClient } from '../../src/kube/client/kube-client.ts';
import { issueLeaf } from '../../src/identity/authority/issue.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { eventually } from '../support/eventually.ts';
import { apply } from '../support/linked-clusters.ts';
import { type LocalGateway, localGateway } from '../support/local-gateway.ts';
import { MeshProxy } from '../support/mesh-proxy.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };
const ACCRUAL = 'balancer.linkerd.io/failure-accrual';

interface Endpoint {
  readonly ip: string;
  readonly ready?: boolean;
  /** Hint. */
  readonly zone?: string;
}

/**
 * What the target cluster says about its endpoints reaches the requests: read from a real API server, seen at
 * the processes that answer.
 */
describe('endpoints as the target cluster says', () => {
  let west: Cluster;
  let ns: string;
  let targets: TargetSource;
  let gateway: LocalGateway;
  let client: KubeClient;
  let proxy: MeshProxy;
  const origins: Server[] = [];
  const asked = new Map<string, number>();
  let failing: string;
  let sound: string;
  let podIp: string;

  before(async () => {
    ({ west } = await sharedClusters());
    [failing, sound, podIp] = [address(14), address(15), address(16)];
    ns = await createNamespace(west, 'app');
    await createAccount(west, ns, 'web');
    const shared = {
      clock: systemClock,
      random: Math.random,
      log: createLogger({ name: 'endpoints', level: process.env['LINKSPAN_TEST_LOG'] ?? 'silent' }),
    };
    client = new KubeClient(loadAccess({ file: west.kubeconfigFile }), shared);
    targets = openKubeTargets({
      ...shared,
      client,
      clusterDomain: 'cluster.local',
      zone: 'a',
      mesh: { controlNamespace: 'linkerd', trustDomain: 'cluster.local' },
    });
    gateway = await localGateway([], { targets });
    origins.push(await origin(failing, 500), await origin(sound, 200));
    const identity = `web.${ns}.serviceaccount.identity.linkerd.mesh.example`;
    proxy = await MeshProxy.start(await issueLeaf(gateway.issuer, { identity }), podIp, 8080);
  });
  after(async () => {
    // Exports of a namespace that east lacks would show on every other Link to west.
    await removeAll(west, services, ns);
    await gateway.close();
    await targets.close();
    await client.close();
    proxy.close();
    for (const server of origins) server.close();
  });
  beforeEach(() => asked.clear());

  it('knows by the answer for a missing API group that Linkerd is not there', async () => {
    const error: unknown = await client
      .raw('GET', '/apis/missing.linkspan.test')
      .catch((one: unknown) => one);
    expect(isNotFound(error)).to.equal(true);
  });

  it('shuts an endpoint after as many failures as the annotation says, from when it is there', async () => {
    await serve('accrual', [{ ip: failing }, { ip: sound }]);
    await eventually('both answer', async () => {
      await ask('accrual');
      return asked.size === 2;
    });
    const annotations = {
      [ACCRUAL]: 'consecutive',
      [`${ACCRUAL}-consecutive-max-failures`]: '2',
      [`${ACCRUAL}-consecutive-min-penalty`]: '1m',
    };
    await change(west, services, { namespace: ns, name: 'accrual' }, { metadata: { annotations } });
    await eventually(
      'it is known',
      async () => targets.get(name('accrual'), 80)?.accrual?.maxFailures === 2,
      wait,
    );
    asked.clear();
    // Which endpoint is asked is drawn: it may be a while until the failing one has failed twice.
    let inARow = 0;
    await eventually('nobody hears of it any more', async () => {
      inARow = (await ask('accrual')) === 200 ? inARow + 1 : 0;
      return inARow === 40;
    });
    expect(asked.get(failing) ?? 0).to.be.at.most(2);
  });

  it('keeps to its zone by the hints of slices, and leaves it when nothing there can be used', async () => {
    await serve('zoned', [
      { ip: sound, zone: 'a' },
      { ip: failing, zone: 'b' },
    ]);
    for (let i = 0; i < 20; i++) await ask('zoned');
    expect([...asked]).to.deep.equal([[sound, 20]]);
    await serve('zoned', [
      { ip: sound, zone: 'a', ready: false },
      { ip: failing, zone: 'b' },
    ]);
    await eventually(
      'the other zone is asked',
      async () => {
        await ask('zoned');
        return asked.has(failing);
      },
      wait,
    );
  });

  it('speaks to a pod as its mesh does once it has a proxy, and plainly before', async () => {
    const request = async () => {
      const { status, body } = await gateway.client.request('http1', name('meshed'), { path: '/' });
      return status === 200 ? body.toString() : '';
    };
    await serve('meshed', [{ ip: podIp }]);
    expect(await request(), 'a proxy that wants mTLS').to.equal('');
    await runPod();
    const body = await eventually('the pod answers', request, wait);
    expect(JSON.parse(body)).to.deep.include({ httpVersion: '2.0', method: 'GET' });
    expect(body).to.contain('"l5d-orig-proto":"HTTP/1.1"');
    expect(proxy.hellos[0]).to.deep.equal({
      sni: `web.${ns}.serviceaccount.identity.linkerd.mesh.example`,
      alpn: '',
      client: 'gateway.west',
    });
  });

  it('gives it raw bytes behind a header that names its port', async () => {
    await serve('meshed-raw', [{ ip: podIp }], 'tcp');
    const socket = await gateway.client.connect(name('meshed-raw'), 80, 'opaque');
    const [greeting] = await once(socket, 'data');
    expect(String(greeting)).to.equal('greeting ');
    socket.destroy();
    expect(proxy.hellos.at(-1)).to.deep.include({
      alpn: 'transport.l5d.io/v1',
      header: { name: '', port: 8080, protocol: 'opaque' },
    });
  });

  const name = (service: string) => `${service}.${ns}.svc.cluster.local`;

  async function ask(service: string): Promise<number> {
    return (await gateway.client.request('http2', name(service), { path: '/' })).status;
  }

  /** Applies a Service and its slice, and waits until the gateway knows them. */
  async function serve(service: string, endpoints: readonly Endpoint[], appProtocol = 'http'): Promise<void> {
    const labels = { 'mirror.linkerd.io/exported': 'true' };
    await apply(
      west,
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: service, namespace: ns, labels },
        spec: { ports: [{ name: 'http', port: 80, targetPort: 8080, appProtocol }] },
      },
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          name: `${service}-1`,
          namespace: ns,
          labels: {
            ...labels,
            'kubernetes.io/service-name': service,
            'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
          },
        },
        addressType: 'IPv4',
        endpoints: endpoints.map(({ ip, ready = true, zone }) => ({
          addresses: [ip],
          conditions: { ready },
          ...(zone === undefined ? {} : { zone, hints: { forZones: [{ name: zone }] } }),
        })),
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      },
    );
    const wanted = endpoints.map(({ ip, ready = true }) => `${ip} ${ready}`).sort();
    await eventually(
      'the gateway knows the endpoints',
      async () => {
        const known = targets.get(name(service), 80)?.endpoints.map((one) => `${one.host} ${one.ready}`);
        return known?.sort().join() === wanted.join();
      },
      wait,
    );
  }

  /** A pod as Linkerd's injector and kubelet leave it. */
  async function runPod(): Promise<void> {
    await apply(west, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: 'web-1',
        namespace: ns,
        labels: { app: 'web', 'linkerd.io/control-plane-ns': 'linkerd' },
        annotations: { 'linkerd.io/proxy-version': 'edge-26.8.1' },
      },
      spec: {
        serviceAccountName: 'web',
        containers: [
          { name: 'app', image: 'app' },
          {
            name: 'linkerd-proxy',
            image: 'proxy',
            env: [
              { name: 'LINKERD2_PROXY_INBOUND_LISTEN_ADDR', value: '[::]:8080' },
              { name: '_l5d_trustdomain', value: 'mesh.example' },
            ],
          },
        ],
      },
    });
    await patchPodStatus(west, ns, 'web-1', { podIP: podIp, podIPs: [{ ip: podIp }] });
  }

  async function origin(host: string, status: number): Promise<Server> {
    const server = createServer((_, response) => {
      asked.set(host, (asked.get(host) ?? 0) + 1);
      response.writeHead(status).end();
    });
    await new Promise<void>((resolve) => server.listen(8080, host, resolve));
    return server;
  }
});
