/**
 * `npm run format:comments` wraps comments at 110 columns, as `biome format` wraps code: it writes the files
 * that have wider ones and names them. `npm run check:comments` (`--check`), part of `npm run check`, writes
 * nothing, names each line and exits with 1.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { WIDTH, wideComments, wrapComments } from './comments/wrap.ts';

const FOLDERS = ['src', 'test', 'bench', 'scripts', 'demo', 'bin'] as const;

if (import.meta.main) {
  const root = path.dirname(import.meta.dirname);
  const checking = process.argv.includes('--check');
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.m?[tj]s$/.test(file))
      .map((file) => path.join(folder, file)),
  );
  for (const file of files) {
    const text = readFileSync(path.join(root, file), 'utf8');
    const wrapped = wrapComments(text);
    if (wrapped === text) continue;
    if (checking) {
      process.exitCode = 1;
      for (const line of wideComments(text))
        process.stderr.write(`${file}:${line}: a comment is wider than ${WIDTH}: npm run format:comments\n`);
    } else {
      writeFileSync(path.join(root, file), wrapped);
      process.stdout.write(`${file}\n`);
    }
  }
}
