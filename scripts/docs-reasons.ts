/** Writes docs/reference/reasons.md from the code: `npm run docs:reasons`. A test compares the two. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { REASON_TABLES } from '../src/cli/explain-words.ts';
import { type AnyReason, reasonAdvice } from '../src/cli/reason-advice.ts';

/** The whole reference page. */
export function reasonsPage(): string {
  return [
    '# Reasons\n',
    'The same word stands in conditions, Events, log fields, metric labels and the docs. `linkspan explain reason WORD` says the same. This page is written by `npm run docs:reasons`.\n',
    ...REASON_TABLES.map(([of, reasons]) => `## Of ${of}\n\n${table(reasons)}`),
  ].join('\n');
}

function table(reasons: Readonly<Record<string, string>>): string {
  const rows = Object.entries(reasons).map(
    ([reason, meaning]) => `| \`${reason}\` | ${meaning} | ${reasonAdvice[reason as AnyReason]} |`,
  );
  return `| reason | meaning | what to do |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
}

if (import.meta.main) {
  writeFileSync(path.join(import.meta.dirname, '../docs/reference/reasons.md'), reasonsPage());
}
