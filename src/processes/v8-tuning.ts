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
/** How often it is looked whether the process has little to do, once that is over. */
const LOOK_MS = 1000;
/** Up to this part of the time at work it has. */
const LITTLE = 0.2;

/** Which part of the time since the last call this process has been at work, 0 to 1. */
export type WorkShare = () => number;

function workShare(): WorkShare {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}

/**
 * For processes that mostly wait for API servers: what the start has made V8 take is given back once it is
 * over, and V8 favours size over speed from then on. Without this the controller would keep 30 MB; favouring
 * size from the beginning, it would start a fifth more slowly (docs/performance.md). It stops everything for
 * up to half a second, so it waits for a moment with little to do: a controller in the middle of an import
 * has none.
 */
export function giveBackAfterStart(clock: Clock, share: WorkShare = workShare()): void {
  if (process.versions.bun !== undefined) return;
  const look = () => {
    if (share() > LITTLE) {
      clock.after(LOOK_MS, look, { unref: true });
      return;
    }
    setFlagsFromString('--optimize-for-size');
    // This kind of collection also makes the young generation small.
    collector()({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  };
  // From the second before it: the start itself says nothing.
  const begin = () => {
    share();
    clock.after(LOOK_MS, look, { unref: true });
  };
  clock.after(SETTLED_MS - LOOK_MS, begin, { unref: true });
}

/** V8's own function that collects garbage, without giving it to everybody: Node has no other way to ask. */
function collector(): (options: object) => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: object) => void;
  setFlagsFromString('--no-expose-gc');
  return collect;
}
