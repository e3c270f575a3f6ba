/**
 * Cleans up behind the clusters of one process, which has forked it (watched-clusters.ts) and alone holds the
 * other end of its channel. When that process ends, in whatever way (SIGKILL included), the channel closes,
 * every process that carries the marker of one of its clusters in its environment is killed, and the
 * directories are removed. `Cluster.stop()` asks for the same for one cluster: there is one way to clean up.
 *
 * Processes are found by the marker that they inherit, not by a list of pids: so there is no moment between a
 * process being started and being listed, and a pid that was used again for something else is never hit.
 */
import { existsSync, rmSync } from 'node:fs';
import { processesWith } from './processes.ts';

/** What it is told: of a cluster that there is now, or of one to clean up behind, which it answers. */
export interface Told {
  readonly now: 'watch' | 'clean';
  readonly marker: string;
  readonly directory: string;
}

const watched = new Map<string, string>();

async function cleanUp(marker: string, directory: string): Promise<void> {
  // Again until none is left: one that is just being started shows the marker only after its exec.
  for (let quiet = 0; quiet < 2; ) {
    const found = processesWith(marker);
    for (const pid of found) kill(pid);
    quiet = found.length === 0 ? quiet + 1 : 0;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  // Again while a thread of a killed process, whose leader is gone already, still finishes a write.
  while (!removed(directory)) await new Promise((resolve) => setTimeout(resolve, 10));
  watched.delete(marker);
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

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('message', ({ now, marker, directory }: Told) => {
  if (now === 'watch') watched.set(marker, directory);
  else void cleanUp(marker, directory).then(() => process.connected && process.send?.(marker));
});
process.on('disconnect', () => {
  void Promise.all([...watched].map(([marker, directory]) => cleanUp(marker, directory))).then(() =>
    process.exit(0),
  );
});
