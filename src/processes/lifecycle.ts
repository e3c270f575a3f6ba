import { setFlagsFromString } from 'node:v8';

/**
 * For processes that carry traffic: no incremental marking on Node. Every read comes in memory that V8 counts
 * as external; 64 MB of it make V8 begin to mark the whole heap, several times a second under load, a fifth
 * to a third of the CPU, to find that all of it was freed by young collections already. Full collections that
 * are needed take 10 to 20 ms at this heap's size. (Measured: docs/performance.md.)
 */
export function tuneForTraffic(): void {
  if (process.versions.bun === undefined) setFlagsFromString('--no-incremental-marking');
}

/**
 * The program has been loaded and serves: from here on V8 may take memory for speed, which `bin/linkspan.js`
 * has forbidden it until now (10 MB less for a process that has little to do).
 */
export function endOfStart(): void {
  if (process.versions.bun === undefined) setFlagsFromString('--no-optimize-for-size');
}

/**
 * Runs `stop` once on SIGTERM or SIGINT and resolves when it is done. A second signal ends the process at
 * once, so that a person is never stuck behind a drain.
 * @returns the signal that came
 */
export function untilStopped(stop: (signal: NodeJS.Signals) => Promise<void>): Promise<NodeJS.Signals> {
  return new Promise((resolve, reject) => {
    let stopping = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (stopping) process.exit(130);
      stopping = true;
      stop(signal).then(() => resolve(signal), reject);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}
