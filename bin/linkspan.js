#!/usr/bin/env node
// Starts Linkspan on Node 26 wherever it is called from. Plain JavaScript, because the Node that reads this
// file may be too old to run TypeScript; in that case the Node that the project brings (npm packages
// `node-<platform>-<arch>`, which the package `node` would fetch outside the lock file) takes over.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module, { createRequire } from 'node:module';
import { constants } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';

const REQUIRED_MAJOR = 26;
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
// Node refuses to strip types below node_modules, so an installed package runs its compiled files.
const source = path.join(root, 'src/cli/main.ts');
const compiled = path.join(root, 'dist/cli/main.js');
const installed = root.split(path.sep).includes('node_modules');
const entry = existsSync(source) && !installed ? source : compiled;

if (process.versions.bun || Number(process.versions.node.split('.')[0]) >= REQUIRED_MAJOR) {
  // Garbage from loading would make V8's young generation grow to 16 MB for good. Processes that carry
  // traffic need it later and lift this when they have started; those that mostly wait (controller, signer)
  // load a fifth faster with it, and give it back then (both: src/processes/v8-tuning.ts).
  const carriesTraffic = process.argv[2] === 'gateway' || process.argv[2] === 'egress';
  if (carriesTraffic && !process.versions.bun) setFlagsFromString('--optimize-for-size');
  // Compiled code, and TypeScript stripped of its types, is kept in the system's folder for temporary files:
  // the next start is faster and 20 MB smaller. V8 takes only what was compiled with the flags that it has:
  // after the flag, those that carry traffic keep theirs in a folder of their own, where otherwise each of
  // the two kinds would throw away what the other one had kept. Old Nodes and Bun have no such cache.
  module.enableCompileCache?.();
  await import(pathToFileURL(entry).href);
} else {
  handOver(ownNode());
}

function ownNode() {
  const platform = `${process.platform}-${process.arch}`;
  for (const name of [`node-${platform}`, `node-bin-${platform}`]) {
    try {
      const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
      const binary = path.join(path.dirname(manifest), 'bin/node');
      if (existsSync(binary)) return binary;
    } catch {
      // Not installed: reported below.
    }
  }
  process.stderr.write(
    `linkspan: [NODE_TOO_OLD] Linkspan needs Node ${REQUIRED_MAJOR}, this is ${process.version}. ` +
      'Run `npm ci` in the checkout (it brings its own Node) or install Node 26.\n',
  );
  return process.exit(1);
}

function handOver(binary) {
  // One malloc arena, as in the image: 10 to 20 MB less.
  // The IPC channel lets the child notice that this process was killed, so no orphan is left behind.
  const child = spawn(binary, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, LINKSPAN_LAUNCHER: '1', MALLOC_ARENA_MAX: process.env['MALLOC_ARENA_MAX'] ?? '1' },
  });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'])
    process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`linkspan: [NODE_START_FAILED] ${binary}: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    process.exitCode = signal ? 128 + constants.signals[signal] : (code ?? 1);
    if (child.connected) child.disconnect();
  });
}
