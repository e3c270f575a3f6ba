/**
 * Compiles the program: `npm run build`, or `node scripts/build.ts DIR` for another folder than `dist`. The
 * page of the dashboard is a program of its own, for browsers; its files that are no modules are copied. The
 * Dockerfile and `image:context` run it.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const PAGE = 'src/dashboard/page';
/** Files that browsers get as they are. */
const STATIC = /\.(css|html|svg)$/;

/** @param target gets what `src` is compiled to */
export function build(target: string): void {
  // What the page only takes types of comes along, and is written over by the program's own.
  for (const project of [`${PAGE}/tsconfig.build.json`, 'tsconfig.build.json'])
    execFileSync(
      process.execPath,
      [path.join(root, 'node_modules/typescript/bin/tsc'), '-p', project, '--outDir', path.resolve(target)],
      { cwd: root, stdio: 'inherit' },
    );
  for (const file of readdirSync(path.join(root, PAGE), { recursive: true, encoding: 'utf8' }))
    if (STATIC.test(file)) cpSync(path.join(root, PAGE, file), path.join(target, 'dashboard/page', file));
}

if (import.meta.main) build(process.argv[2] ?? path.join(root, 'dist'));
