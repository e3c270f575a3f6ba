import { expect } from 'chai';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { secrets, services } from '../../src/api/kubernetes/resource.ts';
import { links as linkKind } from '../../src/api/link/link-schema.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { refusedImports, unknownRanges } from '../../src/check/import-checks.ts';
import { explainName } from '../../src/controllers/explain.ts';
import { reportLinks } from '../../src/controllers/link-reports.ts';
import {
  change,
  clientOf,
  ensureNamespace,
  eventReasonsIn,
  find,
  findAddresses,
  findCondition,
  findLink,
  findService,
  remove,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors, type ExportOptions } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };

/**
 * Somebody in the target cluster means harm, and may write there what he likes: what a source takes is the
 * word of its own admin.
 */
describe('a target that means harm', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController;

  const service = (name: string, namespace = ns) => findService(east, namespace, name);
  const addresses = (name: string) => findAddresses(east, ns, name);
  const put = (name: string, options: Omit<ExportOptions, 'test'> = {}, namespace = ns) =>
    exportService(west, namespace, name, { test: ns, ...options });
  const settled = <T>(what: string, probe: () => T | Promise<T>) => eventually(what, probe, wait);
  const outcome = (key: string, link = 'west') =>
    controller.runs.get(`${links}/${link}`)?.peer?.mirrors.reconciler.outcomes.get(key);
  const policy = (annotations: Record<string, string | null>, link = 'west') =>
    change(east, linkKind, { namespace: links, name: link }, { metadata: { annotations } });
  const restart = async (settings: Partial<Parameters<typeof startController>[1]> = {}) => {
    await controller.stop();
    controller = startController(east, { namespace: links, ...settings });
  };

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'imports');
    await ensureNamespace(east, ns);
    const spec = { probeSpec: { path: '/ready', port: '4191', period: '1s' }, ...ownSelectors(ns) };
    await apply(east, ...linkObjects(west, links, 'west', spec));
    controller = startController(east, { namespace: links });
  });

  after(async () => {
    await controller.stop();
    await remove(west, services, { namespace: 'kube-system', name: `${ns}-spy` });
  });

  it('cannot steer the source: keys of external-dns, Argo CD, Cilium and kube-proxy stay behind, and that is said', async () => {
    // A target's Service told the external-dns of the source to point login.bank.example at an address of the
    // target's choice.
    await put('dns', {
      labels: { 'service.kubernetes.io/service-proxy-name': 'none', tier: 'web' },
      annotations: {
        'external-dns.alpha.kubernetes.io/hostname': 'login.bank.example',
        'external-dns.alpha.kubernetes.io/target': '203.0.113.66',
        'argocd.argoproj.io/instance': 'prod',
        'service.cilium.io/global': 'true',
        note: 'hello',
      },
    });
    const mirror = await settled('it is mirrored', () => service('dns-west'));
    expect(mirror.metadata?.labels).to.include({ tier: 'web' });
    expect(mirror.metadata?.labels).not.to.have.property('service.kubernetes.io/service-proxy-name');
    expect(mirror.metadata?.annotations).to.include({ note: 'hello' });
    expect(mirror.metadata?.annotations).not.to.have.any.keys(
      'external-dns.alpha.kubernetes.io/hostname',
      'external-dns.alpha.kubernetes.io/target',
      'argocd.argoproj.io/instance',
      'service.cilium.io/global',
    );
    await settled('`explain` tells', () =>
      explainName(controller, ns, 'dns')[0]?.message.includes('external-dns.alpha.kubernetes.io/hostname'),
    );
    await settled('an Event tells', async () =>
      (await eventReasonsIn(east, links)).includes('ImportMetadataLeftOut'),
    );
    await settled("the Link's list tells", async () => {
      const entries = (await findLink(east, links, 'west'))?.status?.mirrorServices ?? [];
      const mine = entries.find(({ remoteRef }) => remoteRef.name === 'dns');
      return mine?.conditions?.[0]?.message.includes('service.kubernetes.io/service-proxy-name') === true;
    });
    expect(refusedImports(reportLinks(controller))).to.deep.include({ result: 'warning' });
  });

  it("gets what it copied taken back from a mirror that was made before, and an admin's list lets it through", async () => {
    await restart({ steeringMetadata: true });
    const key = 'external-dns.alpha.kubernetes.io/hostname';
    const has = async () => (await service('dns-west'))?.metadata?.annotations?.[key] !== undefined;
    await settled('one switch copies all', has);
    await restart();
    await settled('it is taken back', async () => !(await has()));
    await policy({ 'linkspan.dev/import-annotations': 'external-dns.alpha.kubernetes.io/*' });
    await settled('the list of the Link lets it through', has);
    await policy({ 'linkspan.dev/import-annotations': null });
    await settled('without the list it goes again', async () => !(await has()));
  });

  it('mirrors nothing into kube-system unless the Link names it, and gives it up when the Link does so no more', async () => {
    const key = `kube-system/${ns}-spy`;
    const mirror = () => service(`${ns}-spy-west`, 'kube-system');
    await put(`${ns}-spy`, {}, 'kube-system');
    await settled('it is refused', () => outcome(key)?.reason === 'ImportNamespaceRefused');
    expect(await mirror()).to.equal(undefined);
    await settled('the Link says so, and is synced all the same', async () => {
      const condition = await findCondition(east, links, 'west', 'Synced');
      return condition?.status === 'True' && condition.message.includes('1 ImportNamespaceRefused');
    });
    const isTold = async () => (await eventReasonsIn(east, links)).includes('ImportNamespaceRefused');
    await settled('an Event', isTold);
    await policy({ 'linkspan.dev/import-namespaces': `kube-system,${ns}` });
    await settled('it is mirrored', mirror);
    await policy({ 'linkspan.dev/import-namespaces': '*' });
    await settled('a pattern does not name it: the mirror goes', async () => (await mirror()) === undefined);
    await policy({ 'linkspan.dev/import-namespaces': null });
  });

  it('a policy that cannot be read stops the Link, and opens nothing', async () => {
    await policy({ 'linkspan.dev/import-namespace': 'shop' });
    await settled('the Link is invalid', async () => {
      const condition = await findCondition(east, links, 'west', 'CredentialsValid');
      return condition?.reason === 'InvalidLink' && condition.message.includes('import-namespaces');
    });
    expect(await service('dns-west')).not.to.equal(undefined);
    await policy({ 'linkspan.dev/import-namespace': null });
    await settled('it works again', async () => {
      const condition = await findCondition(east, links, 'west', 'CredentialsValid');
      return condition?.status === 'True';
    });
  });

  describe('with gateways of its own', () => {
    const asked: string[] = [];
    const server = http.createServer((request, response) => {
      asked.push(`${request.method ?? ''} ${request.url ?? ''}`);
      response.end('ok');
    });

    const gatewayService = (ip: string, port: number, probePath: string) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'evil-door',
        namespace: ns,
        annotations: {
          'mirror.linkerd.io/gateway-identity': 'anything.at.all',
          'mirror.linkerd.io/probe-path': probePath,
          'mirror.linkerd.io/probe-period': '1',
        },
      },
      spec: {
        type: 'LoadBalancer',
        ports: [
          { name: 'mc-gateway', port: 5432 },
          { name: 'mc-probe', port },
        ],
      },
      status: { loadBalancer: { ingress: [{ ip }] } },
    });
    const putGateway = async (ip: string, port: number, probePath: string) => {
      const object = gatewayService(ip, port, probePath);
      await apply(west, object);
      const { status } = object;
      const ref = { namespace: ns, name: 'evil-door' };
      await clientOf(west).patch(services, ref, { status }, { type: 'merge', subresource: 'status' });
    };
    const named = {
      as: 'nothing',
      annotations: {
        'mirror.linkerd.io/gateway-ns': '',
        'mirror.linkerd.io/gateway-name': 'evil-door',
      },
    } as const;
    let port: number;

    before(async () => {
      await new Promise<void>((resolve) => server.listen(0, resolve));
      ({ port } = server.address() as AddressInfo);
    });
    after(async () => {
      server.close();
      for (const name of ['evil', 'evil-door']) await remove(west, services, { namespace: ns, name });
    });

    it("cannot have the controller's prober send its requests to loopback, or anywhere", async () => {
      // The prober sent `GET /admin/delete?all=true` to 127.0.0.1 twice a second, because a Service over
      // there said so.
      await putGateway('127.0.0.1', port, '/admin/delete?all=true');
      await put('evil', {
        ...named,
        annotations: { ...named.annotations, 'mirror.linkerd.io/gateway-ns': ns },
      });
      await settled('it is refused', () => outcome(`${ns}/evil`)?.reason === 'GatewayNotAllowed');
      await putGateway('10.200.0.14', port, '/admin/delete?all=true');
      await settled('every other address too', () =>
        outcome(`${ns}/evil`)?.message.includes('10.200.0.14 port 5432, identity anything.at.all'),
      );
      expect(await addresses('evil-west')).to.deep.equal([]);
      expect(asked).to.deep.equal([]);
      await settled('an Event tells', async () =>
        (await eventReasonsIn(east, links)).includes('GatewayNotAllowed'),
      );
    });

    it("reaches what the admin has allowed, with the Link's path, and only while identity and port agree", async () => {
      const list = (identity: string) =>
        policy({
          'linkspan.dev/import-gateways': JSON.stringify([
            { addresses: ['10.200.0.14'], port: 5432, identity, probePort: port },
          ]),
        });
      await list('anything.at.all');
      await settled(
        'it is probed and alive',
        async () => (await addresses('evil-west')).join() === '10.200.0.14',
      );
      expect(new Set(asked)).to.deep.equal(new Set(['GET /ready']));
      await putGateway('10.200.0.13', port, '/ready');
      await settled(
        'an address that is not allowed is not followed',
        () => outcome(`${ns}/evil`)?.reason === 'GatewayNotAllowed',
      );
      expect(await addresses('evil-west')).to.deep.equal([]);
      await putGateway('10.200.0.14', port, '/ready');
      await settled('it is back', async () => (await addresses('evil-west')).length === 1);
      await list('somebody.else');
      await settled(
        'another identity is another gateway',
        async () => (await addresses('evil-west')).length === 0,
      );
      await policy({ 'linkspan.dev/import-gateways': null });
    });

    it('is written down when somebody links, as it is then', async () => {
      // Who links sees what is allowed, and can take it out.
      await putGateway('10.200.0.14', port, '/ready');
      const token = {
        apiVersion: 'v1',
        kind: 'Secret',
        type: 'kubernetes.io/service-account-token',
        metadata: {
          name: 'reader',
          namespace: ns,
          annotations: { 'kubernetes.io/service-account.name': 'reader' },
        },
      };
      const account = {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: 'reader', namespace: ns },
      };
      await apply(west, account, token);
      await settled('the token is there', async () => {
        const found = await find(west, secrets, { namespace: ns, name: 'reader' });
        return found?.data?.['token'] !== undefined;
      });
      const flags = `--kubeconfig ${west.kubeconfigFile} --cluster-name west --namespace ${ns} -o json`;
      const more = '--gateway-name evil-door --gateway-addresses 10.200.0.19 --service-account-name reader';
      const printed = await keptLinkspan('link-gen', ...flags.split(' '), ...more.split(' '));
      expect(printed.stderr).to.contain('exports may name the gateway 10.200.0.14 port 5432');
      const { items } = JSON.parse(printed.stdout) as {
        items: { kind: string; metadata: { annotations: Record<string, string> } }[];
      };
      const link = items.find(({ kind }) => kind === 'Link');
      expect(JSON.parse(link?.metadata.annotations['linkspan.dev/import-gateways'] ?? '[]')).to.deep.equal([
        {
          name: `${ns}/evil-door`,
          addresses: ['10.200.0.14'],
          port: 5432,
          identity: 'anything.at.all',
          probePort: port,
        },
      ]);
    });
  });

  describe('with flat endpoints', () => {
    before(() => restart({ flatEndpoints: true }));
    after(() => restart());

    it("cannot give its mirror the source's own ClusterIPs as pods, nor addresses outside of the Link's range", async () => {
      // Clients of the mirror were sent to a Service of their own cluster, past every policy that is meant
      // for them.
      const [a, b] = east.serviceCidr.split('.');
      const own = `${a ?? ''}.${b ?? ''}.0.1`;
      const ready = (ip: string) => ({ addresses: [ip], conditions: { ready: true } });
      await put('pods', { as: 'flat', endpoints: [ready('10.200.0.18'), ready(own)] });
      await settled(
        'only the other one is used',
        async () => (await addresses('pods-west')).join() === '10.200.0.18',
      );
      await settled('the verdict names the other', () =>
        outcome(`${ns}/pods`)?.message.includes(
          `${own} (in this cluster's own service range ${east.serviceCidr})`,
        ),
      );
      await policy({ 'linkspan.dev/import-pod-cidrs': '10.201.0.0/16' });
      await settled('all are refused', () => outcome(`${ns}/pods`)?.reason === 'ImportAddressRefused');
      expect(await addresses('pods-west')).to.deep.equal([]);
      await policy({ 'linkspan.dev/import-pod-cidrs': '10.200.0.0/16' });
      await settled(
        'they are in the range',
        async () => (await addresses('pods-west')).join() === '10.200.0.18',
      );
      await policy({ 'linkspan.dev/import-pod-cidrs': null });
    });

    it('says which ranges of its own the source does not know', async () => {
      const finding = await settled('it says so', () => {
        const found = unknownRanges(reportLinks(controller));
        return found.result === 'warning' ? found : undefined;
      });
      expect(finding.text).to.contain('pod: there are no nodes');
      expect(finding.text).not.to.contain('service:');
    });
  });

  describe('with very many ports', () => {
    it("takes no more than the Link's share of the egress' ports, and leaves other Links theirs", async function () {
      // 200 Services of 100 ports each took all 20,000 ports: a mirror of another cluster got none.
      const ports = Array.from({ length: 100 }, (_, i) => ({ name: `p${i}`, port: 1000 + i }));
      const many = Array.from({ length: 200 }, (_, i) => `many-${i}`);
      const greedy = `${ns}-greedy`;
      await apply(
        west,
        ...many.map((name) => ({
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name, namespace: ns, labels: { 'linkspan.test/exported': greedy } },
          spec: { ports },
        })),
      );
      await apply(east, ...linkObjects(west, links, 'greedy', ownSelectors(greedy)));
      await restart({ dataPath: 'relay' });
      const reasons = () => {
        const outcomes =
          controller.runs.get(`${links}/greedy`)?.peer?.mirrors.reconciler.outcomes ?? new Map();
        return [...outcomes.values()].map(({ reason }: { reason: string }) => reason);
      };
      const settledLong = <T>(what: string, probe: () => T | Promise<T>) =>
        eventually(what, probe, { timeoutMs: 120_000, everyMs: 200 });
      await settledLong('all are decided', () => {
        const found = reasons();
        return (
          found.length === 200 && found.filter((reason) => reason === 'ImportQuotaExceeded').length === 100
        );
      });
      expect(reasons()).not.to.include('EgressPortsExhausted');
      await put('victim');
      await settledLong('another Link gets its port', async () => {
        const annotations = (await service('victim-west'))?.metadata?.annotations ?? {};
        return annotations['linkspan.dev/egress-ports'] !== undefined;
      });
      await remove(east, linkKind, { namespace: links, name: 'greedy' });
      await settledLong('what it had goes', async () => (await service('many-0-greedy')) === undefined);
    });
  });
});
