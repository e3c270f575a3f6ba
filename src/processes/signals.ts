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
