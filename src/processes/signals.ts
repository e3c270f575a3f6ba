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
