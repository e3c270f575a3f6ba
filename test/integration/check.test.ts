import { expect } from 'chai';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createAccount, ensureNamespace } from '../support/cluster-objects.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { CheckReport } from '../../src/check/report.ts';
import { createAnchor } from '../../src/identity/authority/issue.ts';
import { startAdmin } from '../../src/telemetry/admin.ts';
import { createRegistry } from '../../src/telemetry/registry.ts';
import { eventually } from '../support/eventually.ts';
import { closedIn } from '../support/closed-in.ts';
import { apply, installCrd, linkObjects } from '../support/linked-clusters.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { binaries } from '../testbed/binaries.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { bareCluster } from '../testbed/shared.ts';

const NS = 'linkerd-multicluster';

/**
 * A person runs `check` when something is wrong: it has to end, name what is wrong, and not be put off by the
 * first thing that is.
 */
describe('linkspan check', () => {
  const closed = closedIn(after);
  let cluster: Cluster;
  let helm: string;

  before(async () => {
    ({ helm } = binaries(['helm']));
    cluster = closed(await bareCluster('check'), (one) => one.stop());
  });

  async function check(...flags: string[]) {
    const { code, stdout, stderr } = await keptLinkspan(
      'check',
      '--kubeconfig',
      cluster.kubeconfigFile,
      '--wait',
      '0s',
      '-o',
      'json',
      ...flags,
    );
    const report = JSON.parse(stdout) as CheckReport;
    const checks = report.categories.flatMap((category) => category.checks);
    const of = (id: string) => checks.find(({ hint }) => hint?.endsWith(`#${id}`) === true);
    return { code, stderr, report, of };
  }

  const pre = async (...flags: string[]) => {
    const found = await check('--pre', '--helm', helm, ...flags);
    return { ...found, text: JSON.stringify(found.report, null, 1) };
  };

  it('--pre finds nothing in the way of an installation, and that helm is there', async () => {
    const { code, report, text } = await pre();
    expect(report.success, text).to.equal(true);
    expect(code).to.equal(0);
    expect(report.categories.map(({ categoryName }) => categoryName)).to.deep.equal(['pre-linkspan-setup']);
  });

  it('--pre finds nothing in the way where pods must be restricted', async () => {
    await ensureNamespace(cluster, NS);
    // As kube's controller manager makes it.
    await createAccount(cluster, NS, 'default');
    await cluster.kubectl(
      'label',
      'namespace',
      NS,
      'pod-security.kubernetes.io/enforce=restricted',
      'linkerd.io/extension=multicluster',
    );
    const { report, text } = await pre('--ha');
    expect(report.success, text).to.equal(true);
    expect(report.categories[0]?.checks.map(({ description }) => description)).to.include(
      'the namespace admits the pods (Pod Security Standard, quotas)',
    );
  });

  it('--pre says that helm is missing, and counts nothing as found that was not looked at', async () => {
    const { code, of, report } = await check('--pre', '--helm', '/nowhere/helm');
    expect(code).to.equal(1);
    expect(of('linkspan-pre-helm')?.error).to.contain('/nowhere/helm');
    const looked = report.categories.flatMap(({ checks }) => checks.map(({ description }) => description));
    expect(looked).not.to.include('the API server takes everything that an installation has');
  });

  it('--pre names the rights that are missing, and values that are wrong', async () => {
    const { of } = await pre('--as', 'nobody');
    expect(of('linkspan-pre-rights')?.error).to.contain('[RIGHTS_MISSING]');
    const wrong = await pre('--set', 'gateway.port=high');
    expect(wrong.of('linkspan-pre-accepted')?.error).to.match(/\[VALUES_INVALID\].*gateway\.port/);
  });

  it('--pre names pods that the namespace would not admit, although it takes their Deployments', async () => {
    const limits = { name: 'tiny', namespace: NS };
    const spec = { limits: [{ type: 'Container', max: { memory: '1Mi' } }] };
    await cluster.apply({ apiVersion: 'v1', kind: 'LimitRange', metadata: limits, spec });
    await eventually('the limit is known', async () => (await pre()).of('linkspan-pre-pods'), {
      everyMs: 100,
    });
    const { code, of } = await pre();
    expect(code).to.equal(1);
    expect(of('linkspan-pre-pods')?.error).to.match(/pods of Deployment \S+\/linkspan-controller: .*memory/);
    expect(of('linkspan-pre-accepted')).to.equal(undefined);
    await cluster.kubectl('-n', NS, 'delete', 'limitrange', 'tiny');
  });

  it('--pre names objects of somebody else that are in the way, and writes nothing', async () => {
    await createAccount(cluster, NS, 'linkerd-gateway');
    const { code, of } = await pre();
    expect(code).to.equal(1);
    expect(of('linkspan-pre-names')?.error).to.contain(`ServiceAccount ${NS}/linkerd-gateway`);
    expect(of('linkspan-pre-rights')).to.equal(undefined);
    expect(await cluster.kubectl('-n', NS, 'get', 'deployments,services,pods', '-o', 'name')).to.equal('');
  });
  it('says that the CRD is missing, and looks at the rest', async () => {
    const { code, of, report } = await check();
    expect(code).to.equal(1);
    expect(of('l5d-multicluster-link-crd-exists')?.result).to.equal('error');
    // What follows a fatal one in its category would only repeat it.
    expect(report.categories.map(({ checks }) => checks.length)[0]).to.equal(1);
    expect(report.categories.map(({ categoryName }) => categoryName)).to.include('linkspan');
  });

  it('names Links with bad credentials, a controller that is not there, mirrors of no Link', async () => {
    await installCrd(cluster);
    const [secret, west] = linkObjects(cluster, NS, 'west', {});
    await apply(cluster, secret ?? {}, west ?? {});
    const [, north] = linkObjects(cluster, NS, 'north', {});
    await apply(cluster, north ?? {}, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'web-south',
        namespace: 'default',
        labels: { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'south' },
      },
      spec: { ports: [{ port: 80 }] },
    });
    const { code, of } = await check();
    expect(code).to.equal(1);
    expect(of('l5d-smc-target-clusters-access')?.error).to.equal(
      `* north: Secret ${NS}/cluster-credentials-north does not exist`,
    );
    expect(of('l5d-multicluster-service-mirror-running')?.error).to.contain(
      'linkspan-controller does not exist',
    );
    expect(of('l5d-multicluster-source-rbac-correct')?.error).to.contain(
      '* ClusterRole linkspan-controller does not exist',
    );
    expect(of('l5d-multicluster-orphaned-services')?.error).to.contain('default/web-south');
    expect(of('linkspan-link-conditions')?.error).to.contain('* west: no controller has looked at it yet');
    // Clusters of one machine have one clock.
    expect(of('linkspan-clock-skew')).to.equal(undefined);
  });

  it('ends where nobody answers', async () => {
    const { code, of } = await check('--api-addr', `${cluster.address}:1`, '--timeout', '1s');
    expect(code).to.equal(1);
    expect(of('l5d-multicluster-link-crd-exists')?.error).to.match(/no answer within 1 s|KUBE_UNREACHABLE/);
  });

  it('a target that accepts connections and says nothing is named, and hides nobody', async () => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => void sockets.add(socket.on('error', () => socket.destroy())));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    try {
      const { port } = silent.address() as AddressInfo;
      const [secret] = linkObjects(cluster, NS, 'silent', {}) as [{ data: { kubeconfig: string } }];
      const kubeconfig = Buffer.from(secret.data.kubeconfig, 'base64').toString();
      const hung = kubeconfig.replace(/server: \S+/, `server: https://127.0.0.1:${port}`);
      const [, link] = linkObjects(cluster, NS, 'silent', {});
      await apply(
        cluster,
        { ...secret, data: { kubeconfig: Buffer.from(hung).toString('base64') } },
        link ?? {},
      );
      const { code, of } = await check('--timeout', '3s');
      expect(code).to.equal(1);
      const lines = of('l5d-smc-target-clusters-access')?.error?.split('\n') ?? [];
      expect(lines.map((line) => line.split(':')[0])).to.have.members(['* north', '* silent']);
      expect(lines.find((line) => line.startsWith('* silent'))).to.contain('gave no answer within 2.1 s');
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });

  it('says that a trust anchor has expired', async () => {
    const anchor = await createAnchor({
      clock: { ...systemClock, now: () => Date.now() - 400 * 86_400_000 },
      lifetimeMs: 365 * 86_400_000,
    });
    await apply(cluster, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'linkspan-trust', namespace: NS },
      data: { 'ca.crt': anchor.cert },
    });
    const { of } = await check();
    expect(of('linkspan-certificates')?.result).to.equal('error');
    expect(of('linkspan-certificates')?.error).to.match(/^\* trust anchor .* has expired 3[45] days ago$/);
  });

  it('asks the controllers for mirrors without endpoints and for a request now, and says why', async () => {
    const answer: Readonly<Record<string, unknown>> = {
      '/mirrors': [
        {
          link: `${NS}/west`,
          cluster: 'west',
          held: true,
          mirrors: [
            {
              service: 'shop/web',
              local: 'web-west',
              mode: 'relay',
              reason: 'NoReadyEndpoints',
              message: '',
              since: '',
              endpoints: 0,
            },
          ],
        },
      ],
      '/try': [
        {
          link: `${NS}/west`,
          cluster: 'west',
          address: '10.0.0.1',
          ok: false,
          message: 'ProbeRefused: it refuses',
          latencyMs: 1,
        },
      ],
    };
    const admin = await startAdmin({
      address: { host: '127.0.0.1', port: 0 },
      registry: createRegistry(),
      ready: () => ({ ok: true, reason: '' }),
      pages: new Map(Object.entries(answer).map(([path, value]) => [path, () => Promise.resolve(value)])),
    });
    try {
      const { of } = await check('--controller', `http://127.0.0.1:${admin.address.port}`);
      expect(of('l5d-multicluster-services-endpoints')?.error).to.equal(
        '* web-west.shop mirrored from cluster [west]: NoReadyEndpoints',
      );
      expect(of('linkspan-gateway-probe')?.error).to.equal('* west (10.0.0.1): ProbeRefused: it refuses');
    } finally {
      await admin.close();
    }
  });
});
