/**
 * `node test/testbed/run.ts COMMAND [ARGUMENT...]` runs a command in the testbed's network namespace and ends
 * with its exit code.
 */
import { spawn } from 'node:child_process';
import { orExplain } from './errors.ts';
import { NEEDS } from './binaries/programs.ts';
import { handOver, reexecInNetns } from './netns.ts';

await orExplain(async () => {
  const [command, ...rest] = process.argv.slice(2);
  if (command === undefined) {
    process.stderr.write('usage: node test/testbed/run.ts COMMAND [ARGUMENT...]\n');
    process.exit(2);
  }
  await reexecInNetns(NEEDS.controlPlane);
  process.exit(await handOver(spawn(command, rest, { stdio: 'inherit' })));
});
