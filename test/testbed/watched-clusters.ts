import { type ChildProcess, fork } from 'node:child_process';
import path from 'node:path';
import type { Told } from './watchdog.ts';

/** One for all clusters of this process: to start another takes as much of the machine as half an etcd. */
let watchdog: ChildProcess | undefined;

/**
 * Has a cluster cleaned up behind when this process ends: what carries the marker (`NAME=value`) in its
 * environment is killed, and the directory removed.
 * @returns does it now, and resolves when it is done
 */
export function watchCluster(marker: string, directory: string): () => Promise<void> {
  const dog = watchdog?.connected === true ? watchdog : start();
  watchdog = dog;
  dog.send({ now: 'watch', marker, directory } satisfies Told);
  return () =>
    new Promise((resolve) => {
      if (!dog.connected) return resolve();
      // While somebody waits it keeps this process from ending.
      dog.channel?.ref();
      const done = () => {
        dog.off('message', hear).off('exit', done);
        if (dog.listenerCount('message') === 0) dog.channel?.unref();
        resolve();
      };
      const hear = (cleaned: unknown) => {
        if (cleaned === marker) done();
      };
      dog.on('message', hear).on('exit', done);
      dog.send({ now: 'clean', marker, directory } satisfies Told);
    });
}

function start(): ChildProcess {
  const dog = fork(path.join(import.meta.dirname, 'watchdog.ts'), {
    cwd: '/',
    // ^C is for this process; what it leaves is cleaned up after it.
    detached: true,
    stdio: 'ignore',
    execArgv: [],
  });
  dog.setMaxListeners(0);
  dog.on('error', () => {});
  dog.unref();
  dog.channel?.unref();
  return dog;
}
