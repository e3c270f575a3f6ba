/**
 * Puts what the image holds into a folder: `node scripts/image-context.ts DIR`. The Dockerfile does the same
 * for people with Docker; this is for image builders that take a directory.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from './build.ts';
import { trim } from './trim-image.ts';

const root = path.dirname(import.meta.dirname);
const target = process.argv[2];
if (target === undefined) throw new Error('give the folder: node scripts/image-context.ts DIR');

const run = (command: string, args: string[], cwd: string) =>
  execFileSync(command, args, { cwd, stdio: 'inherit' });

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
build(path.join(target, 'dist'));
for (const name of ['package.json', 'package-lock.json', 'LICENSE', 'bin', 'charts']) {
  cpSync(path.join(root, name), path.join(target, name), { recursive: true });
}
// The image has Node 26 itself, which is all that is optional, and nothing needs an install script.
const production = ['--omit=dev', '--omit=optional'];
run('npm', ['ci', ...production, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], target);
// What is not in it is not named in it either; then npm lists what really lies in node_modules.
run('npm', ['pkg', 'delete', 'devDependencies', 'optionalDependencies', 'scripts'], target);
rmSync(path.join(target, 'package-lock.json'));
const sbom = execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx'], { cwd: target });
writeFileSync(path.join(target, 'sbom.cdx.json'), sbom);
trim(target);
