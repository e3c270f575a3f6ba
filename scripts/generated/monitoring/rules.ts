/** All rules of the chart: `charts/linkspan/rules.yaml`, and their table in docs/reference/metrics.md. */
import { stringify } from 'yaml';
import { failoverAlerts } from './failover-alerts.ts';
import { linkAlerts } from './link-alerts.ts';
import { processAlerts } from './process-alerts.ts';
import { type RuleGroup, written } from './rule.ts';
import { serviceAlerts, serviceRecordings } from './service-rules.ts';

export const RULE_GROUPS: readonly RuleGroup[] = [
  { name: 'linkspan.recording', rules: serviceRecordings },
  { name: 'linkspan.slo', rules: serviceAlerts },
  { name: 'linkspan.links', rules: linkAlerts },
  { name: 'linkspan.failover', rules: failoverAlerts },
  { name: 'linkspan.processes', rules: processAlerts },
];

const HEAD = `# Recording rules and alerts for Prometheus: values monitoring.rules.* of the chart, or this file as a rule file. What
# each of them says is in docs/reference/metrics.md. Written by npm run generate.
`;

/** The rule file. */
export function rulesFile(): string {
  const groups = RULE_GROUPS.map(({ name, rules }) => ({ name, rules: rules.map(written) }));
  return HEAD + stringify({ groups }, { lineWidth: 0 });
}

/** What each alert says, for people. */
export function alertsTable(): string {
  const rows = RULE_GROUPS.flatMap(({ rules }) => rules).flatMap((rule) =>
    'record' in rule
      ? []
      : [`| \`${rule.name}\` | ${rule.severity} | ${rule.for ?? 'at once'} | ${rule.meaning} |`],
  );
  return `| alert | severity | after | meaning |\n| --- | --- | --- | --- |\n${rows.join('\n')}`;
}
