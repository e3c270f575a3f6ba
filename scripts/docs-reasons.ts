/** Writes docs/reference/reasons.md from the code: `npm run docs:reasons`. A test compares the two. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { linkReasons } from '../src/link/status.ts';
import { probeReasons } from '../src/probe/outcome.ts';
import { eventReasons, mirrorReasons } from '../src/mirror/reasons.ts';

/** The whole reference page. */
export function reasonsPage(): string {
  return [
    '# Reasons\n',
    'The same word stands in conditions, Events, log fields, metric labels and the docs. This page is written by `npm run docs:reasons`.\n',
    '## Of a mirror or a federated membership\n',
    table(mirrorReasons),
    '## Of an Event, beside those of mirrors\n',
    table(eventReasons),
    '## Of a probe of a gateway address\n',
    table(probeReasons),
    '## Of a condition of a Link\n',
    table(linkReasons),
  ].join('\n');
}

function table(reasons: Readonly<Record<string, string>>): string {
  const rows = Object.entries(reasons).map(([reason, meaning]) => `| \`${reason}\` | ${meaning} |`);
  return `| reason | meaning |\n| --- | --- |\n${rows.join('\n')}\n`;
}

if (import.meta.main) {
  writeFileSync(path.join(import.meta.dirname, '../docs/reference/reasons.md'), reasonsPage());
}
