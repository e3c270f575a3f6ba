import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import {
  type AlertCase,
  FAILOVER_CASES,
  type Firing,
  LINK_CASES,
  PROCESS_CASES,
} from '../../support/alert-cases.ts';
import { type Alert, alerts, RULES_FILE } from '../../support/chart-rules.ts';
import { root } from '../../support/runtime-process.ts';
import { useTempDir } from '../../support/temp-dir.ts';
import { machineProgram } from '../../testbed/binaries/machine.ts';
import { GO_RUNTIME } from '../../testbed/control-plane.ts';

const CASES = [...LINK_CASES, ...PROCESS_CASES, ...FAILOVER_CASES];
/** Something of Linkspan is scraped. */
const BACKGROUND = { series: 'proxy_build_info{vendor="linkspan",pod="other"}', values: '1x400' };
const NAMES = [...new Set(alerts.map(({ alert }) => alert))];

/** Which rule it is: of several with one name the labels tell. */
function isOf({ alert, labels = {} }: Firing, rule: Alert): boolean {
  const said = Object.entries(rule.labels).filter(([name]) => name !== 'severity');
  return alert === rule.alert && said.every(([name, value]) => labels[name] === value);
}

/** What Prometheus makes of the rule. */
function expected(firing: Firing): object {
  const rule = alerts.find((one) => isOf(firing, one));
  if (rule === undefined) throw new Error(`there is no alert ${firing.alert}`);
  const { labels = {}, value } = firing;
  const filled = (text: string) =>
    text
      .replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => labels[label] ?? '')
      .replaceAll(/\{\{ \$value[^}]*\}\}/g, () => value ?? 'no value is expected');
  const annotations = Object.entries(rule.annotations).map(([key, text]) => [key, filled(text)]);
  return { exp_labels: { ...rule.labels, ...labels }, exp_annotations: Object.fromEntries(annotations) };
}

function testOf({ what, series, firing, alone = false }: AlertCase): object {
  return {
    name: what,
    interval: '1m',
    input_series: alone ? series : [...series, BACKGROUND],
    alert_rule_test: Object.entries(firing).flatMap(([minute, fired]) =>
      NAMES.map((alertname) => ({
        eval_time: `${minute}m`,
        alertname,
        exp_alerts: fired.filter(({ alert }) => alert === alertname).map(expected),
      })),
    ),
  };
}

// What an alert asks for must be there, and what it tells to do must exist: nobody tries it before the night
// when it is needed.
describe('the alerts of the chart, as Prometheus sees them', () => {
  const dir = useTempDir();

  const promtool = (...args: string[]) => {
    // A database for each case: a third of what promtool took was to collect them, on several threads.
    const env = { ...process.env, ...GO_RUNTIME };
    const { status, stdout, stderr } = spawnSync(machineProgram('promtool'), args, { encoding: 'utf8', env });
    return { status, said: stdout + stderr };
  };

  it('are rules that Prometheus takes', () => {
    const { status, said } = promtool('check', 'rules', RULES_FILE);
    expect(status, said).to.equal(0);
  });

  it('are scraped as the guide says', () => {
    const guide = readFileSync(path.join(root, 'docs/guides/monitoring.md'), 'utf8');
    const [, config = ''] = /^```yaml\n(scrape_configs:\n[^`]*)```$/m.exec(guide) ?? [];
    const file = path.join(dir(), 'prometheus.yaml');
    // Debian builds its Prometheus without Kubernetes.
    const discovery = 'kubernetes_sd_configs: [{ role: pod }]';
    expect(config).to.contain(discovery);
    writeFileSync(file, config.replace(discovery, "static_configs: [{ targets: ['a:1'] }]"));
    const { status, said } = promtool('check', 'config', file);
    expect(status, said).to.equal(0);
    for (const label of ['component', 'namespace', 'pod'])
      expect(config).to.contain(`target_label: ${label} `);
  });

  it('fire when they should, and only then', () => {
    const file = path.join(dir(), 'alerts.test.yaml');
    writeFileSync(
      file,
      stringify({ rule_files: [RULES_FILE], evaluation_interval: '1m', tests: CASES.map(testOf) }),
    );
    const { status, said } = promtool('test', 'rules', file);
    expect(status, said).to.equal(0);
  });

  it('are all seen to fire and, with the same series, not to', () => {
    const unseen = alerts.filter(
      (rule) =>
        !CASES.some(({ firing }) => {
          const fires = new Set(Object.values(firing).map((fired) => fired.some((one) => isOf(one, rule))));
          return fires.size === 2;
        }),
    );
    expect(unseen.map(({ alert, labels }) => ({ alert, labels }))).to.deep.equal([]);
  });
});
