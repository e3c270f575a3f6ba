import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '../../..');

/**
 * A name under one of the contract's domains, whole or, before a star or a dash at its end, the beginning.
 */
const NAME =
  /(?<![\w.:/@-])(?:[a-z0-9-]+\.)*(?:linkerd\.io|linkspan\.dev|l5d\.io)(?:\/[a-z0-9][A-Za-z0-9._-]*\*?|\/(?=[<{*]))?/g;

/** What docs/ or charts/ speak of and no program of ours reads or writes. */
const NOT_OURS: ReadonlySet<string> = new Set([
  // Linkerd's injector alone reads it; the chart's pods have it where they are to have a proxy.
  'linkerd.io/inject',
  // Named in docs/reference to say that they are not followed.
  'balancer.alpha.linkerd.io/failure-accrual-honor-retry-after',
  'balancer.alpha.linkerd.io/failure-accrual-success-rate-threshold',
  'balancer.alpha.linkerd.io/penalize-failures',
  'config.linkerd.io/enable-gateway',
  'config.linkerd.io/proxy-require-identity-inbound-ports',
]);

function filesBelow(folder: string, ...endings: string[]): string[] {
  return readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => endings.some((ending) => file.endsWith(ending)))
    .map((file) => path.join(folder, file));
}

/**
 * Every such name that src/api has in its code (comments count for nothing) or makes of others, and the group
 * of each.
 */
async function knownNames(): Promise<Set<string>> {
  const known = new Set<string>();
  for (const file of filesBelow('src/api', '.ts')) {
    const code = readFileSync(path.join(ROOT, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '');
    const made = Object.values((await import(path.join(ROOT, file))) as object).flatMap(textsOf);
    for (const [name] of [code, ...made].join('\n').matchAll(NAME))
      known.add(name).add(name.split('/')[0] ?? '');
  }
  return known;
}

/** All text in a constant. */
function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return [...Object.keys(value), ...Object.values(value).flatMap(textsOf)];
}

/** Names of a text that src/api does not know, and that are not only talked about. */
function unknownNames(text: string, known: ReadonlySet<string>): string[] {
  const all = [...known];
  return [...text.matchAll(NAME)]
    .filter(({ index }) => !/https?:\/\/[^\s)"]*$/.test(text.slice(Math.max(0, index - 200), index)))
    .map(([name]) => name.replace(/[.*]+$/, ''))
    .filter((name) => !known.has(name) && !known.has(groupIn(name)) && !NOT_OURS.has(name))
    .filter((name) => !/[-/]$/.test(name) || !all.some((one) => `${one}/`.startsWith(name)));
}

/**
 * The group in `links.multicluster.linkerd.io` and `linkerd.io/v1alpha2`; of a key, nothing that is known.
 */
function groupIn(name: string): string {
  return name.includes('/')
    ? name.replace(/\/v\d+(?:(?:alpha|beta)\d+)?$/, '')
    : name.slice(name.indexOf('.') + 1);
}

const known = await knownNames();

describe('names of the contract', () => {
  // A label that the chart's admission policy guards, or that a page tells people to set, does nothing where
  // the programs have another name for it; nobody would see it.
  for (const file of [
    ...filesBelow('charts', '.yaml', '.tpl', '.json', '.txt'),
    ...filesBelow('crds', '.yaml'),
    ...filesBelow('docs/reference', '.md'),
  ])
    it(`in ${file} are those of src/api`, () => {
      const unknown = unknownNames(readFileSync(path.join(ROOT, file), 'utf8'), known);
      expect([...new Set(unknown)]).to.deep.equal([]);
    });

  it('are told from what src/api does not know, and from addresses', () => {
    const text =
      'the label `mirror.linkerd.io/exportet`, linkspan.dev/linc, `linkspan.dev/import-*`, ' +
      'linkspan.dev/retry-budget-…, https://linkerd.io/2/checks/, mirror.linkerd.io/exported.';
    expect(unknownNames(text, known)).to.deep.equal(['mirror.linkerd.io/exportet', 'linkspan.dev/linc']);
  });

  it('are not left out here where src/api knows them', () => {
    expect([...NOT_OURS].filter((name) => known.has(name))).to.deep.equal([]);
  });
});
