import type { TLSSocket } from 'node:tls';
import { forEachIsolated, reportContained } from '../../base/isolation.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Identity, IdentitySource } from '../sources/identity.ts';
import { identityIn, peerCertificate } from '../x509/peer-certificate.ts';
import { lostTrust, trustOf } from './trust.ts';

/** How long connections live whose users do not end them. */
export interface ConnectionAge {
  /** Age at which a connection takes nothing new any more, milliseconds, with 10 % jitter; 0 = never. */
  readonly maxAgeMs: number;
  /** Time that its flows then have to end, milliseconds. */
  readonly graceMs: number;
}

/**
 * An hour, and another day for flows that cannot be asked to end or do not: raw bytes, a download, a stream.
 * A day is the life of a leaf certificate, so that no connection outlives the proof of its peer's identity by
 * more.
 */
export const DEFAULT_CONNECTION_AGE: ConnectionAge = { maxAgeMs: 3_600_000, graceMs: 86_400_000 };

/**
 * Time that the flows of a connection have to end once its peer is not trusted any more, milliseconds.
 * Together with checking all connections it stays below ten seconds.
 */
export const DISTRUST_GRACE_MS = 5000;
/** Connections whose chains are verified in one turn of the event loop. */
const BATCH = 32;
const JITTER = 0.1;
/** Longest time from the beginning of a handshake to its end. */
const HANDSHAKE_MS = 30_000;
/** How often ages are checked: a share of the maximum age, and bounds in milliseconds. */
const LOOK_SHARE = 1 / 60;
const MIN_LOOK_MS = 10;
const MAX_LOOK_MS = 60_000;

/** A connection that can be ended. */
export interface OpenConnection {
  /** Asks its user to begin nothing new, and to close it when all flows have ended. */
  retire(): void;
  /** Cuts it so that the peer sees an error, and half a response does not look complete. */
  abort(): void;
  /** Calls `listener` when it has closed; at once if it already has. */
  whenClosed(listener: () => void): void;
}

interface Entry {
  readonly socket: TLSSocket;
  /** Monotonic milliseconds. */
  retireAt: number;
  endAt: number;
}

export interface OpenPeersOptions {
  readonly identity: IdentitySource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Default `DEFAULT_CONNECTION_AGE`. */
  readonly age?: ConnectionAge | undefined;
}

/**
 * The open connections whose peers have proven their identity. A connection is ended when the trust anchors
 * have changed and no longer vouch for its peer (first retired, then cut, within ten seconds), or when it has
 * reached its maximum age (retired, and cut after the grace).
 */
export class OpenPeers {
  readonly #options: OpenPeersOptions;
  readonly #age: ConnectionAge;
  readonly #open = new Map<OpenConnection, Entry>();
  readonly #unsubscribe: () => void;
  #identity: Identity | undefined;
  /** When the trust anchors last changed, monotonic milliseconds. */
  #changedAt = -Infinity;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: OpenPeersOptions) {
    this.#options = options;
    this.#age = options.age ?? DEFAULT_CONNECTION_AGE;
    this.#identity = options.identity.current();
    this.#unsubscribe = options.identity.subscribe(() => this.#identityChanged());
  }

  get size(): number {
    return this.#open.size;
  }

  connections(): Iterable<OpenConnection> {
    return this.#open.keys();
  }

  /** Adds a connection. @param socket its TLS socket, after the handshake */
  add(connection: OpenConnection, socket: TLSSocket): void {
    const { clock, random } = this.#options;
    const { maxAgeMs, graceMs } = this.#age;
    const ageMs = maxAgeMs * (1 + JITTER * (2 * random() - 1));
    const retireAt = maxAgeMs === 0 ? Infinity : clock.monotonic() + ageMs;
    this.#open.set(connection, { socket, retireAt, endAt: retireAt + graceMs });
    connection.whenClosed(() => this.#open.delete(connection));
    // The handshake may have used the former anchors.
    const identity = this.#identity;
    if (identity !== undefined && clock.monotonic() - this.#changedAt < HANDSHAKE_MS)
      this.#lookAt(connection, socket, identity);
    this.#lookLater();
  }

  /** Stops checking; the connections stay open. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    this.#timer?.cancel();
  }

  #lookLater(): void {
    const { maxAgeMs } = this.#age;
    if (this.#timer !== undefined || this.#closed || maxAgeMs === 0) return;
    const afterMs = Math.min(MAX_LOOK_MS, Math.max(MIN_LOOK_MS, maxAgeMs * LOOK_SHARE));
    this.#timer = this.#options.clock.after(afterMs, () => this.#look(), { unref: true });
  }

  #look(): void {
    this.#timer = undefined;
    const now = this.#options.clock.monotonic();
    forEachIsolated('ages of connections', this.#open, ([connection, entry]) => {
      if (now >= entry.endAt) connection.abort();
      else if (now >= entry.retireAt) {
        entry.retireAt = Infinity;
        connection.retire();
      }
    });
    if (this.#open.size > 0) this.#lookLater();
  }

  #identityChanged(): void {
    const { identity, log } = this.#options;
    const before = this.#identity;
    const current = identity.current();
    this.#identity = current;
    if (current === undefined || before === undefined || trustOf(current).equals(trustOf(before))) return;
    this.#changedAt = this.#options.clock.monotonic();
    this.#recheck(current).catch((error: unknown) =>
      log.error({ err: error }, 'open connections not looked at'),
    );
  }

  /**
   * Checks every connection again, a batch in each turn of the event loop; a further change of trust starts
   * over.
   */
  async #recheck(identity: Identity): Promise<void> {
    let looked = 0;
    for (const [connection, { socket }] of this.#open) {
      const current = this.#identity;
      if (this.#closed || current === undefined || !trustOf(current).equals(trustOf(identity))) return;
      if (this.#open.has(connection)) this.#lookSafely(connection, socket, identity);
      if (++looked % BATCH === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** A connection whose check throws is ended; the others are still checked. */
  #lookSafely(connection: OpenConnection, socket: TLSSocket, identity: Identity): void {
    try {
      this.#lookAt(connection, socket, identity);
    } catch (error) {
      reportContained(error, 'trust in connections');
      connection.abort();
    }
  }

  #lookAt(connection: OpenConnection, socket: TLSSocket, identity: Identity): void {
    const why = lostTrust(socket, identity, this.#options.clock.now());
    if (why !== undefined) this.#distrust(connection, socket, why);
  }

  #distrust(connection: OpenConnection, socket: TLSSocket, reason: string): void {
    const { clock, log } = this.#options;
    const der = peerCertificate(socket);
    const peer = der === undefined ? undefined : identityIn(der);
    log.warn({ peer, address: socket.remoteAddress, reason }, 'trust has been withdrawn, connection ends');
    connection.retire();
    clock.after(DISTRUST_GRACE_MS, () => connection.abort());
  }
}
