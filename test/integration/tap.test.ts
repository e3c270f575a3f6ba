import { expect } from 'chai';
import http from 'node:http';
import path from 'node:path';
import { TAP_ACCOUNT, TAP_AUDIENCE, TAP_TOKEN_HEADER } from '../../src/api/answers/tap-events.ts';
import { OURS } from '../../src/api/names.ts';
import { pods, roleBindings, serviceAccounts } from '../../src/api/kubernetes/resource.ts';
import { systemClock } from '../../src/base/clock.ts';
import { clusterSource } from '../../src/cli/dashboard/cluster-source.ts';
import { liveTap } from '../../src/cli/dashboard/live-tap.ts';
import type { TapLine } from '../../src/dashboard/answers.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import type { Authority } from '../../src/identity/authority/issue.ts';
import { identityFiles, writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { requestToken } from '../../src/linking/token.ts';
import { TapAccess } from '../../src/tap/tap-access.ts';
import { TapPage } from '../../src/tap/tap-page.ts';
import { TapRules } from '../../src/tap/tap-rules.ts';
import { kubeconfigAs } from '../support/account-client.ts';
import { adminRequest } from '../support/admin-request.ts';
import { captureLog } from '../support/captured-log.ts';
import { chartAccounts, MULTICLUSTER } from '../support/chart.ts';
import { closedIn } from '../support/closed-in.ts';
import { clientOf, createAccount, ensureNamespace, remove, removeAll } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { exportedObjects, installCrd } from '../support/linked-clusters.ts';
import { patchPodStatus } from '../support/linkerd-objects.ts';
import { LinkspanEgress } from '../support/linkspan-egress.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { useTempDir } from '../support/temp-dir.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { bareCluster } from '../testbed/shared.ts';

const WEB = 'web.demo.svc.cluster.local';
const SECRET = 's3cr3t';
/** Of a team, which has it for its own namespace. */
const TEAM = { namespace: 'shop', name: 'watcher' };

/** Binds an account to a ClusterRole in a namespace. */
const binding = (namespace: string, role: string, account: { namespace: string; name: string }) => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'RoleBinding',
  metadata: { name: role, namespace },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
  subjects: [{ kind: 'ServiceAccount', ...account }],
});

