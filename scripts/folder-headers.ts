/**
 * The header of each folder of src/: a README.md, because that is what every browser of a repository shows
 * beside the files. It says what the folder is for, what it may know (**Knows:**), and where to begin
 * (**Start with:**). The house section of docs/architecture.md is made of their first sentences
 * (`generated/house.ts`); `check-layout.ts` names those that are missing.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** What a header says of its folder. */
export interface FolderHeader {
  /** From src/; empty for src/ itself. */
  readonly folder: string;
  /** Its first sentence. */
  readonly purpose: string;
}

/** Longest header, in lines: whoever needs more has more than one thing in the folder. */
const MAX_LINES = 16;
const MAX_WIDTH = 110;

/** Every file of src/ by its path from there, with `/`; of README.md also the text. */
export type SourceTree = ReadonlyMap<string, string>;

/** The headers of all folders, parents before what is in them, and what is wrong with them, one line each. */
export function folderHeaders(tree: SourceTree): {
  readonly headers: readonly FolderHeader[];
  readonly problems: readonly string[];
} {
  const headers: FolderHeader[] = [];
  const problems: string[] = [];
  for (const folder of foldersOf(tree)) {
    const text = tree.get(path.posix.join(folder, 'README.md'));
    const [title, ...paragraphs] = (text ?? '').trimEnd().split('\n\n');
    const found = text === undefined ? [missing(folder)] : headerProblems(folder, text, tree);
    problems.push(...found);
    if (found.length === 0 && title !== undefined)
      headers.push({ folder, purpose: firstSentence(paragraphs[0] ?? '') });
  }
  return { headers, problems };
}

/** Every folder that has files, and those around them. */
function foldersOf(tree: SourceTree): string[] {
  const found = new Set<string>();
  for (const file of tree.keys()) {
    const parts = file.split('/').slice(0, -1);
    for (let length = 0; length <= parts.length; length++) found.add(parts.slice(0, length).join('/'));
  }
  return [...found].toSorted();
}

function missing(folder: string): string {
  return (
    `${nameOf(folder)} has no README.md: about ten lines that say what the folder is for, what it may know ` +
    '("**Knows:** …") and where to begin ("**Start with:** `file.ts` …"), as in src/README.md'
  );
}

function headerProblems(folder: string, text: string, tree: SourceTree): string[] {
  const where = `${nameOf(folder)}/README.md`;
  const lines = text.trimEnd().split('\n');
  const [title, purpose = '', ...rest] = text.trimEnd().split('\n\n');
  const start = rest.find((paragraph) => paragraph.startsWith('**Start with:** '));
  return [
    ...(title === `# ${nameOf(folder)}` ? [] : [`${where} must begin with "# ${nameOf(folder)}"`]),
    ...(/^[A-Z][^]*\.$/.test(purpose) ? [] : [`${where} must say in sentences what the folder is for`]),
    ...(rest.some((paragraph) => paragraph.startsWith('**Knows:** '))
      ? []
      : [`${where} must say what the folder may know: "**Knows:** …"`]),
    ...(start === undefined ? [`${where} must say where to begin: "**Start with:** \`file.ts\` …"`] : []),
    ...(start === undefined || filesIn(start).some((file) => isThere(folder, file, tree))
      ? []
      : [`${where} says to start with a file that is not in the folder`]),
    ...(lines.length > MAX_LINES ? [`${where} has ${lines.length} lines; ${MAX_LINES} are enough`] : []),
    ...lines
      .filter((line) => line.length > MAX_WIDTH)
      .map((line) => `${where}: "${line.slice(0, 40)}…" is longer than ${MAX_WIDTH} columns`),
  ];
}

function filesIn(paragraph: string): string[] {
  return [...paragraph.matchAll(/`([\w./-]+\.ts)`/g)].map((match) => match[1] ?? '');
}

function isThere(folder: string, file: string, tree: SourceTree): boolean {
  return tree.has(path.posix.join(folder, file));
}

function firstSentence(paragraph: string): string {
  const line = paragraph.replaceAll('\n', ' ');
  return /^.*?\.(?= [A-Z`]|$)/.exec(line)?.[0] ?? line;
}

function nameOf(folder: string): string {
  return folder === '' ? 'src' : `src/${folder}`;
}

/** The files of a checkout's src/. @param root the checkout */
export function sourceTree(root: string): SourceTree {
  const src = path.join(root, 'src');
  return new Map(
    readdirSync(src, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const file = path.join(entry.parentPath, entry.name);
        const text = entry.name === 'README.md' ? readFileSync(file, 'utf8') : '';
        return [path.relative(src, file).split(path.sep).join('/'), text] as const;
      }),
  );
}
