import { expect } from 'chai';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { services } from '../../src/api/kubernetes/resource.ts';
import { systemClock } from '../../src/base/clock.ts';
import { HISTORY_KINDS } from '../../src/dashboard/answers.ts';
import { HistoryAnswers } from '../../src/dashboard/history/history-answers.ts';
import { PrometheusClient } from '../../src/dashboard/history/prometheus-client.ts';
import { anonymousAccess } from '../../src/kube/client/access.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { boards, expressionsOf, variablesOf } from '../support/chart-boards.ts';
import { alerts, recordings } from '../support/chart-rules.ts';
import { closedIn } from '../support/closed-in.ts';
import { clientOf } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportObjects } from '../support/exports.ts';
import { apply, installCrd } from '../support/linked-clusters.ts';
import { LINKERD_BOARD, LINKERD_BOARD_EMPTY } from '../support/linkerd-board.ts';
import { ObservedController, observedSigner } from '../support/observed-controller.ts';
import { ObservedTraffic, SEEN } from '../support/observed-traffic.ts';
import { Prometheus } from '../support/prometheus.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { sharedClusters } from '../testbed/shared.ts';

/** What somebody has chosen on the boards. */
const CHOSEN: Readonly<Record<string, string>> = {
  cluster: '.*',
  namespace: '.*',
  link: 'west',
  component: '.*',
  pod: '.*',
  service_namespace: SEEN.namespace,
  service: SEEN.name,
  __rate_interval: '30s',
};
const chosen = (expr: string) =>
  expr.replaceAll(/\$(\w*[a-z]\w*)/g, (whole, name: string) => CHOSEN[name] ?? whole);

/**
 * Alerts that need more than a fault: minutes of it, many in a second, or a machine that is out of memory.
 * That each of their series is there is seen here, that they fire by them in `firing-alerts.test.ts`.
 */
const TAKE_TIME: ReadonlySet<string> = new Set([
  'LinkspanCapacityShort',
  'LinkspanCertificateExpires',
  'LinkspanClientsRefused',
  'LinkspanCredentialsExpire',
  'LinkspanFailoverFactsStale',
  'LinkspanFailoverFlapping',
  'LinkspanGatewayFlaps',
  'LinkspanLinkFlaps',
  'LinkspanLinkStale',
  'LinkspanNoCertificate',
  'LinkspanNoIssuer',
  'LinkspanOwnNetworkSuspected',
  'LinkspanRenewalFails',
  'LinkspanRttHigh',
  'LinkspanTelemetryLost',
  'LinkspanTrustAnchorExpires',
  'LinkspanWorkersCrash',
  'LinkspanWorkersMissing',
  'LinkspanWriteStuck',
]);
/** Removals are held until a second list, which comes soon. */
const MOMENTARY = /DropHeld/;
/** Fires before the first scrape, and never after. */
const BEFORE_ALL = 'LinkspanNotScraped';

/** The series that an expression asks for, each with its matchers. */
function seriesOf(expr: string): string[] {
  const bare = expr.replaceAll(/\b(?:by|on) \([^)]*\)/g, '');
  return [...bare.matchAll(/\b(?:[a-z]\w*(?::\w+)+|[a-z]+_[a-z_]+|up)\b(?!\s*\()(?:\{[^}]*\})?/g)].map(
    ([found]) => found,
  );
}

/** Of what is asked for by name. */
interface Asked {
  readonly at: string;
  readonly expr: string;
}

