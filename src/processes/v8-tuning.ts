/**
 * What V8 is told of itself holds for all that its process does, for ever: verbs say it of their own process
 * (`tuneForTraffic`, `giveBackAfterStart`), and what can run within a test leaves it alone.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock } from '../base/clock.ts';
import { readMemory } from '../proxy/io/read-memory.ts';

/**
 * For processes that carry traffic, on Node. Every socket read arrives in memory that V8 counts as external,
 * and 64 MB of it make V8 mark the whole heap: several times a second under load, for a fifth to a third of
 * the CPU, although young collections free all of it. So incremental marking is turned off. A full collection
 * would then stop everything for 30 to 90 ms instead: young ones are asked for before that much was read
 * (docs/performance.md).
 */
export function tuneForTraffic(): void {
  if (process.versions.bun !== undefined) return;
  setFlagsFromString('--no-incremental-marking');
  const collect = collector();
  readMemory.collectBy(() => collect({ type: 'minor', execution: 'sync' }));
}

/**
 * To be called when the program is loaded and serves: V8 may then use memory for speed, which
 * `bin/linkspan.js` prevents while they start.
 */
export function endOfStart(): void {
  if (process.versions.bun === undefined) setFlagsFromString('--no-optimize-for-size');
}

/** How long a process that has begun goes on loading, reading its clusters and compiling. */
const SETTLED_MS = 10_000;

/**
 * For processes that mostly wait for API servers: what the start has made V8 take is given back once it is
 * over, and V8 favours size over speed from then on. Without this the controller would keep 30 MB; favouring
 * size from the beginning, it would start a fifth more slowly (docs/performance.md).
 */
export function giveBackAfterStart(clock: Clock): void {
  if (process.versions.bun !== undefined) return;
  clock.after(
    SETTLED_MS,
    () => {
      setFlagsFromString('--optimize-for-size');
      // This kind of collection also makes the young generation small.
      collector()({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    },
    { unref: true },
  );
}

/** V8's own function that collects garbage, without giving it to everybody: Node has no other way to ask. */
function collector(): (options: object) => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: object) => void;
  setFlagsFromString('--no-expose-gc');
  return collect;
}
