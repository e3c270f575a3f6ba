/**
 * What a release agrees on (RELEASE.md). Part of `npm run check`: package.json, its lock file and both charts
 * have one version, and CHANGELOG.md has the form of Keep a Changelog. `npm run check:release -- 0.2.0`:
 * also, this is that version, and the changelog has a dated section of it and nothing that is unreleased.
 * Prints every violation and exits with 1.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

/**
 * Headings that a version may have, in this order (https://keepachangelog.com/en/1.1.0/), and ours at the end
 * of it.
 */
export const HEADINGS = [
  'Added',
  'Changed',
  'Deprecated',
  'Removed',
  'Fixed',
  'Security',
  'Upgrade notes',
] as const;

/** A file's text by its path from the checkout's root. */
export type ReadText = (file: string) => string;

const CHARTS = ['charts/linkspan/Chart.yaml', 'charts/linkspan-crds/Chart.yaml'];

/** Files that name another version than package.json does. */
export function versionViolations(read: ReadText): string[] {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  const lock = JSON.parse(read('package-lock.json')) as {
    version: string;
    packages: Record<string, { version?: string }>;
  };
  const named = [
    ['package-lock.json', lock.version],
    ['package-lock.json, packages', lock.packages['']?.version],
    ...CHARTS.flatMap((file) => {
      const chart = parse(read(file)) as { version: string; appVersion: string };
      return [
        [`${file}, version`, chart.version] as const,
        [`${file}, appVersion`, chart.appVersion] as const,
      ];
    }),
  ];
  return named
    .filter(([, other]) => other !== version)
    .map(([where, other]) => `${where} is ${other}, package.json ${version}`);
}

/** One version of the changelog. */
interface Section {
  /** `Unreleased`, or the version. */
  readonly name: string;
  readonly date: string | undefined;
  readonly headings: readonly string[];
  readonly entries: number;
  /** Entries that begin with **Breaking** or **Changed default**, and those below `Upgrade notes`. */
  readonly breaking: number;
  readonly notes: number;
}

/** What is wrong with the changelog's form. */
export function changelogViolations(text: string): string[] {
  const sections = sectionsOf(text);
  const found: string[] = [];
  if (sections[0]?.name !== 'Unreleased') found.push('the first section is not [Unreleased]');
  for (const { name, date, headings, breaking, notes } of sections) {
    if (notes < breaking)
      found.push(
        `${name}: ${breaking} entries break or change a default, and there are ${notes} upgrade notes`,
      );
    if (name !== 'Unreleased' && date === undefined)
      found.push(`${name} has no date: ## [${name}] - YYYY-MM-DD`);
    const places = headings.map((heading) => HEADINGS.findIndex((known) => known === heading));
    for (const [index, place] of places.entries()) {
      if (place < 0) found.push(`${name}: "${headings[index]}" is none of ${HEADINGS.join(', ')}`);
      else if (place <= (places[index - 1] ?? -1))
        found.push(`${name}: "${headings[index]}" is not in its place`);
    }
  }
  for (const [index, line] of text.split('\n').entries())
    if (/^- .*\*\*(Breaking|Changed default)/.test(line) && !line.startsWith('- **'))
      found.push(
        `line ${index + 1}: **Breaking** and **Changed default** stand at the beginning of an entry`,
      );
  return found.map((what) => `CHANGELOG.md: ${what}`);
}

/** What keeps this checkout from being released as a version. */
export function releaseViolations(version: string, read: ReadText): string[] {
  const found: string[] = [];
  const own = (JSON.parse(read('package.json')) as { version: string }).version;
  if (own !== version) found.push(`package.json is ${own}, not ${version}`);
  const sections = sectionsOf(read('CHANGELOG.md'));
  const section = sections.find(({ name }) => name === version);
  if (section === undefined || section.entries === 0) found.push(`CHANGELOG.md has nothing of ${version}`);
  if (sections.some(({ name, entries }) => name === 'Unreleased' && entries > 0))
    found.push('CHANGELOG.md has entries that are unreleased');
  return found;
}

function sectionsOf(text: string): Section[] {
  return text
    .split(/^## /m)
    .slice(1)
    .map((part) => {
      const [, name = '', date] =
        /^\[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?\s*$/m.exec(part.split('\n')[0] ?? '') ?? [];
      return {
        name,
        date,
        headings: [...part.matchAll(/^### (.+)$/gm)].map((match) => match[1] ?? ''),
        entries: part.match(/^- /gm)?.length ?? 0,
        breaking: part.match(/^- \*\*(Breaking|Changed default)/gm)?.length ?? 0,
        notes: part.split(/^### Upgrade notes$/m)[1]?.match(/^- /gm)?.length ?? 0,
      };
    });
}

if (import.meta.main) {
  const root = path.dirname(import.meta.dirname);
  const read: ReadText = (file) => readFileSync(path.join(root, file), 'utf8');
  const version = process.argv[2]?.replace(/^v/, '');
  const found = [...versionViolations(read), ...changelogViolations(read('CHANGELOG.md'))];
  if (version !== undefined) found.push(...releaseViolations(version, read));
  for (const line of found) process.stderr.write(`${line}\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}
