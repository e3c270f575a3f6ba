import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { documentedMetrics } from '../../support/metrics-page.ts';
import { root } from '../../support/runtime-process.ts';

/**
 * What looks like the name of one of our metrics: by its beginning, or by a unit at its end; no rule's
 * result.
 */
const NAME =
  /\b(?:linkspan|control_identity|inbound|outbound|route|tcp)_[a-z_]*[a-z]\b(?!:)|\b[a-z]+_[a-z_]*_(?:total|latency_ms)\b/g;
/** Kubernetes' and Node's own. */
const OF_OTHERS = /^(?:apiserver|process|nodejs)_/;

/** What linkerd2-proxy publishes, ours or not. */
const LINKERDS_OWN = 'docs/reference/wire-protocol.md';

/** Guides, references, charts: what people copy alerts and queries from. */
function textsOf(folder: string): string[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(?:md|ya?ml|json|txt|tpl)$/.test(file))
    .map((file) => path.join(folder, file));
}

describe('names of metrics in the documentation and the charts', () => {
  // An alert on a metric that does not exist never fires, and nobody hears of it.
  it('are all on the page of metrics', () => {
    const page = documentedMetrics('Controller', 'Signer', 'Gateway', 'Identity');
    const known = new Set(page.flatMap(({ name, labels }) => [name, ...labels]));
    const texts = ['README.md', ...textsOf('docs'), ...textsOf('charts')].filter(
      (file) => file !== LINKERDS_OWN,
    );
    const unknown = texts.flatMap((file) =>
      [...readFileSync(path.join(root, file), 'utf8').matchAll(NAME)]
        .map(([name]) => name)
        .filter((name) => !known.has(name.replace(/_(?:bucket|sum|count)$/, '')) && !OF_OTHERS.test(name))
        .map((name) => `${file}: ${name}`),
    );
    expect([...new Set(unknown)]).to.deep.equal([]);
  });
});
