import type { V1Deployment } from '@kubernetes/client-node';
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  type Category,
  type ClusterCheck,
  type CheckFinding,
  type CheckOutcome,
  passed,
  runChecks,
} from '../../../src/check/check.ts';
import { skewFinding } from '../../../src/check/clock-skew.ts';
import type { CheckFacts } from '../../../src/check/check-facts.ts';
import {
  deadGateways,
  linkerdChecks,
  linkVersions,
  orphanedServices,
  validLinks,
  withoutEndpoints,
} from '../../../src/check/linkerd-checks.ts';
import { slicePreChecks, unservedLines } from '../../../src/check/slice-checks.ts';
import { handMadeSlicesIn } from '../../../src/exports/slice-makers.ts';
import {
  badConditions,
  expiringCredentials,
  linkspanChecks,
  notMirrored,
  unwrittenStatus,
} from '../../../src/check/linkspan-checks.ts';
import { probesFinding } from '../../../src/check/path-checks.ts';
import { preChecks } from '../../../src/check/pre-checks.ts';
import { checkReport, headingText, outcomeText, summaryText } from '../../../src/check/report.ts';
import { endpointSlices, services } from '../../../src/api/kubernetes/resource.ts';
import type { LinkObject } from '../../../src/api/link/link-schema.ts';
import type { LinkReport } from '../../../src/api/answers/admin-answers.ts';
import { expectGolden } from '../../support/golden.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const plain = (_: string, text: string) => text;
const made = (
  id: string,
  severity: ClusterCheck['severity'],
  ...findings: (CheckFinding | Error)[]
): ClusterCheck => {
  let asked = 0;
  return {
    id,
    text: `${id} is well`,
    severity,
    retried: findings.length > 1,
    run: () => {
      const finding = findings[Math.min(asked++, findings.length - 1)] ?? passed;
      return finding instanceof Error ? Promise.reject(finding) : Promise.resolve(finding);
    },
  };
};

async function run(categories: readonly Category[], more: { waitMs?: number } = {}) {
  const clock = new VirtualClock();
  const outcomes: CheckOutcome[] = [];
  const waits: string[] = [];
  const done = runChecks(categories, {
    clock,
    timeoutMs: 10_000,
    waitMs: more.waitMs ?? 0,
    onOutcome: (outcome) => outcomes.push(outcome),
    onWaiting: (text) => waits.push(text),
  });
  const state = { over: false };
  void done.then(() => (state.over = true));
  while (!state.over) await clock.advance(1000);
  return { success: await done, outcomes, waits, results: outcomes.map(({ finding }) => finding.result) };
}

describe('running checks', () => {
  it('goes on after an error, ends a category after a fatal one, and is a success with warnings alone', async () => {
    const bad: CheckFinding = { result: 'error', text: 'gone' };
    const first = await run([
      { name: 'a', checks: [made('one', 'error', bad), made('two', 'error', passed)] },
      { name: 'b', checks: [made('three', 'fatal', bad), made('four', 'error', passed)] },
      { name: 'c', checks: [made('five', 'warning', { result: 'warning', text: 'hm' })] },
    ]);
    expect(first.results).to.deep.equal(['error', 'success', 'error', 'warning']);
    expect(first.success).to.equal(false);
    const second = await run([
      { name: 'c', checks: [made('five', 'warning', { result: 'warning', text: 'hm' })] },
    ]);
    expect(second.success).to.equal(true);
  });

  it('asks again what may come right, until the time is over', async () => {
    const wrong: CheckFinding = { result: 'error', text: 'not yet' };
    const soon = await run([{ name: 'a', checks: [made('one', 'error', wrong, wrong, passed)] }], {
      waitMs: 60_000,
    });
    expect(soon.results).to.deep.equal(['success']);
    expect(soon.waits).to.deep.equal(['one is well: not yet', 'one is well: not yet']);
    const never = await run([{ name: 'a', checks: [made('one', 'error', wrong, wrong)] }], { waitMs: 5000 });
    expect(never.results).to.deep.equal(['error']);
  });

  it('does not hang with what hangs, and says what was thrown', async () => {
    const hangs: ClusterCheck = { ...made('hangs', 'error'), run: () => new Promise<never>(() => undefined) };
    const { outcomes, success } = await run([
      { name: 'a', checks: [hangs, made('throws', 'warning', new Error('no route'))] },
    ]);
    expect(outcomes.map(({ finding }) => [finding.result, finding.text])).to.deep.equal([
      ['error', 'no answer within 10 s'],
      ['warning', 'no route'],
    ]);
    expect(success).to.equal(false);
  });

  it('ends at once where the API server does not answer, instead of waiting for every check in turn', async () => {
    const hangs: ClusterCheck = { ...made('hangs', 'fatal'), run: () => new Promise<never>(() => undefined) };
    const { results, success } = await run([
      { name: 'a', checks: [hangs, made('two', 'error', passed)] },
      { name: 'b', checks: [made('three', 'error', passed)] },
    ]);
    expect(results).to.deep.equal(['error']);
    expect(success).to.equal(false);
  });
});

