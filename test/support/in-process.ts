import { expect } from 'chai';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { anonymousAccess, type ClusterAccess } from '../../src/kube/client/access.ts';
import type { IdentitySource } from '../../src/identity/sources/identity.ts';
import type { Logger } from '../../src/telemetry/log.ts';
import { captureLog } from './captured-log.ts';

/**
 * Lets a test send signals to a process that runs within the test's own. What that listens with is gone after
 * each test.
 * @returns sends one; fails where nobody listens
 */
export function useSignals(): (signal: 'SIGTERM' | 'SIGINT') => void {
  // The last resort's, too: behind the test a mistake shall be the runner's to see.
  const heard = ['SIGTERM', 'SIGINT', 'uncaughtException', 'unhandledRejection'];
  const before = new Map<string, readonly unknown[]>();
  beforeEach(() => {
    for (const event of heard) before.set(event, process.listeners(event));
  });
  afterEach(() => {
    for (const event of heard)
      for (const listener of process.listeners(event))
        if (before.get(event)?.includes(listener) !== true) process.off(event, listener as () => void);
  });
  return (signal) => {
    const own = process.listeners(signal).filter((one) => before.get(signal)?.includes(one) !== true);
    expect(own, `who listens for ${signal}`).to.have.length(1);
    for (const listener of own) listener(signal);
  };
}

/** A log that calls `then` when it is told a message. */
export function logThat(message: string, then: () => void): Logger {
  const { log } = captureLog();
  const info = log.info.bind(log) as (fields: object, msg: string) => void;
  log.info = ((fields: object, msg: string) => {
    info(fields, msg);
    if (msg === message) then();
  }) as Logger['info'];
  return log;
}

/**
 * An identity source that never has one, and counts how often it was closed.
 * @param opened called first, as a process opens it
 */
export function closedIdentity(opened: () => void): {
  readonly open: () => Promise<IdentitySource>;
  readonly closed: () => number;
} {
  let closed = 0;
  const open = () => {
    opened();
    return Promise.resolve({
      current: () => undefined,
      subscribe: () => () => undefined,
      ready: { ok: true, reason: '' },
      close: () => {
        closed++;
        return Promise.resolve();
      },
    });
  };
  return { open, closed: () => closed };
}

/** Answers as an API server does that has no such object, or no such kind. */
export function notFound(response: http.ServerResponse): void {
  response.statusCode = 404;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404 }));
}

/** An API server that holds nothing. */
export async function emptyApi(): Promise<{ readonly access: ClusterAccess } & AsyncDisposable> {
  const server = http.createServer((_, response) => notFound(response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    access: anonymousAccess(`http://127.0.0.1:${port}`),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
