import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { allReasons } from '../../../src/cli/output/explain-words.ts';
import { alerts } from '../../support/chart-alerts.ts';
import { documentedMetrics } from '../../support/metrics-page.ts';
import { root } from '../../support/runtime-process.ts';

describe('the alerts of the chart', () => {
  it('ask for metrics that the page knows, with labels that they have', () => {
    const known = new Map(
      documentedMetrics('Controller', 'Gateway').map(({ name, labels }) => [name, labels]),
    );
    for (const { alert, expr, annotations } of alerts) {
      const names = [...expr.matchAll(/\b(linkspan_\w+)(?:\{(\w+))?/g)];
      expect(names, alert).not.to.have.length(0);
      for (const [, name = '', label] of names) {
        const labels = known.get(name);
        expect(labels, `${alert}: ${name}`).not.to.equal(undefined);
        if (label !== undefined) expect(labels, `${alert}: ${name}`).to.include(label);
      }
      const by = /by \(([^)]*)\)/.exec(expr)?.[1]?.split(', ') ?? [];
      const texts = Object.values(annotations).join(' ');
      for (const [, label = ''] of texts.matchAll(/\$labels\.(\w+)/g)) expect(by, alert).to.include(label);
    }
  });

  it('stand in the page, and tell reasons that there are', () => {
    const page = readFileSync(path.join(root, 'docs/reference/metrics.md'), 'utf8');
    const reasons = new Set(allReasons().map(({ reason }) => reason as string));
    for (const { alert, labels, annotations } of alerts) {
      expect(page, alert).to.contain(`| \`${alert}\` | ${labels['severity']} |`);
      for (const [, reason = ''] of (annotations['action'] ?? '').matchAll(/explain reason (\w+)/g))
        expect(reasons, alert).to.include(reason);
    }
  });
});
