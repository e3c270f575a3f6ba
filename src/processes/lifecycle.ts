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

/**
 * SIGTERM and SIGINT, heard from the first moment of a process on: the first process of a container ends by a
 * signal only where it listens for it (pid_namespaces(7)), so one that came during the start would be lost. A
 * second signal ends the process at once, so that a person is never stuck behind a drain.
 */
export class StopSignals {
  readonly #came = Promise.withResolvers<NodeJS.Signals>();
  #stopping = false;

  constructor() {
    const onSignal = (signal: NodeJS.Signals) => {
      if (this.#stopping) process.exit(130);
      this.#stopping = true;
      this.#came.resolve(signal);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  }

  /** Whether the process has been told to end: what has not begun yet need not. */
  get came(): boolean {
    return this.#stopping;
  }

  /**
   * Runs `stop` once a signal comes, or has come, and resolves when it is done.
   * @returns the signal that came
   */
  async untilStopped(stop: (signal: NodeJS.Signals) => Promise<void>): Promise<NodeJS.Signals> {
    const signal = await this.#came.promise;
    await stop(signal);
    return signal;
  }
}
