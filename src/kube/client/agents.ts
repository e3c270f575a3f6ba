import type { LookupFunction } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { Agent, buildConnector } from 'undici';
import type { ClusterAccess } from './access.ts';
import { loadUndici, type UndiciParts } from './undici-parts.ts';

/**
 * Requests at a time of one client, unless it is told otherwise. More that are begun wait in it, and their
 * time runs.
 */
export const MAX_CONNECTIONS = 16;

export interface AgentOptions {
  /** Time for an answer; default 10 s. */
  readonly timeoutMs?: number | undefined;
  /** Requests at a time; default 16. */
  readonly maxConnections?: number | undefined;
  /** Looks the server's host name up; default getaddrinfo. */
  readonly lookup?: LookupFunction | undefined;
}

/** Connections to one API server: those of watches last. */
export interface Agents {
  readonly requests: Agent;
  readonly watches: Agent;
}

/** A watch's headers must come within this time; the server sends them at once. */
const WATCH_HEADERS_MS = 15_000;

/** The connections of one client, opened with the first request. */
export class Connections {
  readonly #access: ClusterAccess;
  readonly #options: AgentOptions;
  #current: Agents | undefined;
  /** Those that take nothing new, until what is under way has ended. */
  readonly #leaving = new Set<Agents>();

  constructor(access: ClusterAccess, options: AgentOptions) {
    this.#access = access;
    this.#options = options;
  }

  /** Whether there was a request yet. */
  get begun(): boolean {
    return this.#current !== undefined;
  }

  of(by: keyof Agents): Agent {
    this.#current ??= openAgents(this.#access, this.#options);
    return this.#current[by];
  }

  /** New ones for what begins from now on; requests under way go on to their end. */
  replace(): void {
    const before = this.#current;
    this.#current = undefined;
    if (before === undefined) return;
    this.#leaving.add(before);
    const ended = Promise.all([before.requests.close(), before.watches.close()]);
    // `destroy` may have ended them meanwhile, which fails here and is no error.
    void ended.catch(() => undefined).finally(() => this.#leaving.delete(before));
  }

  /** Ends all. Requests under way fail. */
  async destroy(): Promise<void> {
    const all = [...this.#leaving, ...(this.#current === undefined ? [] : [this.#current])];
    await Promise.all(all.flatMap((agents) => [agents.requests.destroy(), agents.watches.destroy()]));
  }
}

/** Loads undici only here: a gateway that reads its targets from a file has no use for its 6 MB. */
function openAgents(access: ClusterAccess, options: AgentOptions): Agents {
  const undici = loadUndici();
  const { timeoutMs = 10_000, maxConnections = MAX_CONNECTIONS, lookup } = options;
  const connect = {
    timeout: 5000,
    ...(lookup === undefined ? {} : { lookup }),
    rejectUnauthorized: !access.skipVerify,
    ...(access.tlsServerName === undefined ? {} : { servername: access.tlsServerName }),
  };
  const shared = {
    connect: connectorOf(undici, connect, access),
    allowH2: false,
    keepAliveTimeout: 30_000,
    pipelining: 1,
  };
  return {
    requests: new undici.Agent({
      ...shared,
      connections: maxConnections,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    }),
    watches: new undici.Agent({ ...shared, headersTimeout: WATCH_HEADERS_MS, bodyTimeout: 0 }),
  };
}

/** Where a plugin gives the client certificate, each connection asks for it: it may have been renewed. */
function connectorOf(
  undici: UndiciParts,
  connect: buildConnector.BuildOptions,
  access: ClusterAccess,
): buildConnector.connector {
  const { auth, ca, cert, key } = access;
  // One context for all connections: Node would make one for each, and read the certificates anew. One
  // connector, too: it keeps the TLS sessions, so that watches resume those of the lists before them.
  if (auth.certificate === undefined)
    return undici.buildConnector({
      ...connect,
      secureContext: createSecureContext({ ca, cert, key }),
      allowH2: false,
    });
  return (options, callback) => {
    const begin = async () => {
      const pair = await auth.certificate?.();
      const secureContext = createSecureContext({ ca, cert, key, ...pair });
      undici.buildConnector({ ...connect, secureContext, allowH2: false })(options, callback);
    };
    begin().catch((error: unknown) =>
      callback(error instanceof Error ? error : new Error(String(error)), null),
    );
  };
}
