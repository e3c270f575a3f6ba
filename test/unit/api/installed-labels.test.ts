import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  CHART_SELECTOR,
  componentOf,
  componentSelector,
  createdBy,
  installedLabels,
  installedVersion,
  isOfChart,
  linkerdComponentOf,
  REMOTE_ACCESS_SELECTOR,
  remoteAccessLabels,
} from '../../../src/api/installed-labels.ts';
import { isOfExtension } from '../../../src/api/names.ts';
import { parseSelector, parseSelectorText } from '../../../src/api/kubernetes/label-selector.ts';

const selects = (text: string, labels: Record<string, string>) =>
  parseSelector(parseSelectorText(text)).matches(labels);

/** The labels of every object of the chart, for a component. */
function chartLabels(component: string): Record<string, string> {
  const file = path.resolve(import.meta.dirname, '../../../charts/linkspan/templates/_helpers.tpl');
  const [, body = ''] =
    /define "linkspan\.labels" -?}}([\s\S]*?){{- end/.exec(readFileSync(file, 'utf8')) ?? [];
  const lines = body.split('\n').filter((line) => line.includes(': '));
  return Object.fromEntries(
    lines.map((line) => {
      const [key = '', value = ''] = line.split(': ');
      return [key.trim(), value.includes('.component') ? component : value.replace(/^{{.*}}$/, 'some')];
    }),
  );
}

describe('labels of what is installed', () => {
  it('are read as they are written', () => {
    const metadata = { labels: remoteAccessLabels('1.2.3'), annotations: createdBy('1.2.3') };
    expect(installedVersion({ metadata })).to.equal('1.2.3');
    expect(componentOf({ metadata })).to.equal('remote-access');
    expect(linkerdComponentOf({ metadata })).to.equal('remote-access');
    expect(isOfExtension({ metadata })).to.equal(true);
    expect(selects(REMOTE_ACCESS_SELECTOR, metadata.labels)).to.equal(true);
    expect(selects(componentSelector('remote-access'), metadata.labels)).to.equal(true);
    expect(installedVersion({ metadata: { labels: installedLabels('1.2.3') } })).to.equal('1.2.3');
    expect(metadata.annotations).to.deep.equal({ 'linkerd.io/created-by': 'linkspan/cli 1.2.3' });
  });

  it('of an account are not those of the chart, whose leftovers are taken away', () => {
    expect(isOfChart({ metadata: { labels: remoteAccessLabels('1.2.3') } })).to.equal(false);
  });

  it('are read of the chart, too', () => {
    const labels = chartLabels('gateway');
    expect(Object.keys(labels)).to.have.length.greaterThan(6);
    expect(isOfChart({ metadata: { labels } })).to.equal(true);
    expect(isOfExtension({ metadata: { labels } })).to.equal(true);
    expect(componentOf({ metadata: { labels } })).to.equal('gateway');
    expect(linkerdComponentOf({ metadata: { labels } })).to.equal('gateway');
    expect(installedVersion({ metadata: { labels } })).to.equal('some');
    expect(selects(CHART_SELECTOR, labels)).to.equal(true);
    expect(selects(componentSelector('gateway'), labels)).to.equal(true);
    expect(selects(componentSelector('egress'), labels)).to.equal(false);
  });
});
