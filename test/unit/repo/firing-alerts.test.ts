import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { ALERTS_FILE, alerts } from '../../support/chart-alerts.ts';
import { machineProgram } from '../../testbed/binaries/machine.ts';

/** Series of one Service of one controller, minute by minute, in promtool's notation. */
const service = (name: string, labels: string, values: string) => ({
  series: `${name}{namespace="l",pod="c",service="shop/web"${labels}}`,
  values,
});

/** Which alerts are firing at some minutes. */
interface Case {
  readonly what: string;
  readonly series: readonly { readonly series: string; readonly values: string }[];
  /** By minute. */
  readonly firing: Readonly<Record<number, readonly string[]>>;
}

const CASES: readonly Case[] = [
  {
    what: 'a failover that lasts, whose reason changes meanwhile',
    series: [
      service('linkspan_failover_active', ',reason="PrimaryServing"', '0x2 _x30'),
      service('linkspan_failover_active', ',reason="PathDead"', '_x2 1x5 _x30'),
      service('linkspan_failover_active', ',reason="FailBackHeld"', '_x8 1x20'),
    ],
    firing: { 2: [], 11: [], 14: ['LinkspanFailoverActive'], 20: ['LinkspanFailoverActive'], 40: [] },
  },
  {
    what: 'a drain and a drill',
    series: [
      service('linkspan_failover_active', ',reason="Drained"', '1x60'),
      service('linkspan_failover_active', ',reason="DrillActive"', '1x60'),
    ],
    firing: { 30: [], 60: [] },
  },
  {
    what: 'a shortage that lasts, and one that does not',
    series: [service('linkspan_failover_capacity_short', '', '1x2 0x5 1x10')],
    firing: { 4: [], 9: [], 14: ['LinkspanCapacityShort'] },
  },
  {
    what: 'a backend that was withdrawn once, twice, and once more',
    series: [service('linkspan_failover_flaps', ',backend="west"', '0x2 1x2 2x2 3x2 0x5')],
    firing: { 4: [], 7: [], 9: ['LinkspanFailoverFlapping'], 13: [] },
  },
  {
    what: 'an egress pod that hears nothing, and one that asks each 30 s',
    series: [
      { series: 'linkspan_failover_facts_age_seconds{namespace="l",pod="a"}', values: '0+60x20' },
      { series: 'linkspan_failover_facts_age_seconds{namespace="l",pod="b"}', values: '30x20' },
    ],
    firing: { 1: [], 3: ['LinkspanFailoverFactsStale'] },
  },
  {
    what: 'all gateways at once, for one look and for good',
    series: [{ series: 'linkspan_own_network_suspected{namespace="l",pod="c"}', values: '1 0 0 1 1 1 1' }],
    firing: { 1: [], 5: ['LinkspanOwnNetworkSuspected'] },
  },
];

// What an alert asks for must be there, and what it tells to do must exist: nobody tries it before the night
// when it is needed.
describe('the alerts of the chart, as Prometheus sees them', () => {
  for (const { what, series, firing } of CASES)
    it(`fire when they should: ${what}`, () => {
      const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-test-'));
      try {
        const file = path.join(dir, 'alerts.test.yaml');
        const alert_rule_test = Object.entries(firing).flatMap(([minute, names]) =>
          alerts.map(({ alert }) => ({
            eval_time: `${minute}m`,
            alertname: alert,
            exp_alerts: names.includes(alert) ? [expected(alert)] : [],
          })),
        );
        const tests = [{ interval: '1m', input_series: series, alert_rule_test }];
        writeFileSync(file, stringify({ rule_files: [ALERTS_FILE], evaluation_interval: '1m', tests }));
        execFileSync(machineProgram('promtool'), ['test', 'rules', file], {
          encoding: 'utf8',
          stdio: 'pipe',
        });
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    });

  /** An alert as it fires for the series above. */
  function expected(name: string): object {
    const found = alerts.find(({ alert }) => alert === name);
    const values: Record<string, string> = { namespace: 'l', pod: 'a', service: 'shop/web', backend: 'west' };
    const by = /by \(([^)]*)\)/.exec(found?.expr ?? '')?.[1]?.split(', ') ?? [];
    const shown = Object.fromEntries(by.map((label) => [label, values[label] ?? '']));
    const filled = (text: string) =>
      text.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => shown[label] ?? '?');
    const exp_annotations = Object.fromEntries(
      Object.entries(found?.annotations ?? {}).map(([key, text]) => [key, filled(text)]),
    );
    return { exp_labels: { ...found?.labels, ...shown }, exp_annotations };
  }
});
