/**
 * Holds docs/threat-model.md against the tests, run by `npm run check`: every actor has a section, every row
 * of its table names what the actor may and must not do, and at least one test that shows it, as a link whose
 * text is the title of a test or of a group of tests (or a part of it) and whose target is the file. Prints
 * every row that is not so and exits with 1.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The actors that the model must have a section for. */
export const ACTORS = [
  'Tenant in the source cluster',
  'Tenant in the target cluster',
  'Pod',
  'Source cluster',
  'Target cluster',
  'Certificate authority',
  'Network',
  'Supply chain',
] as const;

/** Titles of tests and groups, as they stand in a file; those that are skipped show nothing. */
const TITLE = /\b(?:it|describe)\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g;
const LINK = /\[([^\]]+)\]\(([^)\s]+)\)/g;
const COLUMNS = 3;

/** Reads a file by its path from the checkout's root; undefined where there is none. */
export type ReadFile = (file: string) => string | undefined;

/** What is wrong with the page, one line each. */
export function threatModelViolations(page: string, read: ReadFile): string[] {
  const found: string[] = [];
  const rows = new Map<string, number>(ACTORS.map((actor) => [actor, 0]));
  let actor: string | undefined;
  for (const [index, line] of page.split('\n').entries()) {
    const where = `docs/threat-model.md:${index + 1}`;
    if (line.startsWith('## ')) {
      const title = line.slice(3).trim();
      actor = ACTORS.find((name) => name === title);
      continue;
    }
    if (actor === undefined || !line.startsWith('|') || isHead(line)) continue;
    rows.set(actor, (rows.get(actor) ?? 0) + 1);
    found.push(...rowViolations(line, read).map((what) => `${where}: ${what}`));
  }
  for (const [name, count] of rows)
    if (count === 0) found.push(`docs/threat-model.md: no row for the actor "${name}"`);
  return found;
}

function isHead(line: string): boolean {
  return /^\|\s*(?:may\s*\||-)/.test(line);
}

function rowViolations(line: string, read: ReadFile): string[] {
  const cells = line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
  if (cells.length !== COLUMNS) return [`a row has ${cells.length} cells, not may | must not | shown by`];
  const [, mustNot = '', shownBy = ''] = cells;
  if (mustNot === '') return ['a row does not say what the actor must not do'];
  const links = [...shownBy.matchAll(LINK)];
  if (links.length === 0) return [`"${mustNot}" is shown by no test`];
  return links.flatMap(([, title = '', target = '']) => {
    const file = path.posix.normalize(path.posix.join('docs', target));
    const text = read(file);
    if (text === undefined) return [`"${mustNot}": there is no ${file}`];
    const shown = title.replaceAll('\\|', '|');
    return titlesOf(text).some((one) => one.includes(shown))
      ? []
      : [`"${mustNot}": ${file} has no test "${title}"`];
  });
}

function titlesOf(text: string): string[] {
  return [...text.matchAll(TITLE)].map(([, single, double, template]) =>
    (single ?? double ?? template ?? '').replaceAll(/\\(.)/g, '$1'),
  );
}

if (import.meta.main) {
  const root = path.dirname(import.meta.dirname);
  const read: ReadFile = (file) =>
    existsSync(path.join(root, file)) ? readFileSync(path.join(root, file), 'utf8') : undefined;
  const found = threatModelViolations(read('docs/threat-model.md') ?? '', read);
  for (const line of found) process.stderr.write(`${line}\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}
