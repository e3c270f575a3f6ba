/**
 * Where files stand, run by `npm run check`: a unit test stands where what it tests stands, and no two files
 * of src/ have one name. A test has the name of a file or a folder, and may have that of a behaviour behind
 * it: `kube-client.answers.test.ts`. Tests of scripts, benches, the demo and the testbed mirror these. Every
 * folder of src/ has a header (`folder-headers.ts`). Prints every violation and exits with 1.
 */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { folderHeaders, sourceTree } from './folder-headers.ts';

/** Tests of the repository as a whole: of no file or folder. */
const OF_THE_REPO = 'test/unit/repo/';
/** Where what is tested may stand, from the root. */
const ROOTS = ['src/', '', 'test/'] as const;
/** Verbs are called as people type them, whatever else is called so. */
const VERBS = 'src/cli/commands/';

/** What is wrong with a list of files (from the root, with `/`), one line each. */
export function layoutViolations(files: readonly string[]): string[] {
  return [...strayTests(files), ...doubledNames(files)];
}

function strayTests(files: readonly string[]): string[] {
  const known = new Set(files.flatMap((file) => [file.replace(/\.ts$/, ''), ...foldersOf(file)]));
  return files.flatMap((file) => {
    if (!file.startsWith('test/unit/') || !file.endsWith('.test.ts') || file.startsWith(OF_THE_REPO))
      return [];
    const [subject = ''] = path.posix.basename(file).split('.');
    const place = path.posix.join(path.posix.dirname(file).slice('test/unit'.length + 1), subject);
    if (ROOTS.some((root) => known.has(root + place))) return [];
    return [`${file}: there is no src/${place}.ts, nor a folder of that name`];
  });
}

/** Every folder above a file. */
function foldersOf(file: string): string[] {
  const parts = file.split('/').slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}

function doubledNames(files: readonly string[]): string[] {
  const named = files.filter(
    (file) => file.startsWith('src/') && file.endsWith('.ts') && !file.startsWith(VERBS),
  );
  return [...Map.groupBy(named, (file) => path.posix.basename(file))]
    .filter(([, same]) => same.length > 1)
    .map(([name, same]) => `${name} is the name of ${same.join(' and of ')}`);
}

if (import.meta.main) {
  const root = path.dirname(import.meta.dirname);
  const files = ['src', 'test', 'scripts', 'bench', 'demo', 'charts'].flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)).split(path.sep).join('/')),
  );
  const found = [...layoutViolations(files), ...folderHeaders(sourceTree(root)).problems];
  for (const line of found) process.stderr.write(`${line}\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}
