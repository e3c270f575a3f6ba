/**
 * `npm run test:fresh [-- --from build|download] [--keep]`: what a newcomer meets. Clones the commit that is
 * checked out into an empty folder and runs README's two commands there as a machine that has only Go, git
 * and Node would: home, caches of Go, npm and testbed and the folder for temporary files are empty, and
 * nothing of this shell's npm or testbed settings is handed on. Prints how long each took; exits with 1 when
 * one failed.
 */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ended } from '../test/testbed/binaries/build.ts';
import { takeFlags } from '../test/testbed/binaries/flags.ts';
import { isExecutable } from '../test/testbed/binaries/places.ts';
import { orExplain, TestbedError } from '../test/testbed/errors.ts';
import { findExecutable } from '../test/testbed/processes.ts';

const root = path.dirname(import.meta.dirname);
/** What a bare machine has beside the system's own programs. */
const TOOLS = ['node', 'npm', 'git', 'go'];
const SYSTEM = ['/usr/local/sbin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
/** Settings that would bring something of this machine along. */
const NOT_HANDED_ON = /^(npm_|NODE_|LINKSPAN_|GO|KUBE|XDG_|INIT_CWD$|HOME$|TMPDIR$|PATH$|CI$)/i;

interface Step {
  readonly title: string;
  readonly args: readonly string[];
}

function gitSays(...args: string[]): string {
  const { stdout, stderr, status } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new TestbedError('TESTBED_BOOT_FAILED', `git ${args.join(' ')}: ${stderr.trim()}`);
  return stdout.trim();
}

/** The environment of a machine that has never run this, all its folders in `base`. */
function freshEnv(base: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !NOT_HANDED_ON.test(name));
  const folder = (name: string) => {
    mkdirSync(path.join(base, name));
    return path.join(base, name);
  };
  const mine = (process.env['PATH'] ?? '').split(':').filter((entry) => !entry.includes('node_modules'));
  const tools = TOOLS.map((name) => findExecutable(name, mine, isExecutable));
  return {
    ...Object.fromEntries(kept),
    CI: 'true',
    PATH: [
      ...new Set([
        ...tools.filter((file) => file !== undefined).map((file) => path.dirname(file)),
        ...SYSTEM,
      ]),
    ].join(':'),
    HOME: folder('home'),
    XDG_CACHE_HOME: folder('cache'),
    GOCACHE: folder('gocache'),
    GOMODCACHE: folder('gomodcache'),
    npm_config_cache: folder('npm'),
    TMPDIR: folder('tmp'),
  };
}

async function run(step: Step, cwd: string, env: NodeJS.ProcessEnv): Promise<string> {
  process.stdout.write(`\n$ npm ${step.args.join(' ')}\n`);
  const start = performance.now();
  const outcome = await ended(spawn('npm', step.args, { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] }));
  const seconds = Math.round((performance.now() - start) / 1000);
  const time = `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
  return `${step.title.padEnd(28)} ${time}${outcome === '0' ? '' : `   FAILED (${outcome})`}`;
}

/** Go's module cache is read-only, folders too. */
function remove(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
    if (entry.isDirectory()) chmodSync(path.join(entry.parentPath, entry.name), 0o755);
  rmSync(folder, { recursive: true, force: true });
}

await orExplain(async () => {
  const given = takeFlags(process.argv.slice(2), ['--keep']);
  const from = process.env['LINKSPAN_TESTBED_FROM'];
  const flags = from === undefined ? [] : ['--', '--from', from];
  const commit = gitSays('rev-parse', 'HEAD');
  if (gitSays('status', '--porcelain') !== '')
    process.stdout.write('there are uncommitted changes: they are not in what is tried\n');
  const base = mkdtempSync(path.join(os.tmpdir(), 'linkspan-fresh-'));
  const checkout = path.join(base, 'linkspan');
  gitSays('clone', '--quiet', '--no-local', root, checkout);
  gitSays('-C', checkout, 'checkout', '--quiet', commit);
  const env = freshEnv(base);
  const results: string[] = [];
  const steps: Step[] = [
    { title: 'npm ci', args: ['ci', '--no-audit', '--no-fund'] },
    { title: 'npm run demo, first', args: ['run', 'demo', ...flags] },
    { title: 'npm run demo, again', args: ['run', 'demo', ...flags] },
    { title: 'npm test, first', args: ['test', ...flags] },
  ];
  for (const step of steps) results.push(await run(step, checkout, env));
  process.stdout.write(
    `\ncommit ${commit}, everything empty (${os.cpus().length} processors)\n${results.join('\n')}\n`,
  );
  if (results.some((line) => line.includes('FAILED'))) process.exitCode = 1;
  if (given.has('--keep')) process.stdout.write(`kept: ${base}\n`);
  else remove(base);
});