// An expression that never finds anything looks like a cluster in which all is well.
describe('rules and boards of the chart, by a Prometheus that scrapes real processes', () => {
  const closed = closedIn(after);
  const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-monitoring-'));
  after(() => rmSync(dir, { recursive: true }));
  let prometheus: Prometheus;
  let traffic: ObservedTraffic;
  let controller: ObservedController;
  let west: Cluster;

  before(async () => {
    const clusters = await sharedClusters();
    west = clusters.west;
    await installCrd(clusters.east);
    const folder = (name: string) => {
      mkdirSync(path.join(dir, name));
      return path.join(dir, name);
    };
    traffic = closed(await ObservedTraffic.start('node', folder('traffic')), (one) => one.stop());
    controller = closed(await ObservedController.start(clusters.east, west), (one) => one.stop());
    const signer = closed(await observedSigner(clusters.east, folder('issuer'), 10), (one) => one.kill());
    const scraped = [
      { port: traffic.gateway.admin, component: 'gateway', pod: 'gateway-1' },
      { port: traffic.egress.admin, component: 'egress', pod: 'egress-1' },
      { port: controller.process.admin, component: 'controller', pod: 'controller-1' },
      { port: signer.admin, component: 'signer', pod: 'signer-1' },
    ];
    prometheus = closed(
      await Prometheus.start(folder('prometheus'), 'linkerd-multicluster', scraped),
      (one) => one.stop(),
    );
    await controller.linkSilent('south');
    await breakExports();
  });

  /** Exports without endpoints, and ones that cannot be mirrored; and many that vanish in one moment. */
  async function breakExports(): Promise<void> {
    const test = controller.exports;
    const many = Array.from({ length: 30 }, (_, index) => `many-${index}`);
    await apply(
      west,
      ...exportObjects(test, 'empty', { test, endpoints: [] }),
      ...exportObjects(test, 'a'.repeat(60), { test }),
      ...many.flatMap((name) => exportObjects(test, name, { test })),
    );
    await eventually('they are mirrored', async () =>
      /linkspan_mirrors\{target_cluster_name="west"\} 3\d/.test(await controller.process.metrics()),
    );
    // A second list would say at once that they are gone.
    await controller.revoke();
    const client = clientOf(west);
    await Promise.all(many.map((name) => client.delete(services, { namespace: test, name })));
  }

  /** Whether it is answered; of what is over soon, whether it was. */
  async function isAnswered(expr: string): Promise<boolean> {
    const asked = MOMENTARY.test(expr) ? `max_over_time((${expr})[90s:1s])` : expr;
    return (await prometheus.query(asked)).length > 0;
  }

  /** Asks until each was answered with numbers once, under traffic. */
  async function answered(asked: readonly Asked[]): Promise<void> {
    let left = asked;
    await eventually(
      'every expression is answered',
      async () => {
        await traffic.round();
        const still: Asked[] = [];
        for (const one of left) if (!(await isAnswered(chosen(one.expr)))) still.push(one);
        left = still;
        return left.length === 0;
      },
      { everyMs: 200, timeoutMs: 45_000 },
    ).catch(() => undefined);
    expect(left).to.deep.equal([]);
  }

  it('each panel, variable, recording and alert finds what it asks for', async () => {
    const all = [...boards.values()];
    const named = (at: string) => (expr: string) => ({ at, expr });
    await answered([
      ...all.flatMap(expressionsOf),
      ...all.flatMap(variablesOf),
      ...recordings.map(({ record }) => ({ at: 'recorded', expr: record })),
      ...alerts.flatMap(({ alert, expr }) => seriesOf(expr).map(named(alert))),
      ...Object.entries(LINKERD_BOARD).map(([at, expr]) => ({
        at: `Linkerd: ${at}`,
        expr: expr.replaceAll('$cluster', 'west'),
      })),
    ]);
    for (const [at, expr] of Object.entries(LINKERD_BOARD_EMPTY))
      expect(await prometheus.query(chosen(expr).replaceAll('$cluster', 'west')), at).to.deep.equal([]);
  });

  it('what pages show of the past is there, too', async () => {
    const options = { clock: systemClock, random: Math.random, maxTries: 1 };
    const client = closed(new KubeClient(anonymousAccess(prometheus.url), options), (one) => one.close());
    const history = new HistoryAnswers(new PrometheusClient(client), systemClock);
    const { signal } = new AbortController();
    for (const kind of HISTORY_KINDS)
      await eventually(`history of each ${kind}`, async () => {
        await traffic.round();
        const asked = new URLSearchParams({ kind, range: '15m' });
        const { rows } = await history.table(asked, signal);
        const row = rows.find(({ latency_ms_p99: p99 }) => p99 !== null);
        if (row === undefined) return false;
        for (const key of ['namespace', 'name', 'side', 'source'] as const) asked.set(key, row[key]);
        const { rps, success, p99 } = await history.series(asked, signal);
        return [rps, success, p99].every((column) => column.some((value) => value !== null));
      });
  });

  it('each alert fires by its fault, but for those that take time', async () => {
    const names = [...new Set(alerts.map(({ alert }) => alert))];
    expect([...TAKE_TIME].filter((name) => !names.includes(name))).to.deep.equal([]);
    await answered(
      names
        .filter((name) => !TAKE_TIME.has(name) && name !== BEFORE_ALL)
        .map((name) => ({ at: name, expr: `ALERTS{alertname="${name}",alertstate="firing"}` })),
    );
    const before = alerts.find(({ alert }) => alert === BEFORE_ALL)?.expr ?? '';
    expect(await prometheus.query(before, Date.now() / 1000 - 3600)).to.have.lengthOf(1);
    // A scrape may be late on a machine that is busy.
    await eventually('all are scraped', async () => (await prometheus.query(before)).length === 0);
  });
});
