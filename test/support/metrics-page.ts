import { readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './runtime-process.ts';

/** One metric, as the page or a scrape has it. */
export interface KnownMetric {
  readonly name: string;
  readonly type: string;
  /** In alphabetical order. */
  readonly labels: readonly string[];
}

/** A metric of the page, with what is said of it. */
export interface DocumentedMetric extends KnownMetric {
  readonly meaning: string;
}

/** A metric of one scrape, with the values that its labels had. */
export interface ScrapedMetric extends KnownMetric {
  readonly values: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Node's own, which the page speaks of as a whole. */
const OF_NODE = /^(process|nodejs)_/;
/** Labels with few values, each of which the page names. */
const CLOSED: ReadonlySet<string> = new Set([
  'endpoint_state',
  'error',
  'fault',
  'kind',
  'probe_successful',
  'quota',
  'budget',
  'ratelimit_scope',
  'skipped',
  'state',
]);

const PAGE = path.join(root, 'docs/reference/metrics.md');

/** The rows of the sections of `docs/reference/metrics.md` whose headings begin so. */
export function documentedMetrics(...sections: readonly string[]): DocumentedMetric[] {
  const parts = readFileSync(PAGE, 'utf8').split(/^## /m);
  return sections.flatMap((heading) => {
    const part = parts.find((one) => one.startsWith(heading));
    if (part === undefined) throw new Error(`the page of metrics has no section "${heading}"`);
    return part.split('\n').flatMap(rowMetrics);
  });
}

/** A row may name several metrics of one type and the same labels. */
function rowMetrics(line: string): DocumentedMetric[] {
  const [, names = '', type = '', labels = '', meaning = ''] = line
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());
  if (!names.startsWith('`')) return [];
  return quoted(names).map((name) => ({
    name,
    type,
    labels: quoted(labels).sort(),
    meaning,
  }));
}

function quoted(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word);
}

/** What scrapes of one kind of process have together, Node's own metrics apart. */
export function scrapedMetrics(...scrapes: readonly string[]): ScrapedMetric[] {
  const types = new Map<string, string>();
  const found = new Map<string, Map<string, Set<string>>>();
  for (const line of scrapes.join('\n').split('\n')) {
    const [, declared = '', type = ''] = /^# TYPE (\S+) (\S+)/.exec(line) ?? [];
    if (declared !== '') types.set(declared, type);
    const [, sample = '', labels = ''] = /^([a-z_]+)(?:\{(.*)\})? \S+$/i.exec(line) ?? [];
    if (sample === '' || OF_NODE.test(sample)) continue;
    const name = familyOf(sample, types);
    let values = found.get(name);
    if (values === undefined) found.set(name, (values = new Map()));
    for (const [, label = '', value = ''] of labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      values.set(label, (values.get(label) ?? new Set()).add(value));
  }
  return [...found].map(([name, values]) => ({
    name,
    type: types.get(name) ?? 'undeclared',
    labels: [...values.keys()].sort(),
    values,
  }));
}

function familyOf(sample: string, types: ReadonlyMap<string, string>): string {
  const family = sample.replace(/_(bucket|sum|count)$/, '');
  return types.get(family) === 'histogram' ? family : sample;
}

/** Where page and scrapes differ, one line each; nothing where they agree. */
export function differences(
  page: readonly DocumentedMetric[],
  scraped: readonly ScrapedMetric[],
): readonly string[] {
  const says = (one: KnownMetric) => `${one.name} ${one.type} (${one.labels.join(', ')})`;
  const documented = new Map(page.map((one) => [one.name, one]));
  const missing = page.filter(({ name }) => !scraped.some((one) => one.name === name));
  return [
    ...missing.map((one) => `in no scrape: ${says(one)}`),
    ...scraped.flatMap((one) => {
      const row = documented.get(one.name);
      if (row === undefined) return [`not documented: ${says(one)}`];
      if (says(row) !== says(one)) return [`documented as ${says(row)}, scraped as ${says(one)}`];
      return [...one.values]
        .filter(([label]) => CLOSED.has(label))
        .flatMap(([label, values]) =>
          [...values]
            .filter((value) => value !== '' && !quoted(row.meaning).includes(value))
            .map((value) => `not documented: ${one.name}{${label}="${value}"}`),
        );
    }),
  ];
}
