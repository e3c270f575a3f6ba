/**
 * The house section of docs/architecture.md: what each folder of src/ is for, by its README.md, and the
 * import rule, by check-imports.ts.
 */
import path from 'node:path';
import { apart, exceptions, inside, layers } from '../check-imports.ts';
import { type FolderHeader, folderHeaders, type SourceTree, sourceTree } from '../folder-headers.ts';

const code = (name: string) => `\`${name}\``;
const order = (rows: readonly (readonly string[])[]) => rows.map((row) => code(row.join(' | '))).join(' → ');

/**
 * Every folder with the first sentence of its header, from the top layer down, and which may import which, in
 * Markdown.
 * @throws Error that names every folder without a header, or with one that says too little
 */
export function houseText(tree: SourceTree = sourceTree(path.join(import.meta.dirname, '../..'))): string {
  const { headers, problems } = folderHeaders(tree);
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return [
    ...headers
      .filter(({ folder }) => folder !== '')
      .toSorted((a, b) => compare(placeOf(a), placeOf(b)))
      .map(lineOf),
    '',
    layersText(),
  ].join('\n');
}

/** A folder as a list item, below the folder that it is in. */
function lineOf({ folder, purpose }: FolderHeader): string {
  const depth = folder.split('/').length - 1;
  return `${'  '.repeat(depth)}- [\`${folder}/\`](../src/${folder}/README.md): ${purpose}`;
}

/** For each part of a path its rank among its siblings: by layer, top first, then by name. */
function placeOf({ folder }: FolderHeader): (string | number)[] {
  return folder.split('/').flatMap((name, depth, parts) => {
    const rows = depth === 0 ? layers : (inside[parts[0] ?? ''] ?? []);
    const whole = parts.slice(0, depth + 1).join('/');
    const rank = rows.findIndex((row) => row.includes(whole));
    return [rank < 0 ? rows.length : rank, name];
  });
}

function compare(a: readonly (string | number)[], b: readonly (string | number)[]): number {
  const at = a.findIndex((part, index) => part !== b[index]);
  if (at < 0) return a.length - b.length;
  const [left = '', right] = [a[at], b[at]];
  if (right === undefined) return 1;
  return left < right ? -1 : 1;
}

/** Which folder of src/ may import which, in Markdown. */
function layersText(): string {
  const within = Object.entries(inside).map(
    ([folder, rows]) =>
      `Within ${code(folder)}: ${order(rows.map((row) => row.map((one) => shortOf(one))))}.`,
  );
  const against = exceptions.map(([from, to]) => `${code(from)} → ${code(to)}`).join(', ');
  return [
    `Imports point down only: ${order(layers)}.`,
    ...within,
    ...(against === '' ? [] : [`Against that only: ${against}.`]),
    `Of what is around them nothing: ${apart.map(code).join(', ')}.`,
  ]
    .map((line) => `- ${line}`)
    .join('\n');
}

/** A folder as it is called by the one that it is in; that one itself is `.`. */
function shortOf(folder: string): string {
  return folder.split('/').slice(1).join('/') || '.';
}