const condition = (type: string, status: 'True' | 'False' | 'Unknown', reason: string, message = '') => ({
  type,
  status,
  reason,
  message,
  lastTransitionTime: '2026-11-24T00:00:00Z',
});
const link = (name: string, more: Partial<LinkObject> = {}): LinkObject => ({
  metadata: { name, namespace: 'linkerd-multicluster', ...more.metadata },
  spec: {
    targetClusterName: name,
    clusterCredentialsSecret: `cluster-credentials-${name}`,
    targetClusterDomain: 'cluster.local',
    gatewayAddress: '10.0.0.1',
    gatewayPort: '4143',
    gatewayIdentity: 'gw',
    ...more.spec,
  },
  ...(more.status === undefined ? {} : { status: more.status }),
});

describe('what checks say', () => {
  it('of Links: good ones are listed, bad fields named', () => {
    expect(validLinks([link('west')])).to.deep.equal({ result: 'success', text: '* west' });
    const bad = validLinks([link('west', { spec: { gatewayPort: 'http' } })]);
    expect(bad.result).to.equal('error');
    expect(bad.text).to.match(/^\* west: spec\.gatewayPort /);
  });

  it('of Links of another version, but not of those that Linkerd made', () => {
    const by = (createdBy: string) =>
      link('west', { metadata: { name: 'west', annotations: { 'linkerd.io/created-by': createdBy } } });
    expect(linkVersions([by('linkspan/cli 0.1.0')], '0.1.0').result).to.equal('success');
    expect(linkVersions([by('linkerd/cli edge-26.8.3')], '0.1.0').result).to.equal('success');
    expect(linkVersions([by('linkspan/cli 0.0.9')], '0.1.0').text).to.contain('link again');
  });

  it('of gateways: the reason and the message of the condition; those without a gateway are none', () => {
    const dead = link('west', {
      status: { conditions: [condition('GatewayAlive', 'False', 'ProbesFailed', '10.0.0.1: refused')] },
    });
    expect(deadGateways([dead, link('flat', { spec: { gatewayAddress: '' } })]).text).to.equal(
      '* west: ProbesFailed: 10.0.0.1: refused',
    );
  });

  const report = (mirrors: LinkReport['mirrors']): LinkReport => ({
    link: 'linkerd-multicluster/west',
    cluster: 'west',
    held: true,
    ...(mirrors === undefined ? {} : { mirrors }),
  });
  const mirror = (
    reason: 'Mirrored' | 'NoReadyEndpoints' | 'NameConflict',
    endpoints: number,
    mode = 'relay',
  ) => ({
    service: 'shop/web',
    local: 'web-west',
    mode,
    reason,
    message: reason === 'NameConflict' ? 'Service shop/web-west is not ours' : '',
    since: '',
    endpoints,
  });

  it('of mirrors without endpoints: which, of which cluster, and why; flat ones need none', () => {
    const found = withoutEndpoints([
      report([mirror('NoReadyEndpoints', 0), mirror('Mirrored', 0, 'flat'), mirror('Mirrored', 2)]),
    ]);
    expect(found.text).to.equal('* web-west.shop mirrored from cluster [west]: NoReadyEndpoints');
  });

  it('of exports without a mirror', () => {
    expect(notMirrored([report([mirror('Mirrored', 1)])])).to.deep.equal(passed);
    expect(unwrittenStatus([report([])])).to.deep.equal(passed);
    expect(unwrittenStatus([{ ...report([]), unwritten: ['status: denied'] }])).to.deep.include({
      result: 'warning',
    });
    expect(notMirrored([report([mirror('NameConflict', 0)])])).to.deep.equal({
      result: 'warning',
      text: '* shop/web of west: NameConflict: Service shop/web-west is not ours',
    });
  });

  it('of mirrors whose Link is gone', () => {
    const labels = { 'mirror.linkerd.io/cluster-name': 'north' };
    const left = orphanedServices(
      [{ metadata: { name: 'web-north', namespace: 'shop', labels } }],
      [link('west')],
    );
    expect(left.text).to.equal('* mirror service shop/web-north is not part of any Link (cluster north)');
    expect(orphanedServices([], []).result).to.equal('success');
  });

  it('of conditions and credentials', () => {
    const bad = link('west', {
      status: {
        conditions: [
          condition('CredentialsValid', 'True', 'CredentialsExpiring', 'on 2026-12-01'),
          condition('APIReachable', 'False', 'Unreachable', 'no route'),
        ],
      },
    });
    expect(badConditions([bad]).text).to.equal('* west: APIReachable: Unreachable: no route');
    const unprobed = link('east', {
      status: { conditions: [condition('GatewayAlive', 'Unknown', 'NotProbed')] },
    });
    expect(badConditions([unprobed]), 'a Link that asks for no probes is as it should be').to.deep.equal(
      passed,
    );
    expect(badConditions([link('new')]).text).to.contain('no controller has looked at it yet');
    expect(badConditions([]).result).to.equal('skipped');
    expect(expiringCredentials([bad]).text).to.equal('* west: CredentialsExpiring: on 2026-12-01');
  });

  it('of clocks: the stamp may be from any moment between question and answer, and has whole seconds', () => {
    const read = (whose: string, before: number, server: number | undefined, after: number) => ({
      whose,
      before,
      server,
      after,
    });
    expect(skewFinding([read('a', 9999, 9000, 10_000), read('b', 1000, 20_000, 20_000)])).to.deep.equal(
      passed,
    );
    expect(skewFinding([read('a', 0, undefined, 0)]).result).to.equal('skipped');
    const off = [
      read('a', 10_000, 10_000, 10_001),
      read('b', 20_000, 10_000, 20_001),
      read('c', 0, 60_000, 1000),
    ];
    expect(skewFinding(off)).to.deep.equal({
      result: 'warning',
      text: '* b is 9.0 s behind this machine\n* c is 59.0 s ahead of this machine',
    });
  });

  it('of requests sent now: each address that failed, replicas that are silent; two that say the same are one', () => {
    const one = (address: string, ok: boolean) => ({
      link: 'linkerd-multicluster/west',
      cluster: 'west',
      address,
      ok,
      message: ok ? '' : 'ProbeRefused: it refuses',
      latencyMs: 1,
    });
    const good = one('10.0.0.1', true);
    const bad = one('10.0.0.2', false);
    expect(probesFinding({ tries: [good], failures: [] })).to.deep.equal(passed);
    expect(probesFinding({ tries: [], failures: [] }).result).to.equal('skipped');
    expect(probesFinding({ tries: [good, bad, bad], failures: ['pod-2: gone'] })).to.deep.equal({
      result: 'error',
      text: '* west (10.0.0.2): ProbeRefused: it refuses\n* no answer from pod-2: gone',
    });
    expect(probesFinding({ tries: [], failures: ['pod-2: gone'] }).result).to.equal('error');
  });
});

