/**
 * Cleans up behind one cluster: `node watchdog.ts MARKER DIRECTORY`. It holds the read end of a pipe whose
 * write end only the starting process holds; when that process ends, in whatever way (SIGKILL included), the
 * pipe closes, and every process that carries MARKER in its environment is killed and DIRECTORY removed.
 * `Cluster.stop()` closes the same pipe: there is one way to clean up.
 *
 * Processes are found by the marker that they inherit, not by a list of pids: so there is no moment between a
 * process being started and being listed, and a pid that was used again for something else is never hit.
 */
import { existsSync, rmSync } from 'node:fs';
import { processesWith } from './processes.ts';

const [marker, directory] = process.argv.slice(2);
if (marker === undefined || directory === undefined) throw new Error('usage: watchdog.ts MARKER DIRECTORY');
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.stdin.on('error', () => void cleanUp(marker, directory));
process.stdin.on('close', () => void cleanUp(marker, directory));
process.stdin.resume();

async function cleanUp(marker: string, directory: string): Promise<void> {
  process.stdin.removeAllListeners();
  // Again until none is left: one that is just being started shows the marker only after its exec.
  for (let quiet = 0; quiet < 2; ) {
    const found = processesWith(marker);
    for (const pid of found) kill(pid);
    quiet = found.length === 0 ? quiet + 1 : 0;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  // Again while a thread of a killed process, whose leader is gone already, still finishes a write.
  while (!removed(directory)) await new Promise((resolve) => setTimeout(resolve, 10));
  process.exit(0);
}

function removed(directory: string): boolean {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch {
    return false;
  }
  return !existsSync(directory);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself meanwhile.
  }
}
