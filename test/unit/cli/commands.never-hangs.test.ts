import { expect } from 'chai';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { stringify } from 'yaml';
import { closedIn } from '../../support/closed-in.ts';
import { keptLinkspan, linkspan } from '../../support/linkspan.ts';
import { reportOf, targetOf } from '../../support/traffic-readings.ts';
import { useTempDir } from '../../support/temp-dir.ts';

type Answer = (path: string) => object | undefined;

const lease = (link: string, pod: string) => ({
  metadata: { name: `service-mirror-write-${link}`, namespace: 'linkerd-multicluster' },
  spec: { holderIdentity: pod },
});
const leaseList = (...items: object[]) => ({ kind: 'LeaseList', metadata: { resourceVersion: '1' }, items });

/**
 * Somebody who looks for what is wrong meets API servers and controllers that say nothing: the verbs end all
 * the same, and tell what they know.
 */
describe('verbs that read, where somebody is silent', () => {
  const tempDir = useTempDir();
  const closed = closedIn(afterEach);

  /** An API server that says nothing where `answer` has nothing to say. */
  async function kubeconfig(answer: Answer): Promise<string> {
    const server = http.createServer((request, response) => {
      const body = answer(request.url ?? '');
      if (body === undefined) return;
      const { code = 200 } = body as { code?: number };
      response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    closed(server, (one) => {
      one.closeAllConnections();
      one.close();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const file = path.join(tempDir(), 'kubeconfig');
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'it',
      contexts: [{ name: 'it', context: { cluster: 'it', user: 'it' } }],
      clusters: [{ name: 'it', cluster: { server: `http://127.0.0.1:${port}` } }],
      users: [{ name: 'it', user: {} }],
    };
    writeFileSync(file, stringify(config));
    return file;
  }

  for (const verb of [
    ['links', '--timeout', '300ms'],
    ['mirrors', '--timeout', '300ms'],
    ['gateways', '--wait', '300ms'],
    ['explain', 'svc', 'web', '--timeout', '300ms'],
    ['stat', '--timeout', '300ms'],
    ['edges', '--timeout', '300ms'],
    ['routes', 'svc/web', '--timeout', '300ms'],
    ['proxies', '--timeout', '300ms'],
    ['explain', 'link', 'west', '--timeout', '300ms'],
  ]) {
    it(`${verb.join(' ')}: an API server that accepts and says nothing`, async () => {
      const file = await kubeconfig(() => undefined);
      const { code, stdout, stderr } = await keptLinkspan(...verb, '--kubeconfig', file);
      expect(stderr).to.match(/^linkspan: \[KUBE_TIMEOUT\] no answer from http:\/\/127\S+ within 300ms\. /);
      expect([code, stdout]).to.deep.equal([1, '']);
    });
  }

  it('version tells its own, and why it cannot tell the others', async () => {
    const file = await kubeconfig(() => undefined);
    const { code, stdout } = await linkspan('version', '--timeout', '300ms', '--kubeconfig', file);
    expect(code).to.equal(0);
    expect(stdout).to.match(/^Client version: linkspan \S+\nServer version: unavailable \(no answer from/);
  });

  it('stat shows what pods say where Services and controllers are silent, and names what is missing', async () => {
    const pod = {
      metadata: { name: 'gateway-0', labels: { 'app.kubernetes.io/component': 'gateway' } },
      spec: { containers: [{ name: 'gateway', ports: [{ name: 'linkspan-admin', containerPort: 9990 }] }] },
      status: { phase: 'Running' },
    };
    const file = await kubeconfig((asked) => {
      if (asked.startsWith('/api/v1/namespaces/linkerd-multicluster/pods?'))
        return { kind: 'PodList', metadata: { resourceVersion: '1' }, items: [pod] };
      return asked.includes('/proxy/stats') ? reportOf({ targets: [targetOf()] }) : undefined;
    });
    const { code, stdout, stderr } = await keptLinkspan('stat', '--timeout', '1s', '--kubeconfig', file);
    expect(code).to.equal(0);
    expect(stdout).to.match(/^shop +web +this cluster +- +100% +10\.0 /m);
    expect(stderr).to.match(/^linkspan: not read: this cluster: no answer from http:\S+ within 600ms$/m);
  });

  it('mirrors shows what the other replicas know, and names the silent one', async () => {
    const west = {
      link: 'linkerd-multicluster/west',
      cluster: 'west',
      held: true,
      mirrors: [],
      federated: [],
    };
    const file = await kubeconfig((url) => {
      if (url.includes('/leases')) return leaseList(lease('west', 'pod-a'), lease('north', 'pod-b'));
      return url.includes('/pods/pod-a:') ? [west] : undefined;
    });
    const outcome = await linkspan('mirrors', '-o', 'json', '--timeout', '3s', '--kubeconfig', file);
    expect(outcome.stderr).to.equal('linkspan: no answer from pod-b: no answer in time\n');
    expect(JSON.parse(outcome.stdout)).to.deep.equal([west]);
    expect(outcome.code).to.equal(0);
  });

  it('without rights on pods the message says which are wanted; without a controller, that there is none', async () => {
    const refused = { kind: 'Status', status: 'Failure', reason: 'Forbidden', code: 403, message: 'no' };
    const forbidden = await kubeconfig((url) =>
      url.includes('/leases') ? leaseList(lease('west', 'pod-a')) : refused,
    );
    const first = await keptLinkspan('mirrors', '--kubeconfig', forbidden);
    expect(first.code).to.equal(1);
    expect(first.stderr).to.match(/^linkspan: \[CONTROLLER_NOT_FOUND\] .*pod-a.*`get` pods\/proxy/);
    const empty = await kubeconfig(() => leaseList());
    const second = await keptLinkspan('mirrors', '--kubeconfig', empty);
    expect(second.code).to.equal(1);
    expect(second.stderr).to.match(/^linkspan: \[CONTROLLER_NOT_FOUND\] .*no replica holds a Lease/);
  });
});
