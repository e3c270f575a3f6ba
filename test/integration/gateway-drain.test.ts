import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { writeDrill } from '../../src/api/failover/connection-drill.ts';
import { services } from '../../src/api/kubernetes/resource.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { change, removeAll } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { apply } from '../support/linked-clusters.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { useTempDir } from '../support/temp-dir.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };

// What a gateway makes of its own Service was tested in parts, and not by the program that the chart runs.
for (const workers of [1, 2])
  describe(`a gateway of ${workers} worker${workers === 1 ? '' : 's'} that watches its own Service`, function () {
    const dir = useTempDir();
    let west: Cluster;
    let ns: string;
    let gateway: GatewayProcess;
    let admin: number;

    const own = () => ({ namespace: ns, name: 'linkerd-gateway' });
    const get = async (port: number, at: string) => {
      const response = await fetch(`http://127.0.0.1:${port}${at}`);
      await response.text();
      return { status: response.status, asks: response.headers.get('linkspan-drain') };
    };
    const verb = async (...args: string[]) => {
      const where = ['--kubeconfig', west.kubeconfigFile, '--gateway-namespace', ns];
      const { code, stderr } = await keptLinkspan(...args, ...where);
      expect(code, stderr).to.equal(0);
    };

    beforeEach(async () => {
      ({ west } = await sharedClusters());
      ns = await createNamespace(west, `drain-${workers}`);
      const labels = { 'mirror.linkerd.io/exported': 'true' };
      await apply(
        west,
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: own(),
          spec: { ports: [{ name: 'mc-gateway', port: 4143 }] },
        },
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'web', namespace: ns, labels },
          spec: { ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
        },
        {
          apiVersion: 'discovery.k8s.io/v1',
          kind: 'EndpointSlice',
          metadata: {
            name: 'web-1',
            namespace: ns,
            labels: {
              'kubernetes.io/service-name': 'web',
              'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
            },
          },
          addressType: 'IPv4',
          endpoints: [{ addresses: ['192.0.2.7'], conditions: { ready: true } }],
          ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
        },
      );
      const kubeconfig = path.join(dir(), 'kubeconfig');
      writeFileSync(kubeconfig, west.kubeconfig);
      const issuer = await createIssuer(await createAnchor({}), {});
      admin = await freePort();
      gateway = await GatewayProcess.start({
        runtime: 'node',
        dir: dir(),
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        flags: [
          '--kubeconfig',
          kubeconfig,
          '--service',
          `${ns}/linkerd-gateway`,
          '--allow-fault-injection',
          '--workers',
          String(workers),
          '--listen',
          `127.0.0.1:${await freePort()}`,
          '--admin',
          `127.0.0.1:${admin}`,
        ],
      });
      await eventually('it is ready', async () => (await get(gateway.probe, '/ready')).status === 200, wait);
    });
    afterEach(async () => {
      await gateway.kill();
      await removeAll(west, services, ns);
    });

    it('tells probes of other clusters to leave, and Kubernetes to stay', async () => {
      expect((await get(gateway.probe, '/ready')).asks).to.equal(null);
      await verb('drain', 'gateway', '--ramp', '0');
      await eventually('it says so', async () => (await get(gateway.probe, '/ready')).status === 503, wait);
      expect((await get(gateway.probe, '/ready')).asks).to.match(/^to=0, start=@\d+, ramp=0, until=@\d+$/);
      expect(await get(admin, '/ready')).to.deep.equal({ status: 200, asks: null });
      await verb('undrain', 'gateway');
      await eventually('it is over', async () => (await get(gateway.probe, '/ready')).status === 200, wait);
    });

    it('takes no endpoint for ready while a drill lasts', async () => {
      const ready = async () => (await get(admin, `/ready/${ns}/web`)).status;
      await eventually('the Service is served', async () => (await ready()) === 200, wait);
      const [start, until] = [Date.now() - 1000, Date.now() + 600_000];
      const annotate = (value: string | null) =>
        change(west, services, own(), { metadata: { annotations: { 'linkspan.dev/drill': value } } });
      await annotate(writeDrill({ kind: 'endpoints', start, until }));
      await eventually('nothing is ready', async () => (await ready()) === 503, wait);
      await annotate(null);
      await eventually('all is as before', async () => (await ready()) === 200, wait);
    });
  });