describe('the report', () => {
  const outcomes: CheckOutcome[] = [
    {
      category: 'linkerd-multicluster',
      check: made('l5d-a', 'error'),
      finding: { result: 'success', text: '* west' },
    },
    {
      category: 'linkerd-multicluster',
      check: made('l5d-b', 'error'),
      finding: { result: 'error', text: '* west: gone\n* north: gone' },
    },
    {
      category: 'linkspan',
      check: made('linkspan-c', 'warning'),
      finding: { result: 'warning', text: 'soon' },
    },
    {
      category: 'linkspan',
      check: made('linkspan-d', 'error'),
      finding: { result: 'skipped', text: 'no links detected' },
    },
  ];

  it('is Linkerd’s text', () => {
    const text = [
      headingText('linkerd-multicluster'),
      ...outcomes.map((outcome) => outcomeText(outcome, plain)),
      summaryText(false, plain),
    ];
    expectGolden('cli/check/table.txt', text.join(''));
  });

  it('is Linkerd’s JSON', () => {
    expectGolden('cli/check/report.json', `${JSON.stringify(checkReport(outcomes, false), null, 2)}\n`);
  });
});

describe('docs/reference/checks.md', () => {
  it('has every check, and no other', () => {
    const page = readFileSync(path.join(import.meta.dirname, '../../../docs/reference/checks.md'), 'utf8');
    const facts = {} as CheckFacts;
    const clock = new VirtualClock();
    const all = [
      linkerdChecks(facts),
      linkspanChecks(facts, clock),
      preChecks(facts, {
        clock,
        helm: () => Promise.resolve(''),
        dryRunInstall: () => Promise.resolve({ error: undefined, warnings: [], refusedPods: [] }),
      }),
    ];
    const ids = all.flatMap(({ checks }) => checks.map(({ id }) => id));
    expect([...page.matchAll(/^#+ ((?:l5d|linkspan)-[a-z-]+)$/gm)].map((match) => match[1])).to.deep.equal(
      ids,
    );
  });
});

describe('slices made by hand', () => {
  const slice = (namespace: string, service: string, maker?: string) => ({
    addressType: 'IPv4',
    endpoints: [],
    metadata: {
      name: `${service}-1`,
      namespace,
      labels: {
        'kubernetes.io/service-name': service,
        ...(maker === undefined ? {} : { 'endpointslice.kubernetes.io/managed-by': maker }),
      },
    },
  });
  const exports = ['shop', 'vms'].map((namespace) => ({ metadata: { namespace, name: 'db' } }));

  // After an upgrade such exports answer "no endpoints"; whoever asks before should know.
  it('are told of where their Service is exported and the gateway does not serve them', () => {
    const slices = [
      slice('shop', 'db'),
      slice('shop', 'db', 'endpointslice-controller.k8s.io'),
      slice('shop', 'private'),
      slice('vms', 'db', 'operator'),
      slice('vms', 'db', 'endpointslicemirroring-controller.k8s.io'),
    ];
    expect(unservedLines(slices, exports, handMadeSlicesIn(['vms']))).to.deep.equal([
      'shop/db: EndpointSlice db-1 was made by hand; gateway.handMadeSlices does not name shop',
    ]);
    expect(unservedLines(slices, exports, handMadeSlicesIn([]))).to.have.length(3);
    expect(unservedLines(slices, exports, handMadeSlicesIn(['all']))).to.deep.equal([]);
  });

  // Linkerd's gateway serves them: that ours would not was in the guide, and in the check that comes after it
  // has taken over.
  it('are told of before our gateway takes the place of another, and where it is there by what it serves', async () => {
    const lists = new Map<unknown, readonly object[]>([
      [endpointSlices, [slice('shop', 'db')]],
      [services, exports],
    ]);
    const said = async (...gateways: V1Deployment[]) => {
      const facts = {
        deployments: () => Promise.resolve(gateways),
        client: { list: (kind: unknown) => Promise.resolve({ items: lists.get(kind) ?? [] }) },
      };
      const [check] = slicePreChecks(facts as unknown as CheckFacts);
      return check?.run(new AbortController().signal);
    };
    const gateway = (...args: string[]): V1Deployment => ({
      metadata: { labels: { 'app.kubernetes.io/component': 'gateway' } },
      spec: { selector: {}, template: { spec: { containers: [{ name: 'gateway', args }] } } },
    });
    const warning = {
      result: 'warning',
      text: 'shop/db: EndpointSlice db-1 was made by hand; gateway.handMadeSlices does not name shop',
    };
    expect(await said()).to.deep.equal(warning);
    expect(await said(gateway())).to.deep.equal(warning);
    expect(await said(gateway('--hand-made-slices', 'shop'))).to.deep.equal({ result: 'success' });
  });
});
