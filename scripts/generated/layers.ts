/** The import rule in words, from scripts/check-imports.ts, for docs/architecture.md. */
import { apart, exceptions, inside, layers } from '../check-imports.ts';

const code = (name: string) => `\`${name}\``;
const order = (rows: readonly (readonly string[])[]) => rows.map((row) => code(row.join(' | '))).join(' → ');

/** Which folder of src/ may import which, in Markdown. */
export function layersText(): string {
  const within = Object.entries(inside).map(
    ([folder, rows]) =>
      `Within ${code(folder)}: ${order(rows.map((row) => row.map((one) => shortOf(one))))}.`,
  );
  const against = exceptions.map(([from, to]) => `${code(from)} → ${code(to)}`).join(', ');
  return [
    `Imports point down only: ${order(layers)}.`,
    ...within,
    `Against that only: ${against}.`,
    `Of what is around them nothing: ${apart.map(code).join(', ')}.`,
  ].join('\n');
}

/** A folder as it is called by the one that it is in; that one itself is `.`. */
function shortOf(folder: string): string {
  return folder.split('/').slice(1).join('/') || '.';
}
