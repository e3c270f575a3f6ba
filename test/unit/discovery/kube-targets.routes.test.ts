import { expect } from 'chai';
import { openKubeTargets } from '../../../src/discovery/kube-targets.ts';
import type { TargetSource } from '../../../src/discovery/target-spec.ts';
import { statusError } from '../../../src/kube/client/api-error.ts';
import { captureLog } from '../../support/captured-log.ts';
import { eventually } from '../../support/eventually.ts';
import { FakeCluster } from '../../support/fake-cluster.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';

const LABELS = { 'mirror.linkerd.io/exported': 'true' };
const NAME = 'web.demo.svc.west.example';

// 2,000 HTTPRoutes of one Service kept a gateway busy for 25 s, and 10,000 for minutes, whoever had written
// them: routes of any namespace that named the Service were looked at.
describe('thousands of routes of one Service', () => {
  const cluster = new FakeCluster();
  const captured = captureLog();
  let targets: TargetSource;
  let updates = 0;

  const route = (n: number, namespace: string) => ({
    metadata: {
      name: `route-${n}`,
      namespace,
      generation: 1,
      creationTimestamp: new Date(Date.UTC(2026, 0, 1) + n * 1000),
    },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: 'web', namespace: 'demo' }],
      rules: [{ matches: [{ headers: [{ name: 'x', value: String(n) }] }] }],
    },
  });

  before(async () => {
    cluster.put('services', {
      metadata: { name: 'web', namespace: 'demo', labels: LABELS },
      spec: { selector: { app: 'web' }, ports: [{ port: 80, name: 'http' }] },
    } as never);
    for (let n = 0; n < 2000; n++) {
      cluster.put('httproutes', route(n, 'demo'));
      cluster.put('httproutes', route(n, 'other'));
    }
    const resources = [{ name: 'httproutes' }];
    const raw = (_: string, at: string) => {
      if (at === '/apis/gateway.networking.k8s.io') return Promise.resolve({ versions: [{ version: 'v1' }] });
      if (at === '/apis/gateway.networking.k8s.io/v1') return Promise.resolve({ resources });
      return Promise.reject(statusError(404, '{"reason":"NotFound"}', 'fake', undefined));
    };
    targets = openKubeTargets({
      client: Object.assign(cluster.client, { raw }),
      clock: new VirtualClock(),
      random: () => 0.5,
      log: captured.log,
      clusterDomain: 'west.example',
    });
    targets.subscribe(() => void updates++);
    await eventually('that all is known', () => Promise.resolve(targets.ready.ok));
    await settle(20);
  });
  after(() => targets.close());

  it('are looked at together, the oldest of its own namespace', () => {
    const rules = targets.get(NAME, 80)?.routed?.routing.rules ?? [];
    expect(rules).to.have.length(512);
    expect(rules[0]?.name).to.equal('HTTPRoute demo/route-0 rule 1');
    expect(updates).to.be.below(10);
  });

  it('are said to be too many', () => {
    const problems = captured.lines.flatMap((line) => (line['problems'] ?? []) as string[]);
    expect(problems.join()).to.contain('2000 routes, of which the 1488 youngest are left out');
  });

  it('are not looked at again because somebody writes their status', async () => {
    const before = updates;
    cluster.put('httproutes', { ...route(1, 'demo'), status: { parents: [] } } as never);
    await settle(20);
    expect(updates).to.equal(before);
    cluster.remove('httproutes', 'demo', 'route-0');
    await eventually('that the next one counts', async () => {
      await settle();
      return targets.get(NAME, 80)?.routed?.routing.rules[0]?.name === 'HTTPRoute demo/route-1 rule 1';
    });
  });
});
