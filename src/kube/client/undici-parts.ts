import { createRequire } from 'node:module';
import type { Agent, buildConnector, Dispatcher } from 'undici';

/** The parts of undici that requests to an API server need. */
export interface UndiciParts {
  readonly Agent: typeof Agent;
  readonly buildConnector: typeof buildConnector;
}

/**
 * Loads the parts of undici that make requests, by their files: the whole has `fetch`, `WebSocket`, caches
 * and mocks, which cost a process 5 MB and 50 ms more. A newer undici that moves them fails here, and in
 * every test of the client; the lock file pins the version. (Bun puts a stand-in of its own, without
 * `request`, in the place of the bare name.)
 */
export function loadUndici(): UndiciParts {
  const load = createRequire(import.meta.url);
  const dispatcher = load('undici/lib/dispatcher/dispatcher.js') as typeof Dispatcher;
  // As undici's own index does.
  dispatcher.prototype.request = load('undici/lib/api/api-request.js') as Dispatcher['request'];
  return {
    Agent: load('undici/lib/dispatcher/agent.js') as typeof Agent,
    buildConnector: load('undici/lib/core/connect.js') as typeof buildConnector,
  };
}
