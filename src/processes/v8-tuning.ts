import { setFlagsFromString } from 'node:v8';

/**
 * For processes that carry traffic: turns incremental marking off on Node. Every socket read arrives in
 * memory that V8 counts as external, and 64 MB of it make V8 mark the whole heap: several times a second
 * under load, for a fifth to a third of the CPU, although young collections have freed all of it already.
 * Full collections, where they are needed, take 10 to 20 ms at this heap's size (docs/performance.md).
 */
export function tuneForTraffic(): void {
  if (process.versions.bun === undefined) setFlagsFromString('--no-incremental-marking');
}

/**
 * To be called when the program is loaded and serves: V8 may then use memory for speed, which
 * `bin/linkspan.js` prevents during the start (10 MB less for a process that has little to do).
 */
export function endOfStart(): void {
  if (process.versions.bun === undefined) setFlagsFromString('--no-optimize-for-size');
}
