import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { allReasons } from '../../../src/cli/output/explain-words.ts';
import { HIDDEN, verbs } from '../../../src/cli/verbs.ts';
import { anchorsOf } from '../../../scripts/check-citations.ts';
import { type Alert, alerts, recordings } from '../../support/chart-rules.ts';
import { documentedMetrics } from '../../support/metrics-page.ts';
import { root } from '../../support/runtime-process.ts';

/**
 * Labels whose values are DNS labels, or constants of ours: nothing that a shell would read as anything else.
 */
const HARMLESS: ReadonlySet<string> = new Set([
  'dst_namespace',
  'dst_service',
  'namespace',
  'pod',
  'reason',
  'target_cluster_name',
]);
const LABEL = /\$labels\.(\w+)/g;

/** The labels that the result of an alert's expression has: what its last aggregation leaves. */
const labelsOf = ({ expr }: Alert) =>
  new Set([...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, by = '']) => by.split(', ')));

describe('the alerts of the chart', () => {
  it('ask for metrics that the page knows, with labels that they have', () => {
    const known = new Map(
      documentedMetrics('Controller', 'Signer', 'Gateway', 'Identity').map(({ name, labels }) => [
        name,
        labels,
      ]),
    );
    const scraped = new Set(['component', 'dst_service', 'vendor']);
    for (const { expr, ...rule } of [...alerts, ...recordings]) {
      const title = 'alert' in rule ? rule.alert : rule.record;
      for (const [, name = '', matchers = ''] of expr.matchAll(
        /\b((?:linkspan|gateway|control|inbound|response|proxy)_[a-z_]+)\b(?![:_])(?:\{([^}]*)\})?/g,
      )) {
        if (recordings.some(({ record }) => record.startsWith(`${name}:`))) continue;
        const labels = known.get(name);
        expect(labels, `${title}: ${name}`).not.to.equal(undefined);
        for (const [, label = ''] of matchers.matchAll(/(\w+)(?:=|!)/g))
          if (!scraped.has(label)) expect(labels, `${title}: ${name}`).to.include(label);
      }
    }
  });

  it('say nothing of labels that they do not have', () => {
    for (const rule of alerts) {
      if (rule.alert === 'LinkspanErrorBudgetBurn') continue;
      const labels = labelsOf(rule);
      for (const [, label = ''] of Object.values(rule.annotations).join(' ').matchAll(LABEL))
        expect(labels, rule.alert).to.include(label);
    }
  });

  it('stand in the page, and lead to the reason that they tell', () => {
    const page = readFileSync(path.join(root, 'docs/reference/metrics.md'), 'utf8');
    const reasons = new Set(allReasons().map(({ reason }) => reason as string));
    const anchors = anchorsOf(readFileSync(path.join(root, 'docs/reference/reasons.md'), 'utf8'));
    expect([...reasons].filter((reason) => !anchors.has(reason))).to.deep.equal([]);
    for (const { alert, labels, expr, annotations } of alerts) {
      expect(page, alert).to.contain(`| \`${alert}\` | ${labels['severity']} |`);
      const { reason = '', runbook_url } = annotations;
      // Constants too: the label of a verdict.
      if (reason === '{{ $labels.reason }}')
        expect(expr, alert).to.contain('linkspan_mirror_verdicts{reason');
      else expect(reasons, alert).to.include(reason);
      expect(runbook_url, alert).to.match(/\/blob\/main\/docs\/reference\/reasons\.md#/);
      expect(runbook_url?.split('#')[1], alert).to.equal(reason);
    }
  });

  it('tell to call commands that there are, with words that no shell could take for others', () => {
    for (const { alert, annotations } of alerts) {
      const { action = '' } = annotations;
      for (const [, label = ''] of action.matchAll(LABEL)) expect(HARMLESS, alert).to.include(label);
      for (const command of action.split('; ')) {
        const [program, verb = ''] = command.split(' ');
        if (program === 'kubectl') continue;
        expect(program, alert).to.equal('linkspan');
        const there = Object.hasOwn(verbs, verb) && !HIDDEN.has(verb);
        expect(there, `${alert}: ${command}`).to.equal(true);
      }
      for (const [, reason = ''] of action.matchAll(/explain reason (\w+)/g))
        expect(
          allReasons().map((one) => one.reason as string),
          alert,
        ).to.include(reason);
    }
  });

  // Prometheus writes a label's value as it is, but `query`, `tmpl` and `safeHtml` would make more of it.
  it('fill in values and nothing else', () => {
    const allowed = /^\{\{ \$(?:labels\.\w+|value(?: \| humanize(?:Duration)?)?) \}\}$/;
    for (const { alert, annotations, labels } of alerts) {
      for (const [filled] of Object.values(annotations)
        .join(' ')
        .matchAll(/\{\{.*?\}\}/g))
        expect(filled, alert).to.match(allowed);
      expect(Object.values(labels).join(' '), alert).not.to.contain('{{');
    }
  });
});