// Who may look is said by the API server, with the rights that the chart gives.
describe('Taps at a real API server', () => {
  const dir = useTempDir();
  const closed = closedIn(after);
  let cluster: Cluster;
  let issuer: Authority;

  before(async () => {
    cluster = closed(await bareCluster('taps'), (one) => one.stop());
    await installCrd(cluster);
    await cluster.apply(await chartAccounts());
    for (const name of ['demo', 'shop']) await ensureNamespace(cluster, name);
    await createAccount(cluster, TEAM.namespace, TEAM.name);
    issuer = await createIssuer(await createAnchor({}), {});
    const origin = closed(
      http.createServer((request, response) => request.resume().on('end', () => response.end('hello'))),
      (one) => {
        one.closeAllConnections();
        one.close();
      },
    );
    await new Promise<void>((resolve) => origin.listen(8080, address(16), resolve));
    await cluster.apply(exportedObjects('demo', 'web', { addresses: [address(16)] }));
  });

  /** Puts a process into the cluster as its pod, so that the API server leads to its admin port. */
  async function pod(name: string, component: string, ip: string, port: number): Promise<void> {
    const [key = '', value = ''] = OURS.split('=');
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: MULTICLUSTER, labels: { [key]: value, component } },
      spec: {
        serviceAccountName: 'linkerd-gateway',
        securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: component,
            image: 'none',
            ports: [{ name: 'linkspan-admin', containerPort: port }],
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          },
        ],
      },
    });
    await patchPodStatus(cluster, MULTICLUSTER, name, { phase: 'Running', podIP: ip, podIPs: [{ ip }] });
  }

  /** The first flow that a page is shown, to whom the kubeconfig is given. */
  async function firstOnPage(kubeconfig: string): Promise<TapLine> {
    const options = { clock: systemClock, random: Math.random };
    const client = new KubeClient(loadAccess({ file: kubeconfig }), options);
    const asked = { context: 'west', client, namespace: MULTICLUSTER };
    const source = clusterSource(asked, { windowMs: 60_000, timeoutMs: 8000 });
    const query = new URLSearchParams('context=west&namespace=demo&service=web&side=gateway');
    const { signal } = new AbortController();
    try {
      for await (const { data } of liveTap(source, query, { tapAccount: undefined, signal })) {
        const line = data as TapLine;
        if (line.event.type === 'flow') return line;
      }
      throw new Error('it has ended before');
    } finally {
      await source.close();
    }
  }

  for (const [at, runtime] of RUNTIMES.entries())
    it(`are streamed by a gateway on ${runtime}, through the API server, to whom the chart's role is bound`, async () => {
      const [kubeconfig, operators] = ['gateway', 'operator'].map((name) => path.join(dir(), name));
      const operator = { namespace: MULTICLUSTER, name: `operator-${runtime}` };
      await kubeconfigAs(cluster, { name: 'linkerd-gateway' }, kubeconfig ?? '');
      await createAccount(cluster, operator.namespace, operator.name);
      await kubeconfigAs(cluster, operator, operators ?? '');
      const [admin, listen] = [await freePort(), await freePort()];
      const ip = address(17 + at);
      const admins = ['--admin', `${ip}:${admin}`];
      // One of them is several processes, which hand on what they see.
      const workers = runtime === 'node' ? ['--workers', '2', '--listen', `127.0.0.1:${listen}`] : [];
      const gateway = await GatewayProcess.start({
        runtime,
        dir: dir(),
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        flags: ['--kubeconfig', kubeconfig ?? '', '--policy', 'off', '--tap', 'on', ...admins, ...workers],
      });
      const identity = await issueLeaf(issuer, { identity: 'client.east' });
      const client = new MeshClient({ port: gateway.port, gatewayIdentity: 'gateway.west', identity });
      try {
        const tap = (...flags: string[]) =>
          keptLinkspan('tap', 'svc/web', '--kubeconfig', operators ?? '', '-o', 'json', ...flags);
        await pod(`gateway-${runtime}`, 'gateway', ip, admin);
        const refused = await tap();
        expect([refused.code, refused.stderr]).to.satisfy(
          ([code, text]: [number, string]) => code === 1 && text.includes('[TAP_REFUSED]'),
        );
        expect(refused.stderr).to.contain('linkspan-tap-user');
        await cluster.apply(binding(MULTICLUSTER, 'linkspan-tap-user', operator));
        const onPage = firstOnPage(operators ?? '');
        const seen = Promise.all([tap('-n', 'demo', '--limit', '3'), onPage]).then(([outcome]) => outcome);
        const state = { over: false };
        const ended = () => void (state.over = true);
        seen.then(ended, ended);
        while (!state.over)
          await client.request('http1', WEB, {
            method: 'POST',
            path: `/cart?token=${SECRET}`,
            headers: { authorization: SECRET, cookie: SECRET },
            body: [Buffer.from(SECRET)],
          });
        const { code, stdout, stderr } = await seen;
        expect([code, stderr]).to.deep.equal([0, '']);
        const events = stdout
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line) as Record<string, unknown>);
        const flows = events.filter(({ type }) => type === 'flow');
        expect(flows).to.have.length(3);
        // The page gets the same events.
        const { pod: shownPod, event } = await onPage;
        expect(shownPod).to.equal(`gateway-${runtime}`);
        expect(event).to.include({ type: 'flow', method: 'POST', path: '/cart', status: 200 });
        expect(JSON.stringify(event)).not.to.contain(SECRET);
        for (const flow of flows)
          expect(flow).to.include({ pod: `gateway-${runtime}`, method: 'POST', path: '/cart', status: 200 });
        expect(stdout + gateway.log).not.to.contain(SECRET);
        await eventually('the log tells who looked', () => gateway.log.includes('nobody looks any more'));
        expect(gateway.log).to.contain(`system:serviceaccount:${MULTICLUSTER}:${TAP_ACCOUNT}`);
        const metrics = await (await fetch(`http://${ip}:${admin}/metrics`)).text();
        expect(metrics).to.match(/linkspan_tap_events_total\{result="sent"\} [1-9]/);
        expect(metrics).to.contain('linkspan_tap_sessions 0');
      } finally {
        client.close();
        await gateway.kill();
        await removeAll(cluster, pods, MULTICLUSTER);
      }
    });

  it('are a page of the egress, too', async () => {
    const kubeconfig = path.join(dir(), 'egress');
    await kubeconfigAs(cluster, { name: 'linkspan-egress' }, kubeconfig);
    const leaf = await issueLeaf(issuer, { identity: 'egress.east' });
    await writePemFiles(dir(), identityFiles(leaf), { force: true });
    const egress = await LinkspanEgress.start({ dir: dir(), kubeconfig, flags: ['--tap', 'on'] });
    try {
      const account = { namespace: MULTICLUSTER, name: TAP_ACCOUNT };
      const token = await requestToken(clientOf(cluster), account, 600_000, { audience: TAP_AUDIENCE });
      const ask = (headers: Record<string, string>) =>
        fetch(`http://127.0.0.1:${egress.admin}/tap?forMs=100`, { headers });
      expect((await ask({})).status).to.equal(401);
      const lines = (await (await ask({ [TAP_TOKEN_HEADER]: token })).text()).trimEnd().split('\n');
      const types = lines.map((line) => (JSON.parse(line) as { type: string }).type);
      expect([types[0], types.at(-1)]).to.deep.equal(['alive', 'end']);
    } finally {
      await egress.kill();
    }
  });

  describe('by a token', () => {
    let clock: VirtualClock;
    let page: TapPage;

    beforeEach(() => {
      clock = new VirtualClock(Date.now());
      const shared = { client: clientOf(cluster), clock };
      page = new TapPage({
        process: { tap: () => () => undefined },
        access: new TapAccess(shared),
        rules: new TapRules(shared),
        paths: true,
        clock,
        log: captureLog().log,
      });
    });

    const tokenOf = (audience?: string) =>
      requestToken(clientOf(cluster), TEAM, 600_000, audience === undefined ? {} : { audience });
    const ask = async (token: string | undefined, query: string) => {
      const header = (name: string) => (name === TAP_TOKEN_HEADER ? token : undefined);
      const answer = await page.answer(adminRequest({ header }), new URLSearchParams(query));
      const { status, body } = answer;
      return { status, body, text: Buffer.isBuffer(body) ? body.toString() : '' };
    };
    /** Reads until it ends, asking again as time passes. */
    const untilEnd = async (body: AsyncIterable<Buffer>, change: () => Promise<unknown>) => {
      let said = '';
      let over = false;
      const reading = (async () => {
        for await (const piece of body) said += piece.toString();
        over = true;
      })();
      await eventually('it has begun', () => said.includes('alive'));
      await change();
      // API servers know a token for ten seconds more.
      const ends = async () => {
        await clock.advance(20_000);
        return over;
      };
      await eventually('it has ended', ends, { everyMs: 1000 });
      await reading;
      return said;
    };

    it('are for nobody without one, with one for something else, or one that nobody has issued', async () => {
      const token = await tokenOf(TAP_AUDIENCE);
      expect((await ask(undefined, 'namespace=shop')).status).to.equal(401);
      expect((await ask(await tokenOf(), 'namespace=shop')).status).to.equal(401);
      expect((await ask(await tokenOf('somebody.else'), 'namespace=shop')).status).to.equal(401);
      const forged = `${token.slice(0, -8)}AAAAAAAA`;
      expect((await ask(forged, 'namespace=shop')).text).to.contain(TAP_AUDIENCE);
      expect((await ask(token, 'namespace=shop')).text).to.contain('rolebinding');
    });

    it('are for the namespaces in which there is a binding, until that is taken away', async () => {
      await cluster.apply(binding('shop', TAP_ACCOUNT, TEAM));
      const token = await tokenOf(TAP_AUDIENCE);
      for (const query of ['namespace=demo', '']) {
        const { status, text } = await ask(token, query);
        expect([status, text]).to.satisfy(
          ([code, said]: [number, string]) => code === 403 && said.includes('--serviceaccount=shop:watcher'),
        );
      }
      const { status, body } = await ask(token, 'namespace=shop');
      expect(status).to.equal(200);
      const said = await untilEnd(body as AsyncIterable<Buffer>, () =>
        remove(cluster, roleBindings, { namespace: 'shop', name: TAP_ACCOUNT }),
      );
      expect(said).to.contain('"why":"right withdrawn"');
    });

    it('end when the token is valid no longer', async () => {
      await cluster.apply(binding('shop', TAP_ACCOUNT, TEAM));
      const { body } = await ask(await tokenOf(TAP_AUDIENCE), 'namespace=shop');
      const said = await untilEnd(body as AsyncIterable<Buffer>, () =>
        remove(cluster, serviceAccounts, TEAM),
      );
      expect(said).to.contain('"why":"token expired"');
    });
  });
});
