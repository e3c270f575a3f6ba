import type { TLSSocket } from 'node:tls';
import { eachAlone, surface } from '../../base/isolation.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Identity, IdentitySource } from '../sources/identity.ts';
import { identityIn, peerCertificate } from '../x509/peer-certificate.ts';
import { lostTrust, trustOf } from './trust.ts';

/** How connections end that nobody has ended. */
export interface ConnectionAge {
  /**
   * Age at which a connection is asked to take nothing new, milliseconds, give or take a tenth; 0 = never.
   */
  readonly maxAgeMs: number;
  /** Time for what is under way then, milliseconds. */
  readonly graceMs: number;
}

/**
 * An hour, and a day for what cannot be told or does not end: raw bytes, a download, a stream. A day is the
 * life of a leaf certificate: no connection rests longer than that on what its peer has proven.
 */
export const DEFAULT_CONNECTION_AGE: ConnectionAge = { maxAgeMs: 3_600_000, graceMs: 86_400_000 };

/**
 * Time for what is under way on a connection whose peer is not trusted any more. With the time for looking
 * through all connections it stays below ten seconds.
 */
export const DISTRUST_GRACE_MS = 5000;
/** Connections whose chains are looked at in one turn of the event loop. */
const BATCH = 32;
const JITTER = 0.1;
/** Longest time from the beginning of a handshake to its end. */
const HANDSHAKE_MS = 30_000;
/** How often ages are looked at, as a share of the greatest age and in milliseconds. */
const LOOK_SHARE = 1 / 60;
const MIN_LOOK_MS = 10;
const MAX_LOOK_MS = 60_000;

/** A connection as far as its end is concerned. */
export interface OpenConnection {
  /** Asks whoever uses it to begin nothing new, and to end it when what is under way is done. */
  retire(): void;
  /** Ends it in a way that nobody takes for a proper end: half an answer is not to look whole. */
  abort(): void;
  /** Tells of its end; at once where it has ended. */
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
 * Connections whose peers have proven who they are. They end when what they rest on is gone: the trust
 * anchors have changed and no longer vouch for the peer (gently, and within ten seconds), or the connection
 * has grown old (gently, and in the end for good).
 */
export class OpenPeers {
  readonly #options: OpenPeersOptions;
  readonly #age: ConnectionAge;
  readonly #open = new Map<OpenConnection, Entry>();
  readonly #unsubscribe: () => void;
  #identity: Identity | undefined;
  /** When trust has changed last, monotonic milliseconds. */
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

  /** @param socket what the connection runs on, its handshake done */
  add(connection: OpenConnection, socket: TLSSocket): void {
    const { clock, random } = this.#options;
    const { maxAgeMs, graceMs } = this.#age;
    const ageMs = maxAgeMs * (1 + JITTER * (2 * random() - 1));
    const retireAt = maxAgeMs === 0 ? Infinity : clock.monotonic() + ageMs;
    this.#open.set(connection, { socket, retireAt, endAt: retireAt + graceMs });
    connection.whenClosed(() => this.#open.delete(connection));
    // The handshake may have begun with the anchors of before.
    const identity = this.#identity;
    if (identity !== undefined && clock.monotonic() - this.#changedAt < HANDSHAKE_MS)
      this.#lookAt(connection, socket, identity);
    this.#lookLater();
  }

  /** Looks at nothing any more. */
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
    eachAlone('ages of connections', this.#open, ([connection, entry]) => {
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

  /** Looks at every connection again, a few in each turn. A change of trust meanwhile begins anew. */
  async #recheck(identity: Identity): Promise<void> {
    let looked = 0;
    for (const [connection, { socket }] of this.#open) {
      const current = this.#identity;
      if (this.#closed || current === undefined || !trustOf(current).equals(trustOf(identity))) return;
      if (this.#open.has(connection)) this.#lookSafely(connection, socket, identity);
      if (++looked % BATCH === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** One that cannot be looked at ends, and the others are looked at. */
  #lookSafely(connection: OpenConnection, socket: TLSSocket, identity: Identity): void {
    try {
      this.#lookAt(connection, socket, identity);
    } catch (error) {
      surface(error, 'trust in connections');
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
