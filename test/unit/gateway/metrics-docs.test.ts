import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { hostNameFamilies } from '../../../src/dns/metrics.ts';
import { egressFamilies } from '../../../src/egress/metrics.ts';
import { gatewayFamilies } from '../../../src/gateway/metrics.ts';
import { families } from '../../../src/proxy/metrics.ts';
import type { MetricFamily } from '../../../src/telemetry/exposition.ts';

const page = readFileSync(path.join(import.meta.dirname, '../../../docs/reference/metrics.md'), 'utf8');

interface Row {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
}

/** The rows of the table of gateway and egress. */
function documented(): Row[] {
  const section = page.split(/^## /m).find((part) => part.startsWith('Gateway')) ?? '';
  return [...section.matchAll(/^\| `([a-z_0-9]+)` \| (\w+) \| ([^|]*)\|/gm)].map(
    ([, name = '', type = '', labels = '']) => ({
      name,
      type,
      labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label),
    }),
  );
}

describe('docs/reference/metrics.md', () => {
  const all: MetricFamily[] = [families, gatewayFamilies, egressFamilies, hostNameFamilies].flatMap((some) =>
    Object.values<MetricFamily>(some),
  );

  it('lists what gateway and egress publish, with type and labels, and nothing else', () => {
    const published = all.map(({ name, type, labels }) => ({ name, type, labels }));
    const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name);
    expect(documented().sort(byName)).to.deep.equal(published.sort(byName));
  });
});
