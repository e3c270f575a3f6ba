/**
 * `npm run generate` writes what the code says into docs/, crds/ and the chart of the CRDs.
 * `npm run check:generated` (`--check`), part of `npm run check`, writes nothing: it names what differs and
 * exits with 1.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { cliPage } from './generated/cli.ts';
import { CRD_FOLDERS, crdFiles } from './generated/crds.ts';
import { errorsPage } from './generated/errors.ts';
import { houseText } from './generated/house.ts';
import { boardFiles } from './generated/monitoring/boards.ts';
import { alertsTable, rulesFile } from './generated/monitoring/rules.ts';
import { reasonsPage } from './generated/reasons.ts';
import { rightsTable } from './generated/rights.ts';

/** A file that is written by a program, wholly or in part. */
export interface Generated {
  /** Path from the checkout's root. */
  readonly file: string;
  /** How the file has to be. @param now as it is; empty where there is none */
  readonly text: (now: string) => string | Promise<string>;
}

/** Everything in this repo that is generated, but for the golden files of tests. */
export const GENERATED: readonly Generated[] = [
  { file: 'docs/reference/cli.md', text: cliPage },
  { file: 'docs/reference/errors.md', text: errorsPage },
  { file: 'docs/reference/reasons.md', text: reasonsPage },
  { file: 'docs/reference/chart.md', text: (now) => withPart(now, 'rights', rightsTable()) },
  { file: 'docs/architecture.md', text: (now) => withPart(now, 'house', houseText()) },
  { file: 'docs/reference/metrics.md', text: (now) => withPart(now, 'alerts', alertsTable()) },
  { file: 'charts/linkspan/rules.yaml', text: rulesFile },
  ...Object.entries(boardFiles()).map(([name, text]) => ({
    file: `charts/linkspan/dashboards/${name}`,
    text: () => text,
  })),
  ...CRD_FOLDERS.flatMap((folder) =>
    Object.entries(crdFiles()).map(([name, text]) => ({ file: `${folder}/${name}`, text: () => text })),
  ),
];

/** The page with another text between the marks of a part. @throws Error when the page has no such marks */
export function withPart(page: string, name: string, text: string): string {
  const [begin, end] = [`<!-- ${name}: written by npm run generate -->`, `<!-- /${name} -->`];
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`the page has no ${begin} … ${end}`);
  return `${before}${begin}\n${text}\n${end}${after}`;
}

/** Those that are not as they have to be, with the text that they should have. */
export async function stale(
  all: readonly Generated[],
  read: (file: string) => string,
): Promise<{ readonly file: string; readonly text: string }[]> {
  const found = [];
  for (const { file, text } of all) {
    const now = read(file);
    const wanted = await text(now);
    if (wanted !== now) found.push({ file, text: wanted });
  }
  return found;
}

if (import.meta.main) {
  const root = path.dirname(import.meta.dirname);
  const at = (file: string) => path.join(root, file);
  const found = await stale(GENERATED, (file) =>
    existsSync(at(file)) ? readFileSync(at(file), 'utf8') : '',
  );
  const checking = process.argv.includes('--check');
  for (const { file, text } of found) {
    if (checking) {
      process.stderr.write(`${file} is not what the code says: npm run generate\n`);
    } else {
      mkdirSync(path.dirname(at(file)), { recursive: true });
      writeFileSync(at(file), text);
      process.stdout.write(`${file}\n`);
    }
  }
  process.exitCode = checking && found.length > 0 ? 1 : 0;
}
